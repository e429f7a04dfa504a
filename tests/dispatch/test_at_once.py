"""A public handler that awaits nothing has no task of its own, and a caller cannot tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from contextvars import ContextVar

import httpx

from tenantry import Deferred, NotFound, Record, Tenantry, Visitor
from tenantry.http import NativeServer, bind
from tests.conftest import Database
from tests.harness import Client, opened

SEEN: ContextVar[str] = ContextVar("SEEN", default="nothing")


class Both(Record):
    now: int
    later: Deferred[int]


async def soon() -> int:
    await asyncio.sleep(0.01)
    return 2


def application() -> Tenantry:
    app = Tenantry()
    root = app.router("", public=True)

    @root.query
    async def at_once(ctx: Visitor, n: int = 1) -> bool:
        return asyncio.current_task() is not None and asyncio.current_task().get_name() == "none"  # type: ignore[union-attr]

    @root.query
    async def waits(ctx: Visitor) -> int:
        return await soon()

    @root.query
    async def waits_in_a_block(ctx: Visitor) -> int:
        async with asyncio.timeout(1):
            return 3

    @root.query
    async def remembers(ctx: Visitor, word: str) -> str:
        before = SEEN.get()
        SEEN.set(word)
        return before

    @root.query
    async def fails(ctx: Visitor) -> int:
        raise NotFound("not here")

    @root.query
    async def breaks(ctx: Visitor) -> int:
        raise RuntimeError

    @root.query
    async def gives_up(ctx: Visitor) -> int:
        raise asyncio.CancelledError

    @root.query
    async def has_no_json(ctx: Visitor) -> object:
        return object()

    @root.query
    async def later(ctx: Visitor) -> Both:
        return Both(now=1, later=soon())

    @root.query
    async def all_later(ctx: Visitor) -> Awaitable[int]:
        return soon()

    return app


def test_what_waits_is_known_by_its_code() -> None:
    procedures = application().procedures()
    assert {path for path, one in procedures.items() if one.scope == "public" and not one.never_waits} >= {
        "waits",
        "waitsInABlock",
    }
    assert procedures["atOnce"].never_waits
    assert not procedures["tenants.current"].never_waits


async def test_answers_and_errors_are_as_ever(database: Database) -> None:
    async with opened(application(), database) as app:
        client = Client(app)
        assert (await client.query("atOnce", {"n": 1})).data is False
        assert [(await client.query(path)).data for path in ("waits", "waitsInABlock")] == [2, 3]
        assert (await client.query("fails")).error["message"] == "not here"
        codes = [(await client.query(path)).code for path in ("breaks", "hasNoJson", "givesUp", "later", "allLater")]
        assert codes == ["INTERNAL_SERVER_ERROR"] * 2 + ["CLIENT_CLOSED_REQUEST"] + ["UNSUPPORTED_MEDIA_TYPE"] * 2
        assert (await client.query("atOnce", {"n": "x"})).code == "BAD_REQUEST"


async def test_what_it_sets_in_its_context_is_its_own(database: Database) -> None:
    async with opened(application(), database) as app:
        assert [(await Client(app).query("remembers", {"word": word})).data for word in "ab"] == ["nothing"] * 2
    assert SEEN.get() == "nothing"


async def test_what_it_gives_may_come_later_and_a_batch_keeps_its_order(database: Database) -> None:
    async with opened(application(), database) as app:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(app.handler)
        await server.start([listener])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/trpc/later,fails,atOnce,allLater,waits"
        async with httpx.AsyncClient() as http:
            streamed = await http.get(url, params={"batch": "1"}, headers={"trpc-accept": "application/jsonl"})
            whole = await http.get(url, params={"batch": "1"})
        await server.drain(0.5)
    lines = [json.loads(line) for line in streamed.text.splitlines()]
    assert list(lines[0]) == ["0", "1", "2", "3", "4"]
    assert sum(line[2] == [[2]] for line in lines[1:]) == 2
    assert [("result" in one and one["result"]["data"]) for one in whole.json()] == [False, False, False, False, 2]
