"""Arrivals by a clock: python -m tests.soak.arrivals PORT PATH A_SECOND DEADLINE_SECONDS, until the input ends.

Nobody waits for an answer before the next one comes: what a restart keeps waiting piles up, as it does with real visitors. Every second
arrival makes a connection of its own; the others take a kept one that is idle, or make one that is kept. An arrival that is not answered
whole by its deadline has failed, whatever the cause, and nothing is tried a second time. The result is one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any

import uvloop

TURN_SECONDS = 0.005


class Arrivals:
    """All of them: what came of each, and the kept connections that are idle."""

    def __init__(self, port: int, path: str, deadline: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.port, self.deadline = port, deadline
        self.kept_request = f"GET {path} HTTP/1.1\r\nhost: load\r\n\r\n".encode()
        self.own_request = f"GET {path} HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n".encode()
        self.idle: list[Connection] = []
        self.begun = self.open = self.most_open = 0
        self.statuses: dict[int, int] = {}
        self.failures: dict[str, int] = {}
        self.waits: list[float] = []

    def arrive(self) -> None:
        """One more, now."""
        self.begun += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if self.begun % 2 and self.idle:
            self.idle.pop().ask()
            return
        Connection(self, keeps=bool(self.begun % 2)).connect()

    def over(self, why: str | int, seconds: float) -> None:
        """One less: a status, or the words of a failure."""
        self.open -= 1
        if isinstance(why, int):
            self.statuses[why] = self.statuses.get(why, 0) + 1
            self.waits.append(seconds)
        else:
            self.failures[why] = self.failures.get(why, 0) + 1

    @property
    def said(self) -> dict[str, Any]:
        """What there is to say at the end."""
        waits = sorted(self.waits) or [0.0]
        return {
            "begun": self.begun, "statuses": self.statuses, "failures": self.failures, "never_over": self.open, "most_open": self.most_open,
            "median_ms": round(waits[len(waits) // 2] * 1000, 1), "worst_seconds": round(waits[-1], 2),
        }  # fmt: skip


class Connection(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, all_of_them: Arrivals, *, keeps: bool) -> None:
        self.all, self.keeps = all_of_them, keeps
        self.request = self.all.kept_request if keeps else self.all.own_request
        self.transport: Any = None  # uvloop's is no asyncio.Transport
        self.buffer = b""
        self.started = 0.0  # 0 when nothing is under way
        self.timer: asyncio.TimerHandle | None = None
        self.connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.started = self.all.loop.time()
        self.timer = self.all.loop.call_later(self.all.deadline, self.late)

    def connect(self) -> None:
        self.begin()
        self.connecting = self.all.loop.create_task(self.make())

    async def make(self) -> None:
        try:
            await self.all.loop.create_connection(lambda: self, "127.0.0.1", self.all.port)
        except OSError as error:
            self.end(f"connect: {type(error).__name__}")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.started:
            transport.write(self.request)
        else:
            transport.abort()

    def ask(self) -> None:
        self.begin()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, is_whole, body = self.buffer.partition(b"\r\n\r\n")
        if not is_whole or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self.buffer = b""
        self.end(int(head.split(None, 2)[1]))
        if self.keeps and b"connection: close" not in head.lower():
            self.all.idle.append(self)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.started:
            self.end(f"lost: {type(exc).__name__ if exc is not None else 'closed'}, {len(self.buffer)} bytes")
        elif self in self.all.idle:
            self.all.idle.remove(self)

    def late(self) -> None:
        if self.started:
            self.end("no answer by the deadline, " + ("no connection" if self.transport is None else "connected"))
            if self.transport is not None:
                self.transport.abort()
            elif self.connecting is not None:
                self.connecting.cancel()

    def end(self, why: str | int) -> None:
        if self.started:
            started, self.started = self.started, 0.0
            if self.timer is not None:
                self.timer.cancel()
            self.all.over(why, self.all.loop.time() - started)


async def main(port: int, path: str, rate: float, deadline: float) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft != resource.RLIM_INFINITY else soft, hard))
    arrivals = Arrivals(port, path, deadline)
    loop = arrivals.loop
    ended = loop.run_in_executor(None, sys.stdin.buffer.read)
    started = loop.time()
    while not ended.done():
        for _ in range(int((loop.time() - started) * rate) - arrivals.begun):
            arrivals.arrive()
        await asyncio.sleep(TURN_SECONDS)
    seconds = loop.time() - started
    until = loop.time() + deadline + 2
    while arrivals.open and loop.time() < until:
        await asyncio.sleep(0.05)
    sys.stdout.write(json.dumps({**arrivals.said, "a_second": round(arrivals.begun / seconds)}) + "\n")


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
