-- Functions of the system through which one SELECT reaches other sessions, files, or SQL out of text; those that the role may run.
-- In psql: set verify.role = 'platform'; \i escapes.sql
with me as (
    select r.oid, r.rolname from pg_catalog.pg_roles as r
    where r.rolname = coalesce(nullif(pg_catalog.current_setting('verify.role', true), ''), 'platform')
)

select
    p.oid::regprocedure::text as name,
    case
        when p.proname = 'set_config' then 'it changes settings of the session, which the next tenant on the back end inherits'
        when p.proname ~ '^lo' then 'large objects have no row security'
        when p.proname ~ 'advisory' then 'session locks outlive the transaction, and block migrations and other tenants'
        when p.proname ~ '_to_xml|^ts_stat$|^ts_rewrite$' then 'it runs SQL out of text inside a SELECT'
        when p.proname ~ '_(relation|attribute)_stats$' then 'it changes the statistics that steer every tenant''s plans'
        when p.proname ~ '^pg_(read|ls|stat)_|file|^pg_ls' then 'it reads files of the server'
        else 'it reaches other sessions'
    end as why
from pg_catalog.pg_proc as p
cross join me
where
    p.pronamespace = 'pg_catalog'::regnamespace
    and pg_catalog.has_function_privilege(me.oid, p.oid, 'execute')
    and (
        p.proname in (
            'set_config', 'pg_terminate_backend', 'pg_cancel_backend', 'pg_notify', 'pg_export_snapshot', 'pg_logical_emit_message',
            'lo_create', 'lo_creat', 'lo_from_bytea', 'lo_open', 'lo_put', 'lo_get', 'lo_unlink', 'lo_close', 'loread',
            'lowrite', 'lo_truncate', 'lo_truncate64', 'lo_lseek', 'lo_lseek64', 'lo_tell', 'lo_tell64', 'lo_import', 'lo_export', 'ts_stat',
            'pg_restore_relation_stats', 'pg_restore_attribute_stats', 'pg_clear_relation_stats', 'pg_clear_attribute_stats',
            'pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'pg_stat_file'
        )
        or p.proname ~ '^pg_(try_)?advisory_(lock|unlock)'
        or p.proname ~ '^(query|table|cursor|schema|database)_to_xml(schema|_and_xmlschema)?$'
        or p.oid = 'pg_catalog.ts_rewrite(pg_catalog.tsquery, text)'::regprocedure
    )
order by 1;
