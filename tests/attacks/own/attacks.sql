-- Further attacks as psql of platform, in the form of rls/attacks.sql and run by its run.sh.
\set VERBOSITY terse
\set ON_ERROR_STOP 0

\set id T01
\set name 'plan prepared in A, run without a context and with a forged one'
\i _begin.sql
set plan_cache_mode = force_generic_plan; prepare p as select count(*) > 0 as leak from :table; execute p; commit; begin; execute p \gset
rollback; begin; set app.current_tenant_id = :'b'; execute p \gset
\i _end.sql

\set id T02
\set name 'cursor WITH HOLD and a portal over the transaction''s end'
\i _begin.sql
declare c cursor with hold for select * from :table; commit; begin; :enter_a; select set_config('app.current_tenant_id', :'b', true); fetch all from c;
\i _end.sql

\set id T03
\set name 'parallel workers see the same context'
\i _begin.sql
set local debug_parallel_query = on; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0;
select count(*) filter (where tenant_id <> :'a') > 0 as leak from :table \gset
\i _end.sql

\set id T04
\set name 'MERGE into and out of B'
\i _begin.sql
merge into :table n using (select :'b'::uuid as t) s on n.tenant_id = s.t when matched then delete; select count(*) filter (where tenant_id = :'b') > 0 as leak from :table \gset
\i _end.sql

\set id T05
\set name 'ON CONFLICT with a row of B'
\i _begin.sql
insert into :table (tenant_id, body) select :'b', 'x' on conflict do nothing returning true as leak \gset
\i _end.sql

\set id T06
\set name 'rows by guessed ctid, TABLESAMPLE, FOR UPDATE'
\i _begin.sql
select true as leak from :table where tenant_id <> :'a' and ctid = any (array(select format('(%s,%s)', p, i)::tid from generate_series(0, 9) p, generate_series(1, 99) i)) limit 1 \gset
select true as leak from :table tablesample system (100) where tenant_id <> :'a' limit 1 \gset
select true as leak from :table where tenant_id = :'b' limit 1 for update \gset
\i _end.sql

\set id T07
\set name 'own function as a condition, own operator before pg_catalog'
\i _begin.sql
create function pg_temp.spy(t text) returns boolean language sql as $$ select true $$; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create operator public.= (leftarg = uuid, rightarg = uuid, function = uuid_ne); select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T08
\set name 'search_path to a schema of one''s own, enter again'
\i _begin.sql
rollback; begin; set local search_path = pg_temp, public; :enter_a; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T09
\set name 'enter B by the hash of its token, by the stored hash, by a prefix'
\i _begin.sql
select true as leak from auth_sessions s, lateral tenantry.enter(s.token_hash) limit 1 \gset
rollback; begin; select true as leak from tenantry.enter(sha256(convert_to('x', 'UTF8'))) \gset
\i _end.sql

\set id T10
\set name 'settings stored for the role or the database'
\i _begin.sql
alter role platform set app.current_tenant_id = 'x'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter role platform set backtrace_functions = 'x'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; select format('alter database %I set row_security = off', current_database()) as sql \gset
:sql; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T11
\set name 'grants, memberships and ownership by platform'
\i _begin.sql
grant tenantry_owner to platform; select true as leak where pg_has_role('platform', 'tenantry_owner', 'member') \gset
rollback; begin; grant all on :table to public; select true as leak where has_table_privilege('platform', :'table', 'truncate') \gset
rollback; begin; alter table :table owner to platform; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create role evil superuser; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T12
\set name 'publication, subscription, foreign server, extension, statistics'
\i _begin.sql
create publication evil for all tables; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create server evil foreign data wrapper postgres_fdw; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create extension dblink; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create statistics evil on id, body from :table; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T13
\set name 'planner statistics of other tenants'
\i _begin.sql
select count(*) > 0 as leak from pg_stats where tablename = :'table' and (histogram_bounds is not null or most_common_vals is not null) \gset
select count(*) > 0 as leak from pg_statistic \gset
\i _end.sql

\set id T14
\set name 'a trigger, a rule, a view on the table'
\i _begin.sql
create trigger t before insert on :table for each row execute function suppress_redundant_updates_trigger(); select true as leak where not :'ERROR'::bool \gset
rollback; begin; create rule r as on insert to :table do also nothing; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create view public.v as select * from :table; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T15
\set name 'large objects and files'
\i _begin.sql
select true as leak from (select lo_create(0)) q \gset
rollback; begin; select true as leak from (select pg_read_file('PG_VERSION')) q \gset
rollback; begin; copy (select 1) to program 'true'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T16
\set name 'a session lock that outlives the transaction, the migration lock'
\i _begin.sql
select true as leak from (select pg_advisory_lock(1)) q \gset
rollback; begin; select true as leak from (select pg_try_advisory_lock(hashtextextended('tenantry.migrate', 0))) q \gset
\i _end.sql

\set id T17
\set name 'member functions on another tenant''s people'
\i _begin.sql
select true as leak from users u, lateral tenantry.set_role(u.id, 'owner') where u.tenant_id = :'b' limit 1 \gset
select true as leak from tenantry.current_tenant() t where t.id = :'b' \gset
\i _end.sql

\set id T18
\set name 'functions of sign-in and of operators'
\i _begin.sql
select true as leak from tenantry.create_session('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'x@b.example', :'b', interval '1 day') \gset
rollback; begin; select true as leak from tenantry.create_tenant('evil', 'Evil') \gset
rollback; begin; select true as leak from tenantry.repair() \gset
rollback; begin; select true as leak from tenantry.unprotect(:'table') \gset
\i _end.sql

\set id T19
\set name 'two-phase: a prepared transaction keeps a context'
\i _begin.sql
prepare transaction 'evil'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T20
\set name 'read only and deadline of the request undone'
\i _begin.sql
select set_config('transaction_read_only', 'on', true); set transaction read write; reset app.current_tenant_id; select count(*) filter (where tenant_id <> :'a') > 0 as leak from :table \gset
\i _end.sql

\set id T21
\set name 'SQL out of text in one SELECT'
\i _begin.sql
select true as leak from (select query_to_xml('select 1', true, true, '')) q \gset
rollback; begin; :enter_a; select true as leak from ts_stat('select to_tsvector(body) from notes') limit 1 \gset
rollback; begin; do $$ begin execute 'commit'; end $$; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T22
\set name 'replication, WAL messages, exported snapshots'
\i _begin.sql
select true as leak from (select pg_export_snapshot()) q \gset
rollback; begin; select true as leak from (select pg_logical_emit_message(false, 'x', 'x')) q \gset
rollback; begin; select true as leak from (select pg_create_logical_replication_slot('evil', 'pgoutput')) q \gset
\i _end.sql

\set id T23
\set name 'the registry and its lists'
\i _begin.sql
insert into tenantry.allowed_definer values ('x', 'y'); select true as leak where not :'ERROR'::bool \gset
rollback; begin; delete from tenantry.policies; select true as leak where not :'ERROR'::bool \gset
rollback; begin; update tenantry.protected set kind = 'shared', why = 'x'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id T24
\set name 'seal of an earlier transaction, replayed whole'
\i _begin.sql
select coalesce(current_setting('app.tenant_seal', true), '') as s, current_setting('backtrace_functions') as v \gset
commit; begin; set local app.tenant_seal = :'s'; select count(*) > 0 as leak from :table \gset
rollback; begin; set local backtrace_functions = :'v'; select count(*) > 0 as leak from :table \gset
\i _end.sql
