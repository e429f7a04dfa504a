"""The attempts that need a real login as the role: forging the context, becoming another role, leaving something behind.

Every one in a transaction that is rolled back. What would act beyond it is called in a form that cannot (process 0).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from tenantry.tenancy.verify.facts import Connection, Facts
from tenantry.tenancy.verify.report import Tried
from tenantry.tenancy.verify.subject import identifier, literal

ESCAPES = (
    ("make a temporary table", "create temporary table verify_probe (x int)"),
    ("make a schema", "create schema verify_probe"),
    ("make a table in public", "create table public.verify_probe (x int)"),
    ("run a DO block", "do language plpgsql 'begin end'"),
    ("make a function", "create function pg_temp.verify_probe() returns int language sql as 'select 1'"),
    ("end a session (process 0)", "select pg_catalog.pg_terminate_backend(0)"),
    ("cancel a statement (process 0)", "select pg_catalog.pg_cancel_backend(0)"),
    ("make a large object", "select pg_catalog.lo_create(0)"),
    ("take a session lock", "select pg_catalog.pg_try_advisory_lock(7165, 1) from (select 1) q"),
    ("send a notification", "select count(*) from (select pg_catalog.pg_notify('verify_probe', '')) q"),
    (
        "change the session's settings",
        "select count(*) from (select pg_catalog.set_config('search_path', 'public', false)) q",
    ),
    ("run SQL out of text", "select count(*) from (select pg_catalog.query_to_xml('select 1', true, true, '')) q"),
    ("read a file of the server", "select count(*) from (select pg_catalog.pg_read_file('PG_VERSION')) q"),
    ("export the snapshot", "select count(*) from (select pg_catalog.pg_export_snapshot()) q"),
    ("read password hashes", "select count(*) from pg_catalog.pg_authid"),
    ("read planner samples of rows", "select count(*) from pg_catalog.pg_statistic"),
)


def attempts(connection: Connection, facts: Facts) -> Iterator[Tried]:
    """All of them, over a connection that signs in as the role."""
    role = facts.subject.role
    for one in facts.relations:
        declared = facts.declared.get(one.oid)
        if declared is not None and declared.kind == "protected":
            yield from _forge(connection, facts, one.name)
    for name in _stronger(facts, connection):
        yield _one(connection, "role", name, "become it", f"set local role {identifier(name)}")
        yield _one(
            connection, "role", name, "sign in anew as it", f"set local session authorization {identifier(name)}"
        )
    yield _one(connection, "role", role, "give itself BYPASSRLS", f"alter role {identifier(role)} bypassrls")
    for name, text in ESCAPES:
        yield _one(connection, "session", role, name, text)
    yield _one(
        connection,
        "function",
        "tenantry.enter",
        "enter without a credential",
        "select count(*) from (select tenantry.enter(null)) q",
    )
    random = secrets.token_hex(32)
    yield _one(
        connection,
        "function",
        "tenantry.enter",
        "enter by a guessed token",
        f"select count(*) from (select tenantry.enter('{random}')) q",
    )


def _one(connection: Connection, kind: str, thing: str, name: str, text: str) -> Tried:
    import psycopg

    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local lock_timeout = '500ms'")
            connection.execute(text)
    except psycopg.Error as error:
        return Tried(kind, thing, name, "blocked", f"{error.sqlstate} {error.diag.message_primary or ''}".strip())
    return Tried(kind, thing, name, "LEAK", "it was carried out")


def _forge(connection: Connection, facts: Facts, table: str) -> Iterator[Tried]:
    """Without a context no row of anybody is seen: so any row that a forged one shows is a leak."""
    import psycopg

    other = f"(select {identifier(facts.subject.column)}::text from {table} limit 1)"
    claims = [
        (
            "claim a tenant by the old setting",
            "set local app.current_tenant_id = '00000000-0000-4000-8000-000000000001'",
        ),
        (
            "claim a tenant by a seal",
            f"set local app.tenant_seal = {literal('0' * 32 + ',' + '0' * 32 + ',owner,' + '0' * 64)}",
        ),
        (
            "claim a tenant by the vault",
            f"set local backtrace_functions = {literal('0' * 32 + ',' + '0' * 32 + ',owner')}",
        ),
        ("switch row security off", "set local row_security = off"),
        ("see rows without a context", "select 1"),
    ]
    for name, claim in claims:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("set local lock_timeout = '500ms'")
                connection.execute(claim)
                seen = connection.execute(f"select exists (select from {table}), {other}").fetchone()
        except psycopg.Error as error:
            yield Tried("table", table, name, "blocked", f"{error.sqlstate} {error.diag.message_primary or ''}".strip())
        else:
            yield Tried(
                "table", table, name, "LEAK" if seen[0] else "blocked", "rows are seen" if seen[0] else "0 rows"
            )


def _stronger(facts: Facts, connection: Connection) -> list[str]:
    rows = connection.execute(
        "select rolname::text from pg_catalog.pg_roles where rolsuper or rolbypassrls or rolname ~ '^tenantry_' order by 1"
    ).fetchall()
    owners = {one.owner for one in facts.relations}
    return sorted({name for (name,) in rows} | owners - {facts.subject.role})
