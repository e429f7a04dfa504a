"""What a request leaves behind in the metrics, over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenantry import Ctx, Record, Statement, Tenantry
from tenantry.ops.metrics import Sample, Slots, by_key, collect
from tests.conftest import Database, People
from tests.harness import Client, opened


class One(Record):
    n: int


def an_app() -> Tenantry[Any]:
    app = Tenantry()
    try_ = app.router("try")

    @try_.query
    def one(ctx: Ctx) -> Statement[One]:
        return ctx.db.one(One, "select 1 as n")

    @try_.query
    async def two(ctx: Ctx) -> int:
        await ctx.db.one(One, "select 1 as n")
        return 2

    @try_.query
    def slow(ctx: Ctx) -> Statement[One]:
        return ctx.db.one(One, "select 1 as n from pg_sleep(30)")

    @try_.query
    async def bug(ctx: Ctx) -> int:
        raise ValueError("secret")

    return app


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Tenantry[Any]]:
    async with opened(an_app(), database, deadline_ms=300) as app:
        yield app


def read(database: Database) -> dict[tuple[str, ...], Sample]:
    return by_key(collect(Slots(database.home / "run")))


async def test_calls_errors_and_statements_are_counted(app: Tenantry[Any], database: Database, people: People) -> None:
    client = Client(app, people.acme.member.token)
    for _ in range(3):
        assert (await client.query("try.one")).status == 200
    assert (await client.query("try.two")).status == 200
    assert (await client.query("try.slow")).code == "TIMEOUT"
    assert (await Client(app).query("try.one")).code == "UNAUTHORIZED"
    assert (await client.query("try.bug")).code == "INTERNAL_SERVER_ERROR"
    assert (await client.query("no.such")).code == "NOT_FOUND"
    (await client.send("GET", "/trpc/try.one,try.one,try.two", "batch=1&input={}"))
    found = read(database)
    assert found["api_requests_total", "try.one", "query"].value == 6
    assert found["api_requests_total", "_other", "_other"].value == 1
    assert found["api_request_errors_total", "try.slow", "TIMEOUT", "server"].value == 1
    assert found["api_request_errors_total", "try.one", "UNAUTHORIZED", "client"].value == 1
    assert found["api_request_errors_total", "try.bug", "INTERNAL_SERVER_ERROR", "server"].value == 1
    assert found["api_request_errors_total", "_other", "NOT_FOUND", "client"].value == 1
    assert found["db_query_duration_ms", "select", "ok"].cells[-3] == 7
    assert found["db_query_duration_ms", "select", "timeout"].cells[-3] == 1
    entering = found["rls_context_set_duration_ms",].cells
    assert entering[-3] == 1, "one entering in eight is timed, the first among them"
    assert 0 < entering[-2] / entering[-3] < 1000
    assert not any("health" in label for key in found for label in key[1:])
