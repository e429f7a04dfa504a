"""The pitfalls, each as SQL that plants it in a database that is whole: (check, object as verify names it, SQL)."""

from __future__ import annotations

from typing import NamedTuple

TABLES = """
set local role tenantry_owner;
create table public.projects (id uuid primary key default gen_random_uuid(), name text not null unique, created_at timestamptz not null default now());
select tenantry.protect('public.projects');
create table public.notes (id uuid primary key default gen_random_uuid(),
    project_id uuid references public.projects on delete set null, body text not null);
select tenantry.protect('public.notes');
create table public.events (id bigint generated always as identity, at date not null) partition by range (at);
create table public.events_2026 partition of public.events for values from ('2026-01-01') to ('2027-01-01');
select tenantry.protect('public.events');
create table public.countries (code text primary key, name text not null);
select tenantry.share('public.countries', 'the same for everybody');
create view public.open_notes with (security_invoker = true) as select id, body from public.notes;
reset role;
"""


class Pitfall(NamedTuple):
    check: str
    object: str
    plant: str
    least: int = 15
    """The first server version that has it."""


PITFALLS = [
    Pitfall("V01", "public.notes", "alter table public.notes disable row level security"),
    Pitfall("V01", "public.notes", "alter table public.notes no force row level security"),
    Pitfall("V02", "public.notes", "alter table public.notes alter tenant_id drop not null"),
    Pitfall("V02", "public.notes", "alter table public.notes alter tenant_id drop default"),
    Pitfall("V03", "tenantry_select on public.notes", "drop policy tenantry_select on public.notes"),
    Pitfall("V03", "tenantry_delete on public.users", "drop policy tenantry_delete on public.users"),
    Pitfall("V04", "evil on public.notes", "create policy evil on public.notes using (true)"),
    Pitfall("V04", "evil on public.auth_sessions", "create policy evil on public.auth_sessions for select to platform using (true)"),
    Pitfall("V05", "platform", "alter role platform superuser"),
    Pitfall("V05", "tenantry_auth", "alter role tenantry_auth bypassrls"),
    Pitfall("V05", "platform", "grant tenantry_system to platform"),
    Pitfall("V06", "public.countries", "alter table public.countries owner to platform"),
    Pitfall("V06", "public.open_notes", "alter view public.open_notes owner to platform"),
    Pitfall("V07", "platform", "grant tenantry_owner to platform"),
    Pitfall("V08", "postgres_database", "do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$"),
    Pitfall("V08", "public", "grant create on schema public to platform"),
    Pitfall("V09", "public.everything", "create view public.everything as select * from public.notes"),
    Pitfall("V09", "public.open_notes", "alter view public.open_notes reset (security_invoker)"),
    Pitfall("V10", "public.kept", "create materialized view public.kept as select * from public.notes; grant select on public.kept to platform"),
    Pitfall(
        "V11", "public.all_notes()",
        "create function public.all_notes() returns bigint language sql stable security definer set search_path = '' return (select count(*) from public.notes);"
        " grant execute on function public.all_notes() to platform",
    ),
    Pitfall(
        "V12", "public.hijack(text)",
        "create function public.hijack(t text) returns text language plpgsql security definer as $$ begin return upper(t); end $$",
    ),
    Pitfall(
        "V13", "public.secret()",
        "create function public.secret() returns text language sql immutable security definer set search_path = '' return 'x'",
    ),
    Pitfall(
        "V14", "loose on public.notes",
        "alter table public.notes add column other uuid, add constraint loose foreign key (other) references public.projects (id) on delete set null",
    ),
    Pitfall("V15", "notes_body_key", "alter table public.notes add constraint notes_body_key unique (body)"),
    Pitfall("V15", "public.notes_lower", "create unique index notes_lower on public.notes (lower(body))"),
    Pitfall("V16", "public.tags", """
        set local role tenantry_owner; create table public.tags (id uuid, label text); select tenantry.protect('public.tags'); reset role;
        do $$ declare i regclass; begin
            for i in select indexrelid from pg_index where indrelid = 'public.tags'::regclass loop execute format('drop index %s', i); end loop; end $$"""),
    Pitfall("V17", "public.notes_by_body", "create index notes_by_body on public.notes (body)"),
    Pitfall("V18", "public.notes", "grant truncate, trigger, references on public.notes to platform"),
    Pitfall("V19", "public.counter", "create sequence public.counter; grant usage on sequence public.counter to platform"),
    Pitfall("V19", "public.old_id_seq", """
        set local role tenantry_owner; create table public.old (id serial primary key, label text); select tenantry.protect('public.old'); reset role"""),
    Pitfall("V20", "public.events_2026", "grant select on public.events_2026 to platform"),
    Pitfall("V21", "pg_terminate_backend(integer,bigint)", "grant execute on function pg_terminate_backend(int, bigint) to platform"),
    Pitfall("V21", "set_config(text,text,boolean)", "grant execute on function set_config(text, text, boolean) to public"),
    Pitfall("V22", "plpgsql", "grant usage on language plpgsql to public"),
    Pitfall("V23", "dblink", "create extension dblink"),
    Pitfall("V24", "everything", "create publication everything for all tables"),
    Pitfall("V25", "tenantry_ops", "alter role tenantry_ops replication"),
    Pitfall("V26", "platform", "alter role platform set work_mem = '1GB'"),
    Pitfall("V26", "platform", "do $$ begin execute format('alter role platform in database %I set search_path = evil, public', current_database()); end $$"),
    Pitfall("V27", "1", "select lo_create(0)"),
    Pitfall("V28", "watch", """
        create function public.watch() returns event_trigger language plpgsql set search_path = '' as $$ begin end $$;
        create event trigger watch on ddl_command_start execute function public.watch()"""),
    Pitfall("V29", "tenantry_auth", "grant set on parameter backtrace_functions to tenantry_auth"),
    Pitfall("V32", "count_notes on public.notes", """
        create function public.count_notes() returns trigger language plpgsql security definer set search_path = '' as $$ begin return new; end $$;
        create trigger count_notes before insert on public.notes for each row execute function public.count_notes()"""),
    Pitfall("V33", "platform", "grant pg_monitor to platform"),
    Pitfall("V34", "public.open_to_all", "set local role tenantry_owner; create table public.open_to_all (id uuid primary key); reset role"),
    Pitfall("V34", "public.made_by_hand", "create table public.made_by_hand (id uuid primary key); grant select on public.made_by_hand to platform"),
    Pitfall("V35", "tenantry_select on public.notes", "alter policy tenantry_select on public.notes using (true)"),
    Pitfall("V35", "tenantry_update on public.notes", "alter policy tenantry_update on public.notes to public"),
    Pitfall("V36", "public.leaky(text)", "create function public.leaky(t text) returns boolean language sql immutable leakproof return true"),
    Pitfall("V37", "platform", "do $$ begin execute format('alter role platform in database %I set log_parameter_max_length = -1', current_database()); end $$"),
    Pitfall("V38", "divert on public.notes", "create rule divert as on delete to public.notes do instead nothing"),
    Pitfall("V39", "tenantry_owner, tables in public", "alter default privileges for role tenantry_owner in schema public grant select on tables to platform"),
    Pitfall("V40", "slow on public.notes", "create policy slow on public.notes as restrictive to platform using (tenant_id = public.get_current_tenant_id())"),
    Pitfall("V41", "public.auth_sessions", "grant select on public.auth_sessions to platform"),
    Pitfall("V41", "public.auth_sessions", "grant select (token_hash) on public.auth_sessions to platform"),
    Pitfall("V41", "public.users", "grant update on public.users to platform"),
    Pitfall("V42", "platform", "alter role platform createrole"),
    Pitfall("V43", "public.countries", "grant update on public.countries to platform"),
    Pitfall(
        "V45", "public.get_current_tenant_id()",
        "create or replace function public.get_current_tenant_id() returns uuid language sql stable parallel safe"
        " return nullif(pg_catalog.current_setting('app.current_tenant_id', true), '')::uuid",
    ),
    Pitfall(
        "V45", "tenantry.enter(bytea,boolean,text,uuid,integer)",
        "set local role tenantry_gate; do $$ begin execute replace(pg_get_functiondef('tenantry.enter(bytea,boolean,text,uuid,integer)'::regprocedure),"
        " 'and s.expires operator(pg_catalog.>) pg_catalog.now()', ''); end $$; reset role",
    ),
    Pitfall("V45", "tenantry.role()", "create or replace function tenantry.role() returns text language sql stable parallel safe return 'owner'::text"),
    Pitfall("V45", "tenantry.can(text)", "alter function tenantry.can(text) owner to postgres"),
    Pitfall("V45", "tenantry.can(text)", "alter function tenantry.can(text) security invoker"),
    Pitfall("V45", "tenantry.can(text)", "alter function tenantry.can(text) immutable"),
    Pitfall("V45", "tenantry.can(text)", "alter function tenantry.can(text) leakproof"),
    Pitfall("V45", "tenantry.can(text)", "alter function tenantry.can(text) set search_path = public"),
    Pitfall("V45", "tenantry.can(text)", "alter function tenantry.can(text) reset all"),
    Pitfall("V45", "tenantry.user_id()", "alter function tenantry.user_id() set role = platform"),
    Pitfall("V45", "tenantry.create_session(bytea,text,uuid,interval)",
            "grant execute on function tenantry.create_session(bytea,text,uuid,interval) to platform"),
    Pitfall("V45", "tenantry.visit_tenant(bytea,text,text,text,interval)",
            "grant execute on function tenantry.visit_tenant(bytea,text,text,text,interval) to public"),
    Pitfall("V45", "tenantry.enter(bytea)",
            "create function tenantry.enter(credential bytea) returns void language sql return null::void"),
    Pitfall("V45", "audit_log_append_only on public.audit_log", "alter table public.audit_log disable trigger audit_log_append_only"),
    Pitfall("V45", "audit_log_append_only on public.audit_log", "drop trigger audit_log_append_only on public.audit_log"),
    Pitfall("V45", "spy on public.auth_sessions",
            "create trigger spy before insert on public.auth_sessions for each row execute function suppress_redundant_updates_trigger()"),
]  # fmt: skip
