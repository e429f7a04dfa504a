"""Isolation that is broken is told of: a refused row by name, an open one as an incident of its own kind."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from uuid import UUID

import pytest

from tenantry import Ctx, Statement, Tenantry
from tenantry.db.migrate import Migration, push
from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import check_database, question
from tenantry.ops.watch import Watch
from tenantry.processes.isolation import Isolation
from tenantry.settings import DatabaseUrl, Settings
from tenantry.tenancy import REPAIRS, builtin_migrations
from tests.conftest import Database, People
from tests.harness import Client, opened


async def test_a_role_that_no_policy_binds_is_down(database: Database):
    as_requests, as_superuser = OwnConnection(database.urls.platform), OwnConnection(database.superuser)
    try:
        assert (await check_database(as_requests, question())).status != "down"
        found = await check_database(as_superuser, question())
    finally:
        as_requests.close()
        as_superuser.close()
    assert found.status == "down"
    assert "the role of requests bypasses row level security" in found.details["missing"]


async def test_a_breach_is_one_incident_until_somebody_says_that_it_is_over(tmp_path: Path):
    async def nothing() -> None: ...

    watch = Watch(Settings(home=tmp_path), nothing)
    for _ in range(3):
        watch.breach(["users: forced row level security"])
    (incident,) = watch.desk.incidents.values()
    assert (incident.kind, incident.text) == ("rls_breach", "users: forced row level security")
    watch.breach([])
    assert incident.is_open


SAYS_ANOTHER = "create or replace function {} language sql stable parallel safe return '00000000-0000-0000-0000-000000000001'::uuid"
DAMAGES = [
    (SAYS_ANOTHER.format("public.get_current_tenant_id() returns uuid"), "get_current_tenant_id(): the function was replaced"),
    (SAYS_ANOTHER.format("tenantry.user_id() returns uuid"), "tenantry.user_id(): the function was replaced"),
    ("create or replace function tenantry.seal() returns text language sql immutable parallel safe return 'none'", "tenantry.seal(): the function was replaced"),
    ("alter function tenantry.current_tenant() security invoker", "tenantry.current_tenant(): the function was replaced"),
    ("alter function tenantry.set_role(uuid, text, text, text) reset all", "tenantry.set_role(uuid,text,text,text): "),
    ("alter policy tenantry_select on public.users using (true)", "tenantry_select on public.users: the policy is not as it was declared"),
    ("create policy evil on public.users for select to platform using (true)", "evil on public.users: "),
    ("alter table public.users no force row level security", "public.users: "),
    ("grant select on tenantry.seal_key to platform", "tenantry.seal_key"),
    ("grant set on parameter backtrace_functions to platform", "backtrace_functions, where the sealed context lies"),
    ("grant truncate on public.users to platform", "public.users: "),
    ("create function public.open() returns bigint language sql security definer as 'select 1::bigint'; grant execute on function public.open() to platform", "public.open(): "),
]  # fmt: skip


async def looked(isolation: Isolation) -> list[str]:
    await isolation.look()
    return isolation.breaches


@pytest.mark.parametrize(("damage", "says"), DAMAGES, ids=[says for _, says in DAMAGES])
async def test_what_breaks_the_seal_is_found_with_its_evidence(
    database: Database, tmp_path: Path, damage: str, says: str
):
    settings = database.settings(home=tmp_path)
    assert await looked(Isolation(settings)) == []
    for statement in damage.split("; "):
        database.admin.execute(statement.encode())
    found = await looked(Isolation(settings))  # also by a watcher that was started since
    database.admin.execute("revoke set on parameter backtrace_functions from platform")  # of the whole server
    assert any(says in one for one in found), found
    watch = Watch(settings, _nothing)
    watch.breach(found)
    (incident,) = watch.desk.incidents.values()
    assert incident.kind == "rls_breach"
    assert [entry.text for entry in incident.timeline if entry.what == "evidence"] == found


async def _nothing() -> None: ...


async def test_a_migration_may_change_a_function_and_a_repair_puts_it_back(database: Database, tmp_path: Path):
    isolation = Isolation(database.settings(home=tmp_path))
    assert await looked(isolation) == []
    database.admin.execute(SAYS_ANOTHER.format("tenantry.user_id() returns uuid").encode())
    assert len(await looked(isolation)) == 1
    files = [Migration(name, sql, "built-in") for name, sql in builtin_migrations()]
    push(database.urls.admin, files, repairs=REPAIRS)
    assert await looked(isolation) == []
    text = "create or replace function public.mine() returns int language sql security definer set search_path = '' as 'select {}'"
    for number in (1, 2):
        body = text.format(number) + "; revoke execute on function public.mine() from public;"
        push(database.urls.admin, [*files, *(Migration(f"{n:04}_mine.sql", text.format(n) + "; revoke execute on function public.mine() from public;") for n in range(1, number)), Migration(f"{number:04}_mine.sql", body)])  # fmt: skip
        assert await looked(isolation) == []
    database.admin.execute(text.format(3).encode())
    assert await looked(isolation) == ["mine(): the function was replaced, and no migration did it"]


async def test_a_database_that_is_away_or_a_table_that_shuts_out_is_no_breach(database: Database, tmp_path: Path):
    settings = database.settings(home=tmp_path)
    isolation = Isolation(settings)
    database.admin.execute("drop policy tenantry_select on public.users")
    assert await looked(isolation) == []
    away = Isolation(
        database.settings(home=tmp_path, database_url=DatabaseUrl("postgresql://platform@127.0.0.1:1/away"))
    )
    assert await looked(away) == []


async def test_a_server_that_falls_silent_does_not_hold_the_watcher(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tenantry.processes.isolation.DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(
        "tenantry.processes.isolation.HISTORY", "select pg_catalog.pg_sleep(2.8)::text, 1"
    )  # never answers in time
    isolation = Isolation(database.settings(home=tmp_path))
    started = time.monotonic()
    assert await looked(isolation) == []
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - started < 2.5


def test_what_is_found_later_joins_the_incident(tmp_path: Path):
    watch = Watch(Settings(home=tmp_path), _nothing)
    watch.breach(["users: forced row level security"])
    watch.breach(["users: forced row level security", "evil on public.users: nobody declared it"])
    watch.breach(["evil on public.users: nobody declared it"])
    (incident,) = watch.desk.incidents.values()
    assert [entry.text for entry in incident.timeline if entry.what == "evidence"] == [
        "users: forced row level security", "evil on public.users: nobody declared it",
    ]  # fmt: skip


async def test_a_refused_row_is_named_in_the_log_and_nowhere_else(
    database: Database, people: People, caplog: pytest.LogCaptureFixture
):
    push(
        database.superuser,
        [
            Migration(
                "0001_things.sql",
                "create table things (id uuid primary key default gen_random_uuid());\nselect tenantry.protect('things');",
            )
        ],
    )
    app = Tenantry()
    things = app.router("things")

    @things.mutation
    def steal(ctx: Ctx, tenant: UUID) -> Statement[int]:
        return ctx.db.run("insert into things (tenant_id) values ($1)", tenant)

    with caplog.at_level(logging.WARNING):
        async with opened(app, database) as served:
            reply = await Client(served, people.acme.member.token).mutate(
                "things.steal", {"tenant": str(people.globex.id)}
            )
    assert reply.code == "FORBIDDEN"
    (line,) = [record.getMessage() for record in caplog.records if "rls_violation" in record.getMessage()]
    assert "things.steal" in line
    assert "insert on things" in line
    assert str(people.acme.id) in line
    assert str(people.globex.id) not in line
    assert str(people.acme.id) not in str(reply.json)
