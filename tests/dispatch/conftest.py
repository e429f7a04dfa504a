"""An application with a table of notes, on a socket: what a client sees of streams, uploads and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tenantry import Ctx, Deferred, File, Octets, Problem, Record, Statement, Tenantry, Tracked
from tenantry.http import NativeServer, bind
from tests.conftest import Database, People
from tests.harness import Client, opened

TABLE = """
create table notes (id bigint generated always as identity primary key, body text not null);
select tenantry.protect('notes');
"""


class Note(Record):
    id: int
    body: str


class PartnerAway(Problem, code="BAD_GATEWAY"):
    says = "{where}: the partner does not answer."
    where: str


class Both(Record):
    now: int
    later: Deferred[int]


def application() -> Tenantry:
    app = Tenantry()
    app.mount("/trpc", allow_method_override=True, max_body_bytes=100_000)
    app.mount("/rich", transformer="superjson")
    notes = app.router("notes")

    @notes.query
    def all(ctx: Ctx) -> Statement[list[Note]]:
        return ctx.db.all(Note, "select id, body from notes order by id")

    @notes.mutation
    def add(ctx: Ctx, body: str) -> Statement[Note]:
        return ctx.db.one(Note, "insert into notes (body) values ($1) returning id, body", body)

    @notes.mutation
    async def add_slowly(ctx: Ctx, body: str, ms: int) -> Note:
        note = await ctx.db.one(Note, "insert into notes (body) values ($1) returning id, body", body)
        await asyncio.sleep(ms / 1000)
        return note

    @notes.mutation
    async def fail_after(ctx: Ctx, body: str) -> None:
        await ctx.db.run("insert into notes (body) values ($1)", body)
        raise RuntimeError

    @notes.mutation
    async def add_in_blocks(ctx: Ctx, body: str, fails: str = "", ms: int = 0) -> list[int]:
        """Two blocks, with something between them; `fails` says where it breaks off, or that the first block is tried again."""

        async def add(what: str) -> int:
            async with ctx.transaction() as tx:
                note = await tx.one(Note, "insert into notes (body) values ($1) returning id, body", f"{body} {what}")
                if fails == what:
                    raise PartnerAway(where=what)
                return note.id

        if fails == "at once":
            raise PartnerAway(where=fails)
        try:
            first = await add("first")
        except PartnerAway:
            if fails != "first" or body != "again":
                raise
            first = await add("first again")
        await asyncio.sleep(ms / 1000)
        if fails == "between":
            raise PartnerAway(where=fails)
        return [first, await add("second")]

    @notes.mutation
    async def add_in_two_at_once(ctx: Ctx, body: str) -> int:
        async def add(what: str) -> None:
            async with ctx.transaction() as tx:
                await tx.run("insert into notes (body) values ($1)", f"{body} {what}")

        await asyncio.gather(add("one"), add("other"))
        return 2

    @notes.mutation
    async def mixes(ctx: Ctx, body: str) -> None:
        await ctx.db.run("insert into notes (body) values ($1)", body)
        async with ctx.transaction() as tx:
            await tx.run("insert into notes (body) values ($1)", body)

    @notes.mutation
    async def does_nothing(ctx: Ctx) -> int:
        return 7

    @notes.query
    async def later(ctx: Ctx) -> Both:
        async def count() -> int:
            await asyncio.sleep(0.01)
            return await ctx.db.one(int, "select count(*) from notes")

        return Both(now=await ctx.db.one(int, "select count(*) from notes"), later=count())

    @notes.query
    async def each(ctx: Ctx) -> AsyncIterator[Note]:
        for note in await ctx.db.all(Note, "select id, body from notes order by id"):
            yield note

    @notes.query(role="admin")
    async def nothing_read(ctx: Ctx) -> str:
        return "secret"

    @notes.subscription
    async def counted(ctx: Ctx, last_event_id: str | None = None) -> AsyncIterator[Tracked[int]]:
        number = int(last_event_id or 0)
        while True:
            number += 1
            yield Tracked(str(number), await ctx.db.one(int, "select count(*) from notes"))
            await asyncio.sleep(0.2)

    @notes.subscription(role="admin")
    async def for_admins(ctx: Ctx) -> AsyncIterator[int]:
        yield 1

    @notes.mutation(role="admin", max_bytes=1_000_000)
    async def attach(ctx: Ctx, body: str, file: File) -> Note:
        size = 0
        async for chunk in file:
            size += len(chunk)
        return await ctx.db.one(
            Note, "insert into notes (body) values ($1) returning id, body", f"{body} {file.name} {file.type} {size}"
        )

    @notes.mutation
    async def swallow(ctx: Ctx, body: Octets) -> int:
        async for _ in body:
            pass
        return body.size

    return app


@dataclass
class Served:
    app: Tenantry
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/trpc"

    def client(self, token: str | None = None, **headers: str) -> Client:
        return Client(self.app, token, headers)


@pytest.fixture
async def served(database: Database, people: People) -> AsyncIterator[Served]:
    database.admin.execute("set role tenantry_owner")
    for statement in TABLE.strip().split("\n"):
        database.admin.execute(statement)
    database.admin.execute("reset role")
    async with opened(application(), database) as app:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(app.handler)
        await server.start([listener])
        yield Served(app, listener.getsockname()[1])
        await server.drain(0.5)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def sse(response: Any) -> AsyncIterator[dict[str, str]]:
    """The events of a stream, as httpx reads it."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line:
            if event:
                yield event
            event = {}
            continue
        key, _, value = line.partition(": ")
        event[key.rstrip(":")] = value
