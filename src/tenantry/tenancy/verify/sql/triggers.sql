-- Triggers of tables outside the system's schemas, with the function that each runs.
-- In psql: \i triggers.sql
select
    g.tgrelid::bigint as relation,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as relation_name,
    g.tgname::text as name,
    g.tgenabled::text <> 'D' as is_enabled,
    g.tgfoid::bigint as function,
    pg_catalog.format('%I.%I', fn.nspname, p.proname) as function_name,
    fn.nspname = 'pg_catalog' as is_system,
    p.prosecdef as is_definer,
    o.rolsuper or o.rolbypassrls as is_owner_above,
    pg_catalog.pg_get_userbyid(p.proowner)::text as owner,
    l.lanname::text as language,
    p.prosrc as source
from pg_catalog.pg_trigger as g
inner join pg_catalog.pg_class as c on c.oid = g.tgrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_proc as p on p.oid = g.tgfoid
inner join pg_catalog.pg_namespace as fn on fn.oid = p.pronamespace
inner join pg_catalog.pg_language as l on l.oid = p.prolang
inner join pg_catalog.pg_roles as o on o.oid = p.proowner
where not g.tgisinternal and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 2, 3;
