"""Health over real PostgreSQL: what is found, in which words, and that it never costs more than one question."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenantry import Tenantry
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened


@pytest.fixture
async def app(database: Database, people: People) -> AsyncIterator[Tenantry]:
    async with opened(Tenantry(), database) as app:
        yield app


async def test_a_healthy_service_says_so_twice(app: Tenantry) -> None:
    reply = await Client(app).query("health.check")
    assert (reply.status, reply.json["status"], reply.header("cache-control")) == (200, "healthy", "no-store")
    assert reply.json["result"]["data"]["checks"] == reply.json["checks"]
    assert reply.json["checks"]["database"]["details"] == {"rlsConfigured": True, "missing": []}
    assert {c["status"] for c in reply.json["checks"].values()} == {"up"}


async def test_in_a_batch_there_is_the_envelope_only(app: Tenantry) -> None:
    reply = await Client(app).send("GET", "/trpc/health.check,health.liveness", "batch=1")
    assert [list(item) for item in reply.json] == [["result"], ["result"]]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("drop function public.get_current_tenant_id() cascade", "get_current_tenant_id"),
        ("revoke execute on function public.get_current_tenant_id() from platform", "get_current_tenant_id"),
        ("alter table users disable row level security", "users"),
        ("alter table users no force row level security", "users"),
        ("drop policy tenantry_select on users", "users"),
    ],
)
async def test_open_isolation_is_unhealthy_and_not_ready(
    app: Tenantry, database: Database, broken: str, words: str
) -> None:
    database.admin.execute(broken)
    reply = await Client(app).query("health.check")
    assert (reply.status, reply.json["status"], reply.json["checks"]["database"]["status"]) == (
        503,
        "unhealthy",
        "down",
    )
    details = reply.json["checks"]["database"]["details"]
    assert details["rlsConfigured"] is False
    assert any(words in thing for thing in details["missing"])
    assert reply.json["consecutiveFailures"] == 1
    ready = await Client(app).query("health.readiness")
    assert (ready.status, ready.json["ready"]) == (503, False)
    assert (await Client(app).query("health.liveness")).status == 200


async def test_any_number_of_callers_cause_one_check(app: Tenantry) -> None:
    replies = await asyncio.gather(*(Client(app).query("health.check") for _ in range(200)))
    assert {r.status for r in replies} == {200}
    health = app._state.health  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    assert health._connection.opened == 1  # pyright: ignore[reportPrivateUsage]


async def test_a_draining_worker_is_not_ready(app: Tenantry) -> None:
    app._state.health.is_draining = True  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    reply = await Client(app).query("health.readiness")
    assert (reply.status, reply.json["draining"]) == (503, True)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
async def test_a_stopped_server_is_said_and_not_waited_for(app: Tenantry, cluster: Cluster) -> None:
    pid = cluster.embedded.status().pid
    assert pid is not None
    children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for one in (pid, *children):
        os.kill(one, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            reply = await Client(app).query("health.check")
        assert (reply.status, reply.json["checks"]["database"]["message"]) == (503, "No answer within 800 ms")
        assert (await Client(app).query("health.liveness")).status == 200
    finally:
        for one in (*children, pid):
            os.kill(one, signal.SIGCONT)
    await asyncio.sleep(1.1)
    assert (await Client(app).query("health.check")).status == 200
