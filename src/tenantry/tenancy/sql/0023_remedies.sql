-- What the doctor may do, and may count: functions for tenantry_ops alone. It reads no row and ends no back end but platform's.
--
-- Every function runs with its owner's rights, because tenantry_ops has none: tenantry_signal may signal back ends and sees their
-- state, tenantry_signin may delete sessions, tenantry_owner owns the tables. Whom they may reach is decided in them: client back
-- ends of platform in this database, sessions that are over, relations of Tenantry. Each may be called twice.

set local role tenantry_signal;

create or replace function tenantry.terminate(pid integer) returns boolean
    language sql volatile security definer set search_path = ''
    begin atomic
        select coalesce(pg_catalog.bool_or(pg_catalog.pg_terminate_backend(a.pid)), false)
          from pg_catalog.pg_stat_activity a
         where a.pid = $1 and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
           and a.usename = 'platform' and a.datname = pg_catalog.current_database();
    end;
comment on function tenantry.terminate(integer) is
    'Ends a client back end of platform in this database; false for any other, and for one that is gone.';

create or replace function tenantry.cancel(pid integer) returns boolean
    language sql volatile security definer set search_path = ''
    begin atomic
        select coalesce(pg_catalog.bool_or(pg_catalog.pg_cancel_backend(a.pid)), false)
          from pg_catalog.pg_stat_activity a
         where a.pid = $1 and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
           and a.usename = 'platform' and a.datname = pg_catalog.current_database();
    end;
comment on function tenantry.cancel(integer) is
    'Cancels the running statement of a client back end of platform in this database; false for any other.';

create or replace function tenantry.terminate_idle(older interval) returns integer
    language sql volatile security definer set search_path = ''
    begin atomic
        select pg_catalog.count(*) filter (where pg_catalog.pg_terminate_backend(a.pid))::integer
          from pg_catalog.pg_stat_activity a
         where a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
           and a.usename = 'platform' and a.datname = pg_catalog.current_database()
           and a.state in ('idle in transaction', 'idle in transaction (aborted)')
           -- Never a handler that thinks for a moment, whatever the caller asks for.
           and a.state_change < pg_catalog.clock_timestamp() - greatest($1, interval '10 seconds');
    end;
comment on function tenantry.terminate_idle(interval) is
    'Ends client back ends of platform in this database that lie idle in a transaction for longer; gives how many. An idle one without a transaction is healthy.';

create or replace function tenantry.terminate_unused(application text, older interval) returns integer
    language sql volatile security definer set search_path = ''
    begin atomic
        select pg_catalog.count(*) filter (where pg_catalog.pg_terminate_backend(a.pid))::integer
          from pg_catalog.pg_stat_activity a
         where a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
           and a.usename = 'platform' and a.datname = pg_catalog.current_database()
           and a.application_name = $1 and a.state = 'idle' and a.backend_xmin is null
           and a.state_change < pg_catalog.clock_timestamp() - greatest($2, interval '1 minute');
    end;
comment on function tenantry.terminate_unused(text, interval) is
    'Ends client back ends of platform in this database that one named application leaves unused for longer; gives how many.';

revoke all on function tenantry.terminate(integer), tenantry.cancel(integer), tenantry.terminate_idle(interval),
    tenantry.terminate_unused(text, interval) from public;
grant execute on function tenantry.terminate(integer), tenantry.cancel(integer), tenantry.terminate_idle(interval),
    tenantry.terminate_unused(text, interval) to tenantry_ops;
reset role;

set local role tenantry_signin;

create or replace function tenantry.purge_sessions(most integer) returns integer
    language sql volatile security definer set search_path = ''
    begin atomic
        with gone as (
            delete from public.auth_sessions s
             where s.id in (select o.id
                              from public.auth_sessions o
                             where o.expires < pg_catalog.now()
                             order by o.expires
                             limit least(greatest($1, 0), 10000)
                               for update skip locked)
            returning 1)
        select pg_catalog.count(*)::integer from gone;
    end;
comment on function tenantry.purge_sessions(integer) is 'Deletes expired sessions, at most so many; gives how many. Never a live one.';

create or replace function tenantry.session_counts() returns table (live bigint, expired bigint, oldest_expired interval)
    language sql stable security definer set search_path = ''
    begin atomic
        select (select pg_catalog.count(*) from (select from public.auth_sessions s where s.expires >= pg_catalog.now() limit 100000) as l),
               (select pg_catalog.count(*) from (select from public.auth_sessions s where s.expires < pg_catalog.now() limit 100000) as o),
               pg_catalog.now() - (select pg_catalog.min(s.expires) from public.auth_sessions s where s.expires < pg_catalog.now());
    end;
comment on function tenantry.session_counts() is 'Live and expired sessions (counted up to 100,000), and how long the oldest is over.';

revoke all on function tenantry.purge_sessions(integer), tenantry.session_counts() from public;
grant execute on function tenantry.purge_sessions(integer), tenantry.session_counts() to tenantry_ops;
reset role;

set local role tenantry_owner;

-- ANALYZE takes a name, so it is made of text: of a regclass, which is a name of the catalogue and nothing else.
create or replace function tenantry.analyze(relation regclass) returns void
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    if not exists (select from pg_catalog.pg_class c
                    where c.oid = relation and c.relkind in ('r', 'p', 'm')
                      and c.relowner = pg_catalog.to_regrole(current_user::text)::oid) then
        raise exception '% is no table of tenantry_owner.', relation using errcode = '42501';
    end if;
    execute pg_catalog.format('analyze %s', relation);
end
$$;
comment on function tenantry.analyze(regclass) is 'Reads a table of Tenantry anew for the planner (ANALYZE); no rows are given or changed.';

create or replace function tenantry.sequences_used() returns table (sequence text, used double precision)
    language sql stable security definer set search_path = ''
    begin atomic
        select pg_catalog.format('%I.%I', s.schemaname, s.sequencename),
               (s.last_value::double precision - s.min_value::double precision)
                   / nullif(s.max_value::double precision - s.min_value::double precision, 0)
          from pg_catalog.pg_sequences s
         where s.last_value is not null and not s.cycle and s.increment_by > 0;
    end;
comment on function tenantry.sequences_used() is 'Of each sequence that the owner sees, the part of its range that is used.';

create table tenantry.remedies (
    id uuid constraint remedies_pkey primary key default gen_random_uuid(),
    at timestamptz not null default now(),
    service text not null,
    what text not null constraint remedies_what_check check (what in ('begins', 'done', 'failed', 'verified', 'not verified')),
    cause text not null,
    remedy text not null,
    command text not null constraint remedies_command_check check (length(command) <= 2000),
    by text not null constraint remedies_by_check check (length(by) between 1 and 200),
    text text not null constraint remedies_text_check check (length(text) <= 2000)
);
create index remedies_at_idx on tenantry.remedies (at);
comment on table tenantry.remedies is 'What the doctor did: a line before, a line after. Also in TENANTRY_HOME/watch/remedies.jsonl, which needs no database.';
select tenantry.keep('tenantry.remedies');
select tenantry.put_policy('tenantry.remedies', 'tenantry_ops_insert', 'insert', 'tenantry_ops', null, 'true', 'The doctor writes what it does.');
select tenantry.put_policy('tenantry.remedies', 'tenantry_ops_select', 'select', 'tenantry_ops', 'true', null, 'The doctor reads what was done.');
select tenantry.put_grant('tenantry.remedies', 'tenantry_ops', 'insert');
select tenantry.put_grant('tenantry.remedies', 'tenantry_ops', 'select');

revoke all on function tenantry.analyze(regclass), tenantry.sequences_used() from public;
grant execute on function tenantry.analyze(regclass), tenantry.sequences_used() to tenantry_ops;
reset role;
