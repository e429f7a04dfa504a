-- Functions and procedures outside the system's schemas, and what they may do.
-- In psql: set verify.role = 'platform'; \i functions.sql
with me as (
    select r.oid from pg_catalog.pg_roles as r
    where r.rolname = coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform')
)

select
    p.oid::bigint as oid,
    pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, (
        select coalesce(pg_catalog.string_agg(pg_catalog.format_type(t.id, null), ',' order by t.place), '')
        from pg_catalog.unnest(p.proargtypes::oid[]) with ordinality as t (id, place)
    )) as name,
    n.nspname::text as schema,
    pg_catalog.pg_get_userbyid(p.proowner)::text as owner,
    o.rolsuper or o.rolbypassrls as is_owner_above,
    p.proowner = me.oid as is_own,
    p.prosecdef as is_definer,
    coalesce(p.proconfig::text ~ 'search_path=', false) or p.prosqlbody is not null as has_search_path,
    p.provolatile::text as volatility,
    p.prokind::text as kind,
    p.proleakproof as is_leakproof,
    l.lanname::text as language,
    l.lanpltrusted as is_trusted,
    pg_catalog.has_function_privilege(me.oid, p.oid, 'execute') and pg_catalog.has_schema_privilege(me.oid, n.oid, 'usage') as is_reachable,
    p.prorettype = 'pg_catalog.trigger'::regtype or p.prorettype = 'pg_catalog.event_trigger'::regtype as is_trigger,
    array(
        select pg_catalog.format_type(t.id, null)
        from pg_catalog.unnest(p.proargtypes::oid[]) with ordinality as t (id, place) order by t.place
    ) as arguments,
    p.prosrc || coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), '') as source
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
inner join pg_catalog.pg_language as l on l.oid = p.prolang
inner join pg_catalog.pg_roles as o on o.oid = p.proowner
cross join me
where
    n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (
        select from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e' and not p.prosecdef
    )
order by n.nspname, p.proname, p.oid;
