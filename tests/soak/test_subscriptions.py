"""Ten thousand open subscriptions of one worker by server-sent events: memory of each, and from a mutation's request to each subscriber.

TENANTRY_SOAK_SUBSCRIPTIONS: another number. The events are durable ones (`ctx.publish`), so a delivery has a commit in it. The client is
the test's own process, on the same cores: what it costs is in every figure.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import sys
import time

import psutil
import pytest

from tests.conftest import Database
from tests.processes.place import Place, one_request

COUNT = int(os.environ.get("TENANTRY_SOAK_SUBSCRIPTIONS", "10000"))
EVENTS = 10
MOST_BYTES = 20_000
APP = """
from collections.abc import AsyncIterator
from tenantry import Ctx, Tenantry
app = Tenantry()
talk = app.router("talk")

@talk.mutation
async def say(ctx: Ctx, at: float) -> None:
    await ctx.publish("said", at)

@talk.subscription
async def said(ctx: Ctx) -> AsyncIterator[float]:
    async for event in ctx.subscribe(float, "said"):
        yield event.data
"""


class Subscriber(asyncio.Protocol):
    """One event stream: it notes when a value arrives."""

    def __init__(self, token: str, delays: list[float]) -> None:
        self.token, self.delays = token, delays
        self.is_open = asyncio.get_running_loop().create_future()
        self.has_heard = self.is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        lines = (
            "GET /trpc/talk.said HTTP/1.1",
            "host: x",
            "accept: text/event-stream",
            f"authorization: Bearer {self.token}",
        )
        transport.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            if b"connected" not in data:
                self.is_open.set_exception(AssertionError(data.decode()))
                return
            self.is_open.set_result(None)
        for found in re.findall(rb"data: ([0-9.e+-]+)\n", data):
            self.has_heard = True
            self.delays.append((time.perf_counter() - float(found)) * 1000)


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def with_enough_files() -> None:
    """Of this process and of those that it starts: a connection is a file at both ends."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = COUNT + 500
    if now < needed:
        if most not in (resource.RLIM_INFINITY,) and most < needed:
            pytest.skip(f"{COUNT} subscriptions need {needed} open files, and {most} are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


async def opened(place: Place, token: str, delays: list[float]) -> list[Subscriber]:
    loop, all_of_them = asyncio.get_running_loop(), list[Subscriber]()
    while len(all_of_them) < COUNT:
        some = [Subscriber(token, delays) for _ in range(min(200, COUNT - len(all_of_them)))]
        for one in some:
            await loop.create_connection(lambda one=one: one, "127.0.0.1", place.port)
        await asyncio.wait_for(asyncio.gather(*(one.is_open for one in some)), 60)
        all_of_them += some
    return all_of_them


async def all_listening(place: Place, token: str, subscribers: list[Subscriber]) -> None:
    """`connected` is said at once, and listening begins after it: each has heard one event before any is counted."""
    for _ in range(40):
        await say(place, token)
        await asyncio.sleep(2)
        if all(one.has_heard for one in subscribers):
            return
    quiet = [one for one in subscribers if not one.has_heard]
    raise AssertionError(f"{len(quiet)} hear nothing, {sum(one.is_gone for one in quiet)} of them are gone")


async def say(place: Place, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    body = json.dumps({"at": time.perf_counter()}).encode()
    lines = (
        "POST /trpc/talk.say HTTP/1.1",
        "host: x",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"authorization: Bearer {token}",
    )
    status, _, answer = await one_request(reader, writer, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    assert status == 200, answer
    writer.close()


@pytest.mark.soak
async def test_ten_thousand_open_subscriptions(place: Place, database: Database) -> None:
    with_enough_files()
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    (place.folder / "served.py").write_text(APP)
    place.environment["TENANTRY_WORKERS"] = "1"
    place.serve()
    worker = psutil.Process(place.workers[0])
    delays: list[float] = []
    await say(place, token)  # the first of everything
    before, began = worker.memory_info().rss, time.monotonic()
    subscribers = await opened(place, token, delays)
    seconds = time.monotonic() - began
    await all_listening(place, token, subscribers)
    delays.clear()
    each = (worker.memory_info().rss - before) / COUNT
    rounds: list[list[float]] = []
    for turn in range(EVENTS):
        await say(place, token)
        until = time.monotonic() + 30
        while len(delays) < COUNT * (turn + 1):
            assert time.monotonic() < until, (turn, len(delays), sum(one.is_gone for one in subscribers), delays[-3:])
            await asyncio.sleep(0.01)
        rounds.append(delays[COUNT * turn :])
        await asyncio.sleep(0.2)
    for one in subscribers:
        one.transport.abort()
    sys.stderr.write(
        f"{COUNT} subscriptions open in {seconds:.1f} s, {each / 1000:.1f} KB each; of {EVENTS} events to all of them, ms: "
        f"p50 {quantile(delays, 0.5):.0f}, p99 {quantile(delays, 0.99):.0f}, worst {max(delays):.0f}; "
        f"load {os.getloadavg()[0]:.1f}\n"
    )
    assert [len(one) for one in rounds] == [COUNT] * EVENTS  # to each of them once
    assert each < MOST_BYTES
