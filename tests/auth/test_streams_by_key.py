"""What an API key opened ends with the key: streams of every kind, within five seconds, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tenantry import Ctx, Tenantry, Tracked
from tenantry.http import NativeServer, bind
from tests.auth.browser import Browser, signing_in
from tests.auth.test_members import join, owner_of
from tests.conftest import Database


def application() -> Tenantry:
    app = Tenantry()
    ticks = app.router("ticks")

    @ticks.subscription
    async def silent(ctx: Ctx) -> AsyncIterator[int]:
        yield await ctx.db.one(int, "select 1")
        await asyncio.sleep(3600)

    @ticks.subscription(role="admin")
    async def of_admins(ctx: Ctx) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(3600)

    @ticks.subscription
    async def published(ctx: Ctx) -> AsyncIterator[Tracked[int]]:
        async for event in ctx.subscribe(int, "ticks"):
            yield event

    @ticks.query
    async def lines(ctx: Ctx) -> AsyncIterator[int]:
        yield await ctx.db.one(int, "select 1")
        await asyncio.sleep(3600)

    return app


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[tuple[Tenantry, str]]:
    async with signing_in(database, tmp_path, application(), tenant_sign_up="anyone", pool_size=2) as app:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(app.handler)
        await server.start([listener])
        yield app, f"127.0.0.1:{listener.getsockname()[1]}/trpc"
        await server.drain(0.5)


async def key_of(browser: Browser, **more: object) -> tuple[str, str]:
    made = await browser.call("apiKeys.create", {"name": "x", "scopes": ["read"], **more}, mutation=True)
    return made["id"], made["key"]


async def until_it_ends(url: str, key: str, opened: asyncio.Event, **headers: str) -> str:
    """All that the stream says."""
    async with (
        httpx.AsyncClient(timeout=60) as http,
        http.stream("GET", url, headers={"authorization": f"Bearer {key}", **headers}) as response,
    ):
        said = ""
        async for part in response.aiter_text():
            said += part
            opened.set()
        return said


@pytest.mark.parametrize("path", ["ticks.silent", "ticks.published", "ticks.lines", "users.changed"])
async def test_a_revoked_key_ends_what_it_opened_and_nothing_else(
    place: tuple[Tenantry, str], tmp_path: Path, path: str
) -> None:
    app, url = place
    ann = await owner_of(app, tmp_path, "acme")
    (gone, key), (_, kept) = await key_of(ann), await key_of(ann)
    is_lines = path == "ticks.lines"
    address = f"http://{url}/{path}" + ("?batch=1&input=%7B%7D" if is_lines else "")
    headers = {"trpc-accept": "application/jsonl"} if is_lines else {}
    opened = [asyncio.Event(), asyncio.Event()]
    streams = [
        asyncio.create_task(until_it_ends(address, k, e, **headers)) for k, e in zip((key, kept), opened, strict=True)
    ]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in opened)), 20)
    await asyncio.sleep(0.5)
    assert not streams[0].done()
    await ann.call("apiKeys.revoke", {"id": gone}, mutation=True)
    began = time.monotonic()
    said = await asyncio.wait_for(streams[0], 20)
    assert "UNAUTHORIZED" in said
    assert time.monotonic() - began < 5
    await asyncio.sleep(2.5)
    assert not streams[1].done()
    streams[1].cancel()


@pytest.mark.parametrize("how", ["leaves", "is suspended", "expires"])
async def test_a_key_ends_for_other_reasons_too(
    place: tuple[Tenantry, str], tmp_path: Path, database: Database, how: str
) -> None:
    app, url = place
    ann = await owner_of(app, tmp_path, "acme")
    bob = await join(app, tmp_path, ann, "bob@acme.example")
    _, key = await key_of(bob)
    opened = asyncio.Event()
    stream = asyncio.create_task(until_it_ends(f"http://{url}/ticks.silent", key, opened))
    await asyncio.wait_for(opened.wait(), 20)
    await asyncio.sleep(0.3)
    if how == "leaves":
        await bob.call("members.leave", mutation=True)
    elif how == "expires":
        database.admin.execute("update auth_api_keys set expires = now()")
    else:
        database.admin.execute("update tenantry.tenants set status = 'suspended'")
    assert "UNAUTHORIZED" in await asyncio.wait_for(stream, 20)


async def test_a_key_whose_maker_is_demoted_loses_what_wanted_more(
    place: tuple[Tenantry, str], tmp_path: Path, database: Database
) -> None:
    app, url = place
    ann = await owner_of(app, tmp_path, "acme")
    bob = await join(app, tmp_path, ann, "bob@acme.example", "admin")
    _, key = await key_of(bob, role="admin")
    opened = [asyncio.Event(), asyncio.Event()]
    high, low = (
        asyncio.create_task(until_it_ends(f"http://{url}/{path}", key, event))
        for path, event in zip(("ticks.ofAdmins", "ticks.silent"), opened, strict=True)
    )
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in opened)), 20)
    await asyncio.sleep(0.3)
    database.admin.execute("update users set role = 'member' where email = 'bob@acme.example'")
    assert "UNAUTHORIZED" in await asyncio.wait_for(high, 20)
    assert not low.done()
    low.cancel()


async def test_a_socket_of_a_key_is_closed_with_it(place: tuple[Tenantry, str], tmp_path: Path) -> None:
    app, url = place
    ann = await owner_of(app, tmp_path, "acme")
    gone, key = await key_of(ann, isService=True)
    async with connect(f"ws://{url}", additional_headers={"x-api-key": key}) as socket:
        await socket.send(json.dumps({"id": 1, "method": "query", "params": {"path": "users.list"}}))
        assert "result" in json.loads(await socket.recv())
        await asyncio.sleep(2.5)
        await ann.call("apiKeys.revoke", {"id": gone}, mutation=True)
        began = time.monotonic()
        await asyncio.wait_for(socket.wait_closed(), 20)
    assert (socket.close_code, time.monotonic() - began < 5) == (1008, True)


async def test_many_streams_of_many_keys_ask_together(
    place: tuple[Tenantry, str], database: Database, tmp_path: Path
) -> None:
    """One statement tells of all: the one that stands for sessions, with a look by an index for each key."""
    app, _ = place
    ann = await owner_of(app, tmp_path, "acme")
    keys = [(await key_of(ann))[1] for _ in range(5)]
    state = app._state  # pyright: ignore[reportPrivateUsage]
    assert state is not None
    tenant = database.value("select id from tenantry.tenants")
    asked = json.dumps([[key.encode().hex(), need, str(tenant)] for key in keys for need in ("member", "admin")])
    # Keys are of role member, whoever made them.
    rows = await state.accounts.fetch("select number from tenantry.no_longer_in($1)", asked)
    assert sorted(number for (number,) in rows) == [2, 4, 6, 8, 10]
