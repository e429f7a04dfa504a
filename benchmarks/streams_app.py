"""The application of benchmarks/streams.py: the same three procedures as its peer on Node, and the same fan-out in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tenantry import Sse, Tenantry, Visitor, WebSockets

app = Tenantry()
app.mount("/trpc", allow_method_override=True, sse=Sse(ping_ms=None, reconnect_after_inactivity_ms=None), ws=WebSockets(ping_ms=None))
root = app.router("", public=True)
hearers: set[asyncio.Queue[float]] = set()


@root.query
async def ping(ctx: Visitor) -> str:
    return "pong"


@root.query
async def slow(ctx: Visitor, ms: int) -> int:
    await asyncio.sleep(ms / 1000)
    return ms


@root.mutation
async def say(ctx: Visitor, at: float) -> int:
    for hearer in hearers:
        hearer.put_nowait(at)
    return len(hearers)


@root.subscription
async def feed(ctx: Visitor) -> AsyncIterator[float]:
    hearer: asyncio.Queue[float] = asyncio.Queue(100)
    hearers.add(hearer)
    try:
        while True:
            yield await hearer.get()
    finally:
        hearers.discard(hearer)
