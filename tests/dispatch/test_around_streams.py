"""A middleware that asks the database, around what takes or gives a stream: one entry, one transaction, and nothing held while a stream waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tenantry import Call, Ctx, File, Forbidden, Next, Tenantry
from tenantry.http import NativeServer, bind
from tests.conftest import Database, People
from tests.harness import opened

HELD = "select count(*) from pg_stat_activity where state = 'idle in transaction' and usename = 'platform' and datname = current_database()"


def application() -> Tenantry:
    app = Tenantry()
    one = app.router("one")

    @app.middleware
    async def asks(ctx: Ctx, call: Call, next: Next) -> object:
        if await ctx.db.one(str, "select tenantry.role()") == "owner":
            raise Forbidden("not the owner")
        return await next()

    @one.mutation
    async def up(ctx: Ctx, file: File) -> int:
        return sum([len(chunk) async for chunk in file]) + await ctx.db.one(int, "select 1")

    @one.mutation(role="admin")
    async def up_as_admin(ctx: Ctx, file: File) -> int:
        return sum([len(chunk) async for chunk in file])

    @one.subscription
    async def hear(ctx: Ctx) -> AsyncIterator[int]:
        yield 7
        yield await ctx.db.one(int, "select 8")

    return app


@pytest.mark.parametrize("fast_lane", [False, True])
async def test_uploads_and_subscriptions_behind_a_middleware_that_asks(
    database: Database, people: People, fast_lane: bool
) -> None:
    async with opened(application(), database, fast_lane=fast_lane) as app:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(app.handler)
        await server.start([listener])
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/trpc/one."

        def caller(token: str) -> httpx.AsyncClient:
            return httpx.AsyncClient(base_url=base, headers={"authorization": f"Bearer {token}"}, timeout=30)

        files: Any = {"file": ("a.txt", b"abc")}
        async with caller(people.acme.member.token) as member, caller(people.acme.owner.token) as owner:
            for headers in ({}, {"idempotency-key": "00000000-0000-4000-8000-000000000000"}):
                assert (await member.post(f"{base}up", files=files, headers=headers)).json() == {"result": {"data": 4}}
            assert (await member.post(f"{base}upAsAdmin", files=files)).status_code == 403
            assert (await owner.post(f"{base}up", files=files)).json()["error"]["message"] == "not the owner"
            got: list[str] = []
            async with member.stream("GET", f"{base}hear", headers={"accept": "text/event-stream"}) as answer:
                async for line in answer.aiter_lines():
                    if line in ("data: 7", "data: 8"):
                        got.append(line)
                        assert database.value(HELD) == 0
                    if len(got) == 2:
                        break
        await server.drain(1)
