"""`users.changed` as a browser's EventSource gets it: server-sent events with ids, and resume by `last-event-id`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tenantry import BigInt, Ctx, Record, Tenantry, Tracked
from tenantry.http import NativeServer, bind
from tests.conftest import Database, People
from tests.harness import Client, opened


async def heard(
    url: str, token: str, count: int, after: str | None = None, started: asyncio.Event | None = None,
    path: str = "users.changed",
) -> list[Any]:  # fmt: skip
    """The first `count` messages: (id, data)."""
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    if after is not None:
        headers["last-event-id"] = after
    got: list[Any] = []
    id_, data, event = "", "", ""
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"{url}/{path}", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                id_ = line[4:]
            elif line.startswith("data: "):
                data = line[6:]
            elif line.startswith("event: "):
                event = line[7:]
            elif not line and (data or event):
                if event == "connected" and started is not None:
                    started.set()
                if event == "serialized-error":
                    got.append(("error", json.loads(data)["data"]["code"]))
                    return got
                if not event:
                    got.append((id_, json.loads(data)))
                    if len(got) == count:
                        return got
                id_, data, event = "", "", ""
    return got


async def test_users_changed_reaches_a_front_end_and_goes_on_where_it_was(database: Database, people: People) -> None:
    async with opened(Tenantry(), database) as app:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(app.handler)
        await server.start([listener])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/trpc"
        owner, own = Client(app, people.acme.owner.token), str(people.acme.owner.user_id)
        hub = app._state.hub  # pyright: ignore
        both = [asyncio.create_task(heard(url, t.member.token, 2)) for t in (people.acme, people.globex)]
        async with asyncio.timeout(20):
            while len(hub.channels) < 2:
                await asyncio.sleep(0.01)
        for name in ("One", "Two", "Three"):
            assert (await owner.mutate("users.update", {"id": own, "name": name})).status == 200
        first = await asyncio.wait_for(both[0], 20)
        assert [data for _, data in first] == [{"id": own, "change": "updated"}] * 2
        assert not both[1].done()
        again = await asyncio.wait_for(heard(url, people.acme.member.token, 1, after=first[1][0]), 20)
        assert again[0][1] == {"id": own, "change": "updated"}
        assert again[0][0] not in [id_ for id_, _ in first]
        lost = await asyncio.wait_for(heard(url, people.globex.admin.token, 1, after=first[0][0]), 20)
        assert lost == [("error", "PRECONDITION_FAILED")]
        both[1].cancel()
        await asyncio.gather(*both, return_exceptions=True)
        await server.drain(1)


class Counted(Record):
    total: BigInt
    parts: list[BigInt]


async def test_a_big_integer_keeps_its_digits_through_an_event(database: Database, people: People) -> None:
    """A string without a transformer, a bigint with superjson; what is not a whole number is an error where it is published."""
    app = Tenantry()
    app.mount("/plain")
    app.mount("/super", transformer="superjson")
    sums = app.router("sums")

    @sums.mutation
    async def count(ctx: Ctx) -> str:
        await ctx.publish("sums", Counted(total=BigInt(2**70), parts=[BigInt(-(2**64)), BigInt(7)]))
        return "counted"

    @sums.subscription
    async def counted(ctx: Ctx) -> AsyncIterator[Tracked[Counted]]:
        async for event in ctx.subscribe(Counted, "sums"):
            yield event

    async with opened(app, database) as app:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(app.handler)
        await server.start([listener])
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        both = [
            asyncio.create_task(heard(f"{host}{mount}", people.acme.member.token, 1, path="sums.counted"))
            for mount in ("/plain", "/super")
        ]
        hub = app._state.hub  # pyright: ignore
        async with asyncio.timeout(20):
            while sum(len(channel.members) for channel in hub.channels.values()) < 2:
                await asyncio.sleep(0.005)
        async with httpx.AsyncClient() as client:
            said = await client.post(
                f"{host}/plain/sums.count",
                headers={"authorization": f"Bearer {people.acme.owner.token}", "content-type": "application/json"},
            )
            assert said.status_code == 200, said.text
        plain, rich = await asyncio.wait_for(asyncio.gather(*both), 30)
        await server.drain(1)
    (_, found), (_, wrapped) = plain[0], rich[0]
    assert found == {"total": str(2**70), "parts": [str(-(2**64)), "7"]}
    assert wrapped["json"] == found
    assert wrapped["meta"]["values"] == {"total": ["bigint"], "parts.0": ["bigint"], "parts.1": ["bigint"]}
