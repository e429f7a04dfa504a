"""Health over a real PostgreSQL: what is wrong is found and named, many callers ask once, and nothing makes it hang."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tenantry import Ctx, Statement, Tenantry
from tenantry.ops import Health
from tests.conftest import Database, People
from tests.harness import Client, Reply, opened

CHECKS = {"database", "pool", "memory", "migrations", "loop"}


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Tenantry[Any]]:
    async with opened(Tenantry(), database) as app:
        yield app


def health_of(app: Tenantry[Any]) -> Health:
    return app._state.health  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - what is tested


async def fresh(app: Tenantry[Any]) -> Reply:
    """The report of a run that begins now, not the one that still serves."""
    health_of(app)._last = None  # pyright: ignore[reportPrivateUsage] - else each test would wait a second
    return await Client(app).query("health.check")


async def until(app: Tenantry[Any], is_so: Callable[[Reply], bool]) -> Reply:
    """The first report that is so: on a busy machine one run may be slow, and so degraded, by no fault of the checks."""
    async with asyncio.timeout(30):
        while not is_so(reply := await fresh(app)):
            await asyncio.sleep(0.1)
    return reply


def is_healthy(reply: Reply) -> bool:
    return reply.json["status"] == "healthy"


async def database_check(app: Tenantry[Any]) -> tuple[int, dict[str, Any]]:
    reply = await fresh(app)
    return reply.status, reply.json["checks"]["database"]


# ---------------------------------------------------------------- the shapes


async def test_a_healthy_report_has_every_check_and_is_not_stored(app: Tenantry[Any]) -> None:
    reply = await until(app, is_healthy)
    found = reply.data
    assert (reply.status, found["status"], found["consecutiveFailures"]) == (200, "healthy", 0)
    assert found["checks"].keys() == CHECKS
    for check in found["checks"].values():
        assert check.keys() == {"status", "message", "responseTime", "details"}
        assert check["status"] == "up"
    assert found["checks"]["database"]["details"] == {"rlsConfigured": True, "missing": []}
    assert found.keys() == {"status", "timestamp", "uptime", "version", "checks", "ageMs", "consecutiveFailures"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["timestamp"])
    assert abs(datetime.fromisoformat(found["timestamp"]).timestamp() - time.time()) < 60
    assert reply.header("cache-control") == "no-store"


async def test_liveness_and_readiness_have_their_own_fields(app: Tenantry[Any]) -> None:
    await until(app, is_healthy)
    live, ready = await Client(app).query("health.liveness"), await Client(app).query("health.readiness")
    assert (live.status, live.data["alive"]) == (200, True)
    assert live.data.keys() == {"alive", "timestamp", "loopLagMs"}
    assert (ready.status, ready.data["ready"], ready.data["draining"]) == (200, True, False)
    assert ready.data.keys() == {"ready", "timestamp", "checks", "draining"}
    assert ready.data["checks"] == dict.fromkeys(CHECKS, "up")
    assert live.header("cache-control") == ready.header("cache-control") == "no-store"


@pytest.mark.parametrize("call", ["check", "liveness", "readiness"])
async def test_a_single_call_has_its_fields_twice_and_a_batch_once(app: Tenantry[Any], call: str) -> None:
    alone = (await Client(app).query(f"health.{call}")).json
    assert alone == {"result": {"data": alone["result"]["data"]}, **alone["result"]["data"]}
    (batched,) = (await Client(app).send("GET", f"/trpc/health.{call}", "batch=1&input={}")).json
    assert batched.keys() == {"result"}
    assert batched["result"]["data"].keys() == alone["result"]["data"].keys()


async def test_a_worker_that_drains_is_not_ready_and_still_healthy(app: Tenantry[Any]) -> None:
    health_of(app).is_draining = True
    reply = await Client(app).query("health.readiness")
    assert (reply.status, reply.json["ready"], reply.json["draining"]) == (503, False, True)
    assert (await Client(app).query("health.check")).status == 200


# ---------------------------------------------------------------- isolation that has gone


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        ("alter table users disable row level security", "users: row level security"),
        ("alter table users no force row level security", "users: forced row level security"),
        ("drop policy tenantry_select on users", "users: policy for select"),
        ("drop policy tenantry_update on users", "users: policy for update"),
        (
            "revoke execute on function get_current_tenant_id() from public, platform",
            "execute on function get_current_tenant_id()",
        ),
        ("drop function get_current_tenant_id() cascade", "function get_current_tenant_id()"),
        (
            "create table open_to_all (tenant_id uuid); grant select on open_to_all to platform",
            "open_to_all: row level security",
        ),
    ],
)
async def test_missing_isolation_is_down_and_named(
    app: Tenantry[Any], database: Database, damage: str, missing: str
) -> None:
    assert (await database_check(app))[0] == 200
    for statement in damage.split("; "):
        database.admin.execute(statement.encode())
    status, check = await database_check(app)
    assert (status, check["status"], check["details"]["rlsConfigured"]) == (503, "down", False)
    assert missing in check["details"]["missing"]
    ready = await Client(app).query("health.readiness")
    assert (ready.status, ready.json["checks"]["database"]) == (503, "down")


async def test_failures_are_counted_in_a_row_and_a_good_run_ends_the_row(
    app: Tenantry[Any], database: Database
) -> None:
    database.admin.execute("alter table users no force row level security")
    assert [(await fresh(app)).json["consecutiveFailures"] for _ in range(3)] == [1, 2, 3]
    assert (await Client(app).query("health.check")).json["consecutiveFailures"] == 3  # the same run, served again
    database.admin.execute("alter table users force row level security")
    assert (await fresh(app)).json["consecutiveFailures"] == 0


# ---------------------------------------------------------------- migrations


async def test_a_file_that_waits_or_was_edited_degrades_and_stays_ready(app: Tenantry[Any], database: Database) -> None:
    await until(app, is_healthy)
    database.admin.execute("delete from tenantry.migrations where name = '0007_enter.sql'")
    database.admin.execute(
        "update tenantry.migrations set sha256 = $1 where name = '0003_tenants.sql'", (sha256(b"edited").digest(),)
    )
    reply = await fresh(app)
    check = reply.json["checks"]["migrations"]
    assert (reply.status, reply.json["status"], check["status"]) == (200, "degraded", "degraded")
    assert check["message"] == "Migrations: 1 not applied, 1 edited after they were applied"
    assert check["details"] == {"waiting": ["0007_enter.sql"], "changed": ["0003_tenants.sql"], "newer": []}
    assert (await Client(app).query("health.readiness")).status == 200


async def test_not_ready_until_the_migrations_are_current(database: Database) -> None:
    checksum = database.value("delete from tenantry.migrations where name = '0007_enter.sql' returning sha256")
    async with opened(Tenantry(), database) as app:
        assert (await fresh(app)).json["status"] == "degraded"
        reply = await Client(app).query("health.readiness")
        assert (reply.status, reply.json["ready"], reply.json["checks"]["migrations"]) == (503, False, "degraded")
        database.admin.execute(
            "insert into tenantry.migrations (name, kind, sha256) values ('0007_enter.sql', 'built-in', $1)",
            (checksum,),
        )
        await fresh(app)
        assert (await Client(app).query("health.readiness")).status == 200


async def test_a_schema_that_is_newer_than_the_code_is_not_ready(app: Tenantry[Any], database: Database) -> None:
    database.admin.execute(
        "insert into tenantry.migrations (name, kind, sha256) values ('9999_future.sql', 'built-in', $1)", (bytes(32),)
    )
    assert (await fresh(app)).json["checks"]["migrations"]["details"]["newer"] == ["9999_future.sql"]
    reply = await Client(app).query("health.readiness")
    assert (reply.status, reply.json["ready"], reply.json["checks"]["migrations"]) == (503, False, "degraded")


async def test_files_of_the_application_are_compared_where_they_are_here_only(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "0001_notes.sql").write_text("select 1")
    database.admin.execute(
        "insert into tenantry.migrations (name, kind, sha256) values ('0000_elsewhere.sql', 'application', $1)",
        (bytes(32),),
    )
    async with opened(Tenantry(), database, migrations=tmp_path) as app:
        details = (await fresh(app)).json["checks"]["migrations"]["details"]
    assert details == {"waiting": ["0001_notes.sql"], "changed": [], "newer": []}


async def test_a_history_that_cannot_be_read_degrades(app: Tenantry[Any], database: Database) -> None:
    database.admin.execute("revoke select on tenantry.migrations from public, platform")
    reply = await fresh(app)
    assert (reply.status, reply.json["checks"]["migrations"]["status"]) == (200, "degraded")


# ---------------------------------------------------------------- a database that is silent, or gone


@contextmanager
def stopped(database: Database) -> Iterator[None]:
    """The whole server gets SIGSTOP: it accepts connections (the kernel does) and never says a word."""
    postmaster = int(str(database.value("select pg_read_file('postmaster.pid')")).split("\n", 1)[0])
    pids = [postmaster, *_children(postmaster)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
    return [int(pid) for pid in text.split()]


async def test_a_stopped_server_is_down_within_the_deadline_and_up_when_it_goes_on(
    app: Tenantry[Any], database: Database
) -> None:
    assert (await fresh(app)).status == 200  # the check has its connection, and asks over it
    with stopped(database):
        for _ in range(2):  # over the connection that it had, then over a new one, which the kernel accepts
            began = time.monotonic()
            reply = await fresh(app)
            took = time.monotonic() - began
            checks = reply.json["checks"]
            assert (reply.status, checks["database"]["status"]) == (503, "down")
            assert checks["database"]["message"] == "No answer within 800 ms"
            assert checks["migrations"]["message"] == "Not known, since the database does not answer"
            assert (
                0.75 < took < 5
            )  # the deadline is 0.8 s; a busy machine adds to it, but a wait for SIGCONT has no end
        live = await Client(app).query("health.liveness")
        assert (live.status, live.json["alive"]) == (200, True)
    await until(app, lambda reply: reply.status == 200)


async def test_a_hundred_callers_of_a_silent_database_ask_it_once(app: Tenantry[Any], database: Database) -> None:
    assert (await fresh(app)).status == 200
    connection = health_of(app)._connection  # pyright: ignore[reportPrivateUsage] - its count is the claim
    before = connection.opened
    with stopped(database):
        health_of(app)._last = None  # pyright: ignore[reportPrivateUsage]
        calls = [Client(app).query(f"health.{name}") for name in ("check", "readiness") * 50]
        async with asyncio.timeout(10):
            replies = await asyncio.gather(*calls)
    assert {r.status for r in replies} == {503}
    assert connection.opened - before <= 2
    assert {r.json["consecutiveFailures"] for r in replies[::2]} == {1}


async def test_callers_within_a_second_get_the_same_run_with_its_age(app: Tenantry[Any]) -> None:
    first = (await fresh(app)).json
    await asyncio.sleep(0.05)
    second = (await Client(app).query("health.check")).json
    assert second["checks"] == first["checks"]
    assert second["ageMs"] >= 50
    await asyncio.sleep(1.0)
    assert (await Client(app).query("health.check")).json["ageMs"] < 1000


async def test_a_server_that_ends_the_connection_is_asked_over_a_new_one(
    app: Tenantry[Any], database: Database
) -> None:
    assert (await fresh(app)).status == 200
    database.admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'platform' and datname = current_database()"
    )
    await fresh(app)
    assert (await database_check(app))[0] == 200


async def test_what_is_said_of_an_unreachable_database_names_no_place(app: Tenantry[Any], database: Database) -> None:
    health = health_of(app)
    gone = database.urls.platform.with_database("no_such_database")
    health._connection._url = gone  # pyright: ignore[reportPrivateUsage]
    health._connection.close()  # pyright: ignore[reportPrivateUsage]
    reply = await fresh(app)
    assert reply.json["checks"]["database"]["status"] == "down"
    for secret in (gone.user, gone.place, gone.password, gone.database):
        assert secret not in str(reply.json)


# ---------------------------------------------------------------- the pool


def sleeper() -> Tenantry[Any]:
    app = Tenantry()
    slow = app.router("slow")

    @slow.query
    def sleep(ctx: Ctx, seconds: float) -> Statement[str]:
        return ctx.db.one(str, "select pg_sleep($1)::text", seconds)

    return app


async def test_a_full_pool_whose_waiters_gave_up_is_down_until_it_has_room(database: Database, people: People) -> None:
    async with opened(sleeper(), database, pool_size=1, pool_queue=1, pool_wait_ms=50) as app:
        client = Client(app, people.acme.owner.token)
        assert (await client.query("slow.sleep", {"seconds": 0})).status == 200
        holding = asyncio.create_task(client.query("slow.sleep", {"seconds": 2}))
        await asyncio.sleep(0.02)
        assert (await client.query("slow.sleep", {"seconds": 0})).status == 503
        reply = await fresh(app)
        pool = reply.json["checks"]["pool"]
        assert (reply.status, pool["status"], pool["details"]["size"]) == (503, "down", 1)
        assert reply.json["checks"]["database"]["status"] == "up"  # asked over a connection of its own
        assert (await holding).status == 200
        assert (await fresh(app)).json["checks"]["pool"]["status"] != "down"


async def test_a_pool_that_is_nearly_all_in_use_degrades(database: Database, people: People) -> None:
    async with opened(sleeper(), database, pool_size=1) as app:
        client = Client(app, people.acme.owner.token)
        holding = asyncio.create_task(client.query("slow.sleep", {"seconds": 4}))
        # The mean of a second is what counts, not one look.
        reply = await until(app, lambda reply: reply.json["checks"]["pool"]["status"] != "up")
        assert (reply.status, reply.json["checks"]["pool"]["status"]) == (200, "degraded")
        assert not holding.done()
        await holding


# ---------------------------------------------------------------- the loop


async def test_a_loop_that_was_held_up_degrades(app: Tenantry[Any]) -> None:
    await asyncio.sleep(0.3)
    time.sleep(0.6)  # a handler that blocks
    await asyncio.sleep(0.01)
    reply = await fresh(app)
    loop = reply.json["checks"]["loop"]
    assert (reply.status, loop["status"]) == (200, "degraded")
    assert loop["details"]["lagMs"] > 250


def test_before_the_application_is_open_nothing_is_healthy() -> None:
    answers: list[Any] = []
    from tenantry.http import Request

    Tenantry().handler(Request("GET", "/trpc/health.readiness", b"", [], b"", "127.0.0.1"), answers.append)
    assert answers[0].status == 503
