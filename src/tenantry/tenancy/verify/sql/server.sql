-- What the server and the database have beside tables: one row a thing, (kind, name, detail).
-- In psql: \i server.sql
select 'version' as kind, pg_catalog.current_setting('server_version_num') as name, pg_catalog.current_setting('server_version') as detail
union all
select 'database', pg_catalog.current_database(), ''
union all
select
    'publication', p.pubname::text,
    case
        when p.puballtables then 'all tables'
        else coalesce((
            select pg_catalog.string_agg(pg_catalog.format('%I.%I', t.schemaname, t.tablename), ', ')
            from pg_catalog.pg_publication_tables as t where t.pubname = p.pubname
        ), 'no table')
    end
from pg_catalog.pg_publication as p
union all
select 'replicating role', r.rolname::text, case when r.rolcanlogin then 'login' else '' end
from pg_catalog.pg_roles as r where r.rolreplication and r.oid <> 10
union all
select 'replication slot', s.slot_name::text, s.slot_type from pg_catalog.pg_replication_slots as s
where s.slot_type = 'logical' and s.database = pg_catalog.current_database()
union all
select 'large objects', pg_catalog.count(*)::text, '' from pg_catalog.pg_largeobject_metadata having pg_catalog.count(*) > 0
union all
select 'event trigger', e.evtname::text, pg_catalog.pg_get_userbyid(e.evtowner)::text from pg_catalog.pg_event_trigger as e where e.evtenabled <> 'D'
union all
select 'extension', e.extname::text, e.extversion from pg_catalog.pg_extension as e
union all
select 'vault grant', case when x.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee)::text end, x.privilege_type
from pg_catalog.pg_parameter_acl as a
cross join lateral pg_catalog.aclexplode(a.paracl) as x
where a.parname = 'backtrace_functions' and x.grantee <> 10
union all
select 'vault value', coalesce(s.reset_val, ''), '' from pg_catalog.pg_settings as s where s.name = 'backtrace_functions' and s.reset_val <> ''
union all
select 'setting', s.name, s.setting from pg_catalog.pg_settings as s
where s.name in ('log_parameter_max_length', 'log_min_duration_statement', 'log_statement', 'pg_stat_statements.track_utility', 'shared_preload_libraries')
union all
select 'monitoring role', r.name, '' from pg_catalog.unnest(array[
    'pg_read_all_stats', 'pg_monitor', 'pg_signal_backend', 'pg_read_all_data', 'pg_write_all_data', 'pg_maintain', 'pg_read_server_files',
    'pg_write_server_files', 'pg_execute_server_program', 'pg_read_all_settings', 'pg_create_subscription'
]) as r (name)
where pg_catalog.to_regrole(r.name) is not null;
