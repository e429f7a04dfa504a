-- Further attacks as psql of platform, second list: what only psql can send, and what an adversary knows who has read our SQL.
\set VERBOSITY verbose
\set ON_ERROR_STOP 0

\set id W01
\set name 'savepoint around enter: the context of a rolled-back enter'
\i _begin.sql
rollback; begin; savepoint s; :enter_b; rollback to s; select true as leak from :table having count(*) > 0 \gset
\i _end.sql

\set id W02
\set name 'enter A over B: the last one counts, alone'
\i _begin.sql
rollback; begin; :enter_b; :enter_a; select true as leak from :table where tenant_id <> :'a' limit 1 \gset
\i _end.sql

\set id W03
\set name 'enter A in a subtransaction, then its failure'
\i _begin.sql
savepoint s; select 1 / 0; rollback to s; select true as leak from :table where tenant_id <> :'a' limit 1 \gset
\i _end.sql

\set id W04
\set name 'commit and chain: the next transaction has no context'
\i _begin.sql
commit and chain; select true as leak from :table having count(*) > 0 \gset
\i _end.sql

\set id W05
\set name 'rollback and chain'
\i _begin.sql
rollback and chain; select true as leak from :table having count(*) > 0 \gset
\i _end.sql

\set id W06
\set name 'context kept by set local, then commit'
\i _begin.sql
select coalesce(nullif(current_setting('app.tenant_seal', true), ''), 'x') as s \gset
set app.tenant_seal = :'s'; commit; begin; select true as leak from :table having count(*) > 0 \gset
\i _end.sql

\set id W07
\set name 'a cast that quotes a value, before the policy'
\i _begin.sql
select true as leak from :table where tenant_id = :'b' and body::int = 1 limit 1 \gset
select true as leak where position('b1' in :'LAST_ERROR_MESSAGE') > 0 \gset
\i _end.sql

\set id W08
\set name 'unique violation that names a row of B'
\i _begin.sql
insert into :table (tenant_id, body) select tenant_id, body from :table; select true as leak where position(:'b' in :'LAST_ERROR_MESSAGE') > 0 \gset
\i _end.sql

\set id W09
\set name 'LOCK TABLE of what platform may only read'
\i _begin.sql
lock table tenantry.tenants in access exclusive mode; select true as leak where not :'ERROR'::bool \gset
rollback; begin; lock table auth_identities in share mode; select true as leak where not :'ERROR'::bool \gset
rollback; begin; lock table tenantry.fingerprints in exclusive mode; select true as leak where not :'ERROR'::bool \gset
rollback; begin; lock table audit_log in exclusive mode; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W10
\set name 'COPY out of and into the table'
\i _begin.sql
copy :table to '/tmp/tenantry-attack'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; :enter_a; copy :table from program 'true'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W11
\set name 'DO, CALL, anonymous SQL'
\i _begin.sql
do language sql 'select 1'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; do language plpgsql 'begin end'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W12
\set name 'own types, casts, domains, aggregates, collations'
\i _begin.sql
create type public.evil as (x int); select true as leak where not :'ERROR'::bool \gset
rollback; begin; create domain pg_temp.evil as int; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create cast (text as int) with inout as implicit; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create aggregate public.evil (int) (sfunc = int4pl, stype = int); select true as leak where not :'ERROR'::bool \gset
rollback; begin; create collation public.evil from "C"; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W13
\set name 'an overload of enter and of the tenant''s function'
\i _begin.sql
create function tenantry.enter(bytea) returns void language sql return null; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create or replace function public.get_current_tenant_id() returns uuid language sql return null; select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter function tenantry.enter(bytea, boolean, text, uuid, integer) security invoker; select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter function public.get_current_tenant_id() leakproof; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W14
\set name 'policies: altered, dropped, a new one'
\i _begin.sql
alter policy tenantry_select on :table using (true); select true as leak where not :'ERROR'::bool \gset
rollback; begin; drop policy tenantry_select on :table; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create policy evil on :table using (true); select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter table :table no force row level security; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W15
\set name 'fingerprints and the history of migrations'
\i _begin.sql
update tenantry.fingerprints set facts = '{}'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; insert into tenantry.fingerprints values ('function', 'x', 18, '{}', 'x'); select true as leak where not :'ERROR'::bool \gset
rollback; begin; delete from tenantry.migrations; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W16
\set name 'events, triggers and rules switched off'
\i _begin.sql
set local session_replication_role = replica; select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter table users disable trigger all; select true as leak where not :'ERROR'::bool \gset
rollback; begin; set constraints all deferred; insert into :table (tenant_id, body) values (:'b', 'x'); select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W17
\set name 'parameters that load code or print plans of others'
\i _begin.sql
load 'auto_explain'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; set local session_preload_libraries = 'x'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; set local dynamic_library_path = '/tmp'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; set local log_statement = 'all'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W18
\set name 'roles: set, session authorization, membership'
\i _begin.sql
set role tenantry_gate; select true as leak where not :'ERROR'::bool \gset
rollback; begin; set local role tenantry_system; select true as leak where not :'ERROR'::bool \gset
rollback; begin; set session authorization tenantry_auth; select true as leak where not :'ERROR'::bool \gset
rollback; begin; grant platform to tenantry_ops; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W19
\set name 'ownership moved, schema made, database altered'
\i _begin.sql
reassign owned by tenantry_owner to platform; select true as leak where not :'ERROR'::bool \gset
rollback; begin; drop owned by tenantry_owner; select true as leak where not :'ERROR'::bool \gset
rollback; begin; create schema evil; select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter schema tenantry rename to evil; select true as leak where not :'ERROR'::bool \gset
rollback; begin; alter default privileges grant all on tables to public; create table public.evil (x int); select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W20
\set name 'extended statistics and an index over all rows'
\i _begin.sql
create index evil on :table ((body::int)); select true as leak where not :'ERROR'::bool \gset
rollback; begin; create statistics public.evil (mcv) on body, tenant_id from :table; select true as leak where not :'ERROR'::bool \gset
rollback; begin; comment on table :table is 'x'; select true as leak where not :'ERROR'::bool \gset
\i _end.sql

\set id W21
\set name 'RETURNING, WITH HOLD and scrolling over a change of tenant'
\i _begin.sql
declare c scroll cursor for select * from :table; fetch all from c; :enter_b; select true as leak from :table where tenant_id not in (:'b') limit 1 \gset
rollback; begin; :enter_a;
\i _end.sql

\set id W22
\set name 'LISTEN hears no row of B; NOTIFY is refused as a function'
\i _begin.sql
listen users; select pg_notify('users', 'x'); select true as leak where not :'ERROR'::bool \gset
rollback; unlisten *; begin; :enter_a;
\i _end.sql

\set id W23
\set name 'people, keys, invitations of B by our own functions'
\i _begin.sql
select true as leak from users where tenant_id <> :'a' limit 1 \gset
select true as leak from auth_api_keys having count(*) > 0 \gset
rollback; begin; :enter_a; select true as leak from audit_log where tenant_id = :'b' having count(*) > 0 \gset
\i _end.sql

\set id W24
\set name 'a snapshot of another back end, two-phase, advisory locks of migrations'
\i _begin.sql
rollback; begin isolation level repeatable read; set transaction snapshot '00000003-0000001B-1'; select true as leak where not :'ERROR'::bool \gset
rollback; begin; select pg_advisory_xact_lock(1); select pg_advisory_lock_shared(1); select true as leak where not :'ERROR'::bool \gset
\i _end.sql
