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
