-- Who there is, and what a signed-in role may not do in this database.
--
-- Runs once in a database, as a superuser or as the administrator of a managed server. Roles belong to the cluster, so another
-- database may have made them already; privileges on functions and languages belong to this database. What a managed server
-- refuses is skipped with a notice, and the catalogue check (verify.sql) then says what is missing. No password is set here.

do $$
declare
    wanted record;
begin
    for wanted in
        select *
          from (values
            ('tenantry_owner',   'nologin',           'Tenantry: owns schemas and tables; forced row security holds for it too'),
            ('tenantry_gate',    'nologin',           'Tenantry: owns enter(), and alone may set the sealed context'),
            ('tenantry_members', 'nologin',           'Tenantry: owns the functions that change memberships and the tenant, bound to the current tenant'),
            ('tenantry_signin',  'nologin',           'Tenantry: owns the functions that make, rotate and end sessions'),
            ('tenantry_signal',  'nologin',           'Tenantry: owns the functions that cancel and end back ends of platform'),
            ('tenantry_system',  'nologin bypassrls', 'Tenantry: backup, export, backfill, making tenants; never reachable from a request'),
            ('platform',         'login noinherit',   'Tenantry: the application''s handlers and the runbook''s psql'),
            ('tenantry_auth',    'login noinherit',   'Tenantry: sign-in, sessions and tenant switch; functions only, no tables'),
            ('tenantry_ops',     'login noinherit',   'Tenantry: the doctor; statistics and approved remedies, no rows'),
            ('tenantry_migrate', 'login noinherit',   'Tenantry: migrations; may act as the owning roles')
          ) as roles (name, attributes, says)
    loop
        begin
            if pg_catalog.to_regrole(wanted.name) is null then
                execute pg_catalog.format('create role %I %s', wanted.name, wanted.attributes);
                execute pg_catalog.format('comment on role %I is %L', wanted.name, wanted.says);
            end if;
        exception
            when duplicate_object or unique_violation then
                null;   -- another database of the cluster made it at the same moment
        end;
    end loop;
end
$$;

-- Memberships. platform, tenantry_auth and tenantry_ops are members of none of our roles.
do $$
declare
    wanted record;
    -- From 16 on a membership says what it is for; before, "noinherit" of the member says the same.
    only_set constant text := case
        when pg_catalog.current_setting('server_version_num')::integer >= 160000 then ' with inherit false, set true'
        else ''
    end;
begin
    for wanted in
        select *
          from (values
            ('tenantry_owner',      'tenantry_migrate', true),
            ('tenantry_gate',       'tenantry_migrate', true),
            ('tenantry_members',    'tenantry_migrate', true),
            ('tenantry_signin',     'tenantry_migrate', true),
            ('tenantry_signal',     'tenantry_migrate', true),
            ('tenantry_system',     'tenantry_migrate', true),
            ('pg_signal_backend',   'tenantry_signal',  false),
            ('pg_read_all_stats',   'tenantry_signal',  false),
            ('pg_read_all_data',    'tenantry_system',  false),
            ('pg_write_all_data',   'tenantry_system',  false)
          ) as memberships (granted, member, is_set_only)
    loop
        begin
            execute pg_catalog.format('grant %I to %I', wanted.granted, wanted.member)
                || case when wanted.is_set_only then only_set else '' end;
        exception
            when insufficient_privilege then
                raise notice 'tenantry: % could not be granted to %: %', wanted.granted, wanted.member, sqlerrm;
        end;
    end loop;
    begin
        -- tenantry_ops does not inherit from roles of its own accord; this one it must.
        execute 'grant pg_read_all_stats to tenantry_ops'
            || case when only_set <> '' then ' with inherit true' else '' end;
        if only_set = '' then
            alter role tenantry_ops inherit;
        end if;
    exception
        when insufficient_privilege then
            raise notice 'tenantry: pg_read_all_stats could not be granted to tenantry_ops: %', sqlerrm;
    end;
end
$$;

-- The database: nothing for everybody, above all not TEMP (a temporary table "notes" would catch the next tenant's rows).
do $$
begin
    execute pg_catalog.format('revoke all on database %I from public', pg_catalog.current_database());
    execute pg_catalog.format(
        'grant connect on database %I to platform, tenantry_auth, tenantry_ops, tenantry_migrate', pg_catalog.current_database());
    execute pg_catalog.format('grant create, temporary on database %I to tenantry_owner', pg_catalog.current_database());
end
$$;

alter schema public owner to tenantry_owner;
revoke all on schema public from public;
create schema if not exists tenantry authorization tenantry_owner;
comment on schema tenantry is 'Tenantry: tenants, the sealed context, what is protected, and the functions around them.';
grant usage on schema public, tenantry to platform, tenantry_migrate, tenantry_gate, tenantry_members, tenantry_signin, tenantry_system, tenantry_ops;
grant usage on schema tenantry to tenantry_auth, tenantry_signal;
-- An owner of functions must be able to make them; none of these roles logs in, and none of their functions runs SQL of others.
grant create on schema tenantry to tenantry_gate, tenantry_members, tenantry_signin, tenantry_signal, tenantry_system;

-- A new function is nobody's until it is granted. (Only the global form can take something back from public.)
alter default privileges for role tenantry_owner revoke execute on functions from public;
alter default privileges for role tenantry_gate revoke execute on functions from public;
alter default privileges for role tenantry_members revoke execute on functions from public;
alter default privileges for role tenantry_signin revoke execute on functions from public;
alter default privileges for role tenantry_signal revoke execute on functions from public;
alter default privileges for role tenantry_system revoke execute on functions from public;

-- What SQL that was smuggled into a handler must not reach, even as one SELECT.
do $$
declare
    wanted record;
    ours constant text := 'tenantry_owner, tenantry_gate, tenantry_members, tenantry_signin, tenantry_signal, tenantry_system, '
        'tenantry_auth, tenantry_ops, tenantry_migrate';
begin
    for wanted in
        select p.oid::pg_catalog.regprocedure as name, p.proname
          from pg_catalog.pg_proc p
         where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
           and (
                p.proname in (
                    -- settings of the session outlive the transaction: the next tenant on the back end would inherit them
                    'set_config',
                    -- other back ends, other listeners, other sessions' locks
                    'pg_terminate_backend', 'pg_cancel_backend', 'pg_notify', 'pg_export_snapshot', 'pg_logical_emit_message',
                    -- large objects have no row security
                    'lo_create', 'lo_creat', 'lo_from_bytea', 'lo_open', 'lo_put', 'lo_get', 'lo_unlink', 'lo_close', 'loread',
                    'lowrite', 'lo_truncate', 'lo_truncate64', 'lo_lseek', 'lo_lseek64', 'lo_tell', 'lo_tell64',
                    -- SQL out of text
                    'ts_stat',
                    -- statistics that steer every tenant's plans (18; MAINTAIN on the table is all that they ask)
                    'pg_restore_relation_stats', 'pg_restore_attribute_stats', 'pg_clear_relation_stats', 'pg_clear_attribute_stats'
                )
                or p.proname ~ '^pg_(try_)?advisory_(lock|unlock)'
                or p.proname ~ '^(query|table|cursor|schema|database)_to_xml(schema|_and_xmlschema)?$'
                or p.oid = 'pg_catalog.ts_rewrite(pg_catalog.tsquery, text)'::pg_catalog.regprocedure
           )
    loop
        begin
            execute pg_catalog.format('revoke execute on function %s from public', wanted.name);
            if wanted.proname in ('set_config', 'pg_notify') or wanted.proname ~ 'advisory' then
                execute pg_catalog.format('grant execute on function %s to %s', wanted.name, ours);
            elsif wanted.proname in ('pg_terminate_backend', 'pg_cancel_backend') then
                execute pg_catalog.format('grant execute on function %s to tenantry_signal', wanted.name);
            elsif wanted.proname ~ '^lo' then
                execute pg_catalog.format('grant execute on function %s to tenantry_owner, tenantry_system', wanted.name);
            end if;
        exception
            when insufficient_privilege then
                raise notice 'tenantry: % could not be taken from public: %', wanted.name, sqlerrm;
        end;
    end loop;
    begin
        revoke update on pg_catalog.pg_settings from public;
    exception
        when insufficient_privilege then
            raise notice 'tenantry: update of pg_settings could not be taken from public: %', sqlerrm;
    end;
    begin
        -- DO blocks are SQL out of text as well. Functions that exist run on.
        revoke usage on language plpgsql from public;
        grant usage on language plpgsql
            to tenantry_owner, tenantry_gate, tenantry_members, tenantry_signin, tenantry_signal, tenantry_system, tenantry_migrate;
    exception
        when insufficient_privilege then
            raise notice 'tenantry: plpgsql could not be taken from public: %', sqlerrm;
    end;
end
$$;

-- Settings of the logins in this database. A pooler in transaction mode passes none of a client's own, so they stand here.
do $$
declare
    wanted record;
begin
    for wanted in
        select *
          from (values
            ('platform',         'search_path',                         'public'),
            ('tenantry_auth',    'search_path',                         'public'),
            ('tenantry_ops',     'search_path',                         'public'),
            ('tenantry_migrate', 'search_path',                         'public'),
            ('platform',         'TimeZone',                            'UTC'),
            ('tenantry_auth',    'TimeZone',                            'UTC'),
            -- Backstops. A request's own deadline is set by enter() for its transaction, and may be longer than the first.
            ('platform',         'statement_timeout',                   '60s'),
            ('tenantry_auth',    'statement_timeout',                   '10s'),
            ('platform',         'transaction_timeout',                 '120s'),
            ('tenantry_auth',    'transaction_timeout',                 '20s'),
            ('platform',         'idle_in_transaction_session_timeout', '60s'),
            ('tenantry_auth',    'idle_in_transaction_session_timeout', '10s'),
            ('platform',         'client_connection_check_interval',    '2s'),
            -- A session token is a bind value: no bind value may reach the log.
            ('platform',         'log_parameter_max_length',            '0'),
            ('tenantry_auth',    'log_parameter_max_length',            '0'),
            ('platform',         'log_parameter_max_length_on_error',   '0'),
            ('tenantry_auth',    'log_parameter_max_length_on_error',   '0'),
            ('platform',         'log_min_duration_statement',          '1000ms'),
            ('tenantry_auth',    'log_min_duration_statement',          '1000ms')
          ) as settings (login, name, setting)
    loop
        begin
            execute pg_catalog.format(
                'alter role %I in database %I set %I = %L', wanted.login, pg_catalog.current_database(), wanted.name, wanted.setting);
        exception
            when insufficient_privilege or undefined_object or invalid_parameter_value then
                raise notice 'tenantry: % of % was not set: %', wanted.name, wanted.login, sqlerrm;
        end;
    end loop;
end
$$;

-- The runbook reads pg_stat_statements as platform, unqualified.
do $$
begin
    create extension if not exists pg_stat_statements schema public;
exception
    when insufficient_privilege or undefined_file or feature_not_supported then
        raise notice 'tenantry: pg_stat_statements is not here: %', sqlerrm;
end
$$;

-- What was applied, and when: written by `tenantry db push` in the transaction of each file.
set local role tenantry_owner;
create table tenantry.migrations (
    name text constraint migrations_pkey primary key,
    kind text not null constraint migrations_kind_check check (kind in ('built-in', 'application')),
    sha256 bytea not null constraint migrations_sha256_check check (length(sha256) = 32),
    applied_at timestamptz not null default now()
);
comment on table tenantry.migrations is 'The migrations that were applied, with the SHA-256 of their text.';
reset role;
