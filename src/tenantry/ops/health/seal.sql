-- Which of the four functions that every policy and every request rests on is not what a migration made it; no row: all are.
-- The same facts, of all of Tenantry's functions, are in `tenantry verify` (V45); this is the part that a health check can afford
-- each second.
with wanted as (
    select
        f.name,
        f.facts,
        f.server = pg_catalog.current_setting('server_version_num')::integer / 10000 as is_same_server,
        pg_catalog.to_regprocedure(f.name)::oid as id
    from tenantry.fingerprints as f
    where
        f.kind = 'function'
        and f.name in (
            'public.get_current_tenant_id()', 'tenantry.user_id()', 'tenantry.role()', 'tenantry.enter(bytea,boolean,text,uuid,integer)'
        )
)

select w.name || ' was replaced' as thing
from wanted as w
left join pg_catalog.pg_proc as p on p.oid = w.id
where
    p.oid is null
    or p.prosecdef <> (w.facts ->> 'security' = 'definer')
    or p.proleakproof <> (w.facts ->> 'leakproof')::boolean
    or pg_catalog.pg_get_userbyid(p.proowner)::text <> w.facts ->> 'owner'
    or coalesce(pg_catalog.to_jsonb(p.proconfig), '[]') <> w.facts -> 'settings'
    or pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(p.prosrc, 'UTF8')), 'hex') <> w.facts ->> 'text'
    or (
        w.is_same_server
        and pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
            coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), '') || '/' || pg_catalog.pg_get_function_arguments(p.oid), 'UTF8'
        )), 'hex') <> w.facts ->> 'body'
    );
