"""An application that publishes and subscribes, and subscribers of it without a wire: the iterator itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tenantry import Ctx, Record, Tenantry, Tracked
from tenantry.db import Entry, Session
from tests.harness import Client


class Said(Record):
    what_was: str
    n: int = 0


def make() -> Tenantry:
    app = Tenantry()
    talk = app.router("talk")

    @talk.mutation
    async def say(ctx: Ctx, what: str, topic: str = "talk.said", n: int = 0) -> str:
        await ctx.publish(topic, Said(what_was=what, n=n))
        return what

    @talk.mutation
    async def say_many(ctx: Ctx, count: int, topic: str = "talk.said") -> int:
        for n in range(count):
            await ctx.publish(topic, Said(what_was="many", n=n))
        return count

    @talk.mutation
    async def say_and_fail(ctx: Ctx, what: str) -> str:
        await ctx.db.run("update users set name = name")
        await ctx.publish("talk.said", Said(what_was=what))
        raise ValueError(what)

    @talk.mutation
    async def say_in_blocks(ctx: Ctx, what: str) -> str:
        async with ctx.transaction() as tx:
            await tx.publish("talk.said", Said(what_was=what, n=1))
        try:
            async with ctx.transaction() as tx:
                await tx.publish("talk.said", Said(what_was=what, n=2))
                raise ValueError(what)
        except ValueError:
            pass
        async with ctx.transaction() as tx:
            await tx.run("select 1")
            await tx.publish("talk.said", Said(what_was=what, n=3))
        return what

    @talk.query
    async def say_in_a_query(ctx: Ctx) -> int:
        await ctx.publish("talk.said", Said(what_was="never"))
        return 1

    return app


def context(app: Tenantry, token: str, need: str = "member") -> Ctx[Any]:
    """What a subscription's handler is given."""
    pool = app._state.pool  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    entry = Entry(token.encode(), True, need, None, "talk.heard", 10_000)
    return Ctx(None, "talk.heard", None, Session(pool, entry))  # type: ignore[arg-type] - it comes in no request


class Ear:
    """One subscriber that keeps what it hears."""

    def __init__(self, events: AsyncIterator[Tracked[Any]]) -> None:
        self.events = events
        self.heard: list[Tracked[Any]] = []
        self.error: BaseException | None = None
        self.task = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for event in self.events:
                self.heard.append(event)
        except Exception as error:
            self.error = error

    @property
    def said(self) -> list[Any]:
        return [getattr(event.data, "what_was", event.data) for event in self.heard]

    async def until(self, count: int, seconds: float = 20) -> list[Any]:
        async with asyncio.timeout(seconds):
            while len(self.heard) < count:
                if self.error is not None:
                    raise self.error
                await asyncio.sleep(0.005)
        return self.said

    async def ends(self, seconds: float = 20) -> BaseException | None:
        async with asyncio.timeout(seconds):
            await asyncio.shield(self.task)
        return self.error

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def listen(
    app: Tenantry, token: str, topic: str = "talk.said", after: str | None = None, kind: Any = Said
) -> Ear:
    """A subscriber that is live, or reading what it missed, when this returns."""
    ear = Ear(context(app, token).subscribe(kind, topic, after=after))
    hub = app._state.hub  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    async with asyncio.timeout(20):
        while ear.error is None and ear.events._member is None:  # pyright: ignore[reportAttributeAccessIssue]
            await asyncio.sleep(0.002)
    assert hub is not None
    return ear


async def say(client: Client, *what: str, topic: str = "talk.said") -> None:
    for one in what:
        reply = await client.mutate("talk.say", {"what": one, "topic": topic})
        assert reply.status == 200, reply.json
