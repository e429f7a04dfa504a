"""Not proven, not ready: a migration that opens a hole is rolled back, no worker starts over one, and readiness says why."""

from __future__ import annotations

import asyncio

import pytest

from tenantry import Tenantry
from tenantry.db.migrate import Migration, push
from tenantry.errors import DatabaseNotReady, IsolationBroken, RoleTooStrong, TableNotProtected
from tenantry.tenancy import REPAIRS, builtin_migrations, guard, holes
from tests.conftest import Database
from tests.harness import Client, opened

HOLES = [
    ("create table t (id uuid primary key); select tenantry.protect('t'); create policy evil on t using (true);", r"policy evil|evil on public\.t"),
    ("create table t (id uuid primary key); select tenantry.protect('t'); create view v as select * from t;", "public.v"),
    ("create table t (id uuid primary key); select tenantry.protect('t'); grant truncate on t to platform;", "truncate"),
    (
        "create table t (id uuid primary key); select tenantry.protect('t'); create function f() returns bigint language sql security definer as 'select 1::bigint';"
        " grant execute on function f() to platform;",
        r"public.f\(\)",
    ),
    ("create materialized view m as select 1 as x; grant select on m to platform;", "public.m"),
    ("create table t (at date) partition by range (at); create table t1 partition of t default; select tenantry.protect('t'); grant select on t1 to platform;", "public.t1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "named"), HOLES, ids=[one[1] for one in HOLES])
def test_a_migration_that_opens_a_hole_is_rolled_back(database: Database, text: str, named: str) -> None:
    files = [Migration(name, sql, "built-in") for name, sql in builtin_migrations()]
    with pytest.raises((IsolationBroken, TableNotProtected), match=named):
        push(database.urls.admin, [*files, Migration("0001_hole.sql", text)], repairs=REPAIRS, look=holes)
    assert database.value("select to_regclass('public.t')") is None
    assert database.value("select count(*) from tenantry.migrations where kind = 'application'") == 0


def test_no_worker_starts_over_a_hole(database: Database) -> None:
    guard.check(database.settings())
    database.admin.execute("create policy evil on public.users for select to platform using (true)")
    with pytest.raises(IsolationBroken, match=r"evil on public\.users"):
        guard.check(database.settings())
    database.admin.execute("drop policy evil on public.users")
    guard.check(database.settings())


def test_a_locked_table_is_not_waited_for_at_the_start(database: Database) -> None:
    import psycopg

    with psycopg.connect(database.superuser.reveal()) as holder:
        holder.execute("lock table public.users in access exclusive mode")
        with pytest.raises(DatabaseNotReady, match="locked"):
            guard.check(database.settings())


def test_a_superuser_does_not_serve(database: Database) -> None:
    with pytest.raises(RoleTooStrong):
        guard.check(database.settings(database_url=database.superuser))


FORGED = """
create or replace function public.get_current_tenant_id() returns uuid language sql stable parallel safe
    return nullif(pg_catalog.current_setting('app.current_tenant_id', true), '')::uuid;
"""


def test_a_replaced_function_stops_a_start_and_a_push_puts_it_back(database: Database) -> None:
    files = [Migration(name, sql, "built-in") for name, sql in builtin_migrations()]
    guard.check(database.settings())
    database.admin.execute(FORGED)
    database.admin.execute("alter function tenantry.can(text) owner to postgres")
    database.admin.execute("alter table public.audit_log disable trigger audit_log_append_only")
    with pytest.raises(IsolationBroken, match=r"get_current_tenant_id\(\): its text was replaced"):
        guard.check(database.settings())
    done = push(database.superuser, files, repairs=REPAIRS, look=holes)
    assert {line.partition(":")[0] for line in done.repaired} == {
        "public.get_current_tenant_id()", "tenantry.can(text)", "audit_log_append_only on public.audit_log",
    }  # fmt: skip
    guard.check(database.settings())
    assert push(database.superuser, files, repairs=REPAIRS, look=holes).repaired == []


def test_a_login_that_may_not_put_it_back_says_what_stands_in_the_way(database: Database) -> None:
    files = [Migration(name, sql, "built-in") for name, sql in builtin_migrations()]
    database.admin.execute("alter function tenantry.enter(bytea,boolean,text,uuid,integer) owner to postgres")
    with pytest.raises(IsolationBroken, match="owner: postgres instead of tenantry_gate"):
        push(database.urls.admin, files, repairs=REPAIRS, look=holes)


def test_a_migration_that_replaces_a_function_of_the_seal_is_rolled_back(database: Database) -> None:
    files = [Migration(name, sql, "built-in") for name, sql in builtin_migrations()]
    with pytest.raises(IsolationBroken, match="its text was replaced"):
        push(database.urls.admin, [*files, Migration("0001_forged.sql", FORGED)], repairs=REPAIRS, look=holes)
    assert holes(database.admin) == []


def test_a_server_of_another_major_version_is_no_alarm_and_is_noted_at_the_next_push(database: Database) -> None:
    files = [Migration(name, sql, "built-in") for name, sql in builtin_migrations()]
    database.admin.execute(
        "update tenantry.fingerprints set server = 14, facts = facts || jsonb_build_object('body', 'as 14 prints it')"
    )
    assert holes(database.admin) == []
    database.admin.execute("alter function tenantry.can(text) leakproof")
    assert [one[1] for one in holes(database.admin)] == ["tenantry.can(text)"]
    assert push(database.superuser, files, repairs=REPAIRS, look=holes).repaired == [
        "tenantry.can(text): put back (leakproof: True instead of False)"
    ]
    assert database.value("select count(*) from tenantry.fingerprints where server = 14") == 0


def test_what_a_dump_makes_of_a_parsed_body_is_no_alarm(database: Database) -> None:
    """A dump makes each function anew from what is printed of it."""
    database.admin.execute("set search_path = ''")
    for (text,) in database.admin.execute(
        "select pg_get_functiondef(oid) from pg_proc where prosqlbody is not null and pronamespace = 'tenantry'::regnamespace"
    ).fetchall():
        database.admin.execute(text)
    database.admin.execute("reset search_path")
    assert holes(database.admin) == []


def test_whoever_requests_sign_in_as_may_not_write_the_registry(database: Database) -> None:
    import psycopg

    for url in (database.urls.platform, database.urls.auth, database.urls.ops):
        with psycopg.connect(url.reveal()) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update tenantry.fingerprints set facts = '{}'")


def test_an_emptied_registry_is_found(database: Database) -> None:
    database.admin.execute("delete from tenantry.fingerprints")
    assert "public.get_current_tenant_id()" in {one[1] for one in holes(database.admin)}


async def test_readiness_names_the_replaced_function(database: Database) -> None:
    async with opened(Tenantry(), database) as app:
        client = Client(app)
        async with asyncio.timeout(30):
            while (await client.query("health.readiness")).status != 200:
                await asyncio.sleep(0.1)
            database.admin.execute(FORGED)
            while (reply := await client.query("health.readiness")).status == 200:
                await asyncio.sleep(0.1)
        assert any("get_current_tenant_id() was replaced" in why for why in reply.json["why"])


async def test_readiness_says_why(database: Database) -> None:
    async with opened(Tenantry(), database) as app:
        client = Client(app)
        async with asyncio.timeout(30):
            while (await client.query("health.readiness")).status != 200:
                await asyncio.sleep(0.1)
            database.admin.execute("alter table public.users disable row level security")
            while (reply := await client.query("health.readiness")).status == 200:
                await asyncio.sleep(0.1)
        assert any("row level security" in why for why in reply.json["why"])
