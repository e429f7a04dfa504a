"""Clients in a loop, in a process of their own: python -m tests.soak.load PORT PATH CLIENTS PAUSE_SECONDS, until the input ends.

Half of the clients keep their connection, half make a new one for each request. Every request that was begun and not answered whole
counts as failed, whatever the cause; nothing is tried a second time. The result is one line of JSON. Protocols instead of streams, and
a process of its own: a load that shares a Python loop with the test does not reach 1,000 requests a second on a busy machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

DEADLINE_SECONDS = 10.0
"""What is not answered by then has failed: above the longest start of a server, and below any client's patience."""


class Count:
    """What all clients saw."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.failures: list[str] = []
        self.worst_seconds = 0.0
        self.by_second: dict[int, int] = {}
        self.is_over = False
        self.begun = time.monotonic()

    def answered(self, status: int, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        second = int(time.monotonic() - self.begun)
        self.by_second[second] = self.by_second.get(second, 0) + 1
        self.worst_seconds = max(self.worst_seconds, seconds)


class Client(asyncio.Protocol):
    """One client; its connection is one, or one after another."""

    def __init__(self, count: Count, port: int, path: str, pause: float, *, keeps: bool) -> None:
        self.count, self.port, self.pause, self.keeps = count, port, pause, keeps
        close = "" if keeps else "connection: close\r\n"
        self.request = f"GET {path} HTTP/1.1\r\nhost: load\r\n{close}\r\n".encode()
        self.transport: Any = None  # uvloop's is no asyncio.Transport
        self.started = 0.0  # of the request that is under way; 0 when none is
        self.buffer = b""
        self.connecting: asyncio.Task[None] | None = None
        self.over = asyncio.get_running_loop().create_future()

    def next(self) -> None:
        loop = asyncio.get_running_loop()
        if self.count.is_over:
            if self.transport is not None:
                self.transport.close()
            if not self.over.done():
                self.over.set_result(None)
            return
        self.started = loop.time()
        if self.transport is not None:
            self.transport.write(self.request)
        else:
            self.connecting = loop.create_task(self.connect())

    async def connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.port)
        except OSError as error:
            self.failed(f"connect: {type(error).__name__}")

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self.buffer = b""
        seconds, self.started = asyncio.get_running_loop().time() - self.started, 0.0
        self.count.answered(int(head.split(None, 2)[1]), seconds)
        if not self.keeps or b"connection: close" in lowered:
            transport, self.transport = self.transport, None
            if transport is not None:
                transport.close()
        asyncio.get_running_loop().call_later(self.pause, self.next)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.started and self.transport is not None and self.transport.is_closing():
            self.transport = None
            self.failed(
                f"lost: {type(exc).__name__ if exc is not None else 'closed'} with {len(self.buffer)} bytes of an answer"
            )
        elif not self.started:
            self.transport = None  # closed between two requests: the next one has a new connection

    def failed(self, why: str) -> None:
        self.started = 0.0
        self.count.failures.append(why)
        asyncio.get_running_loop().call_later(max(self.pause, 0.05), self.next)

    def late(self) -> None:
        """Told now and then: what is too old has failed."""
        if self.started and asyncio.get_running_loop().time() - self.started > DEADLINE_SECONDS:
            transport, self.transport = self.transport, None
            self.failed("no answer in time")
            if transport is not None:
                transport.abort()


async def main(port: int, path: str, clients: int, pause: float) -> None:
    loop, count = asyncio.get_running_loop(), Count()
    made = [Client(count, port, path, pause, keeps=number % 2 == 0) for number in range(clients)]
    for number, client in enumerate(made):
        loop.call_later(pause * number / clients, client.next)
    ended = loop.run_in_executor(None, sys.stdin.buffer.read)
    waiting = {client.over for client in made}
    while not ended.done() or waiting:
        if ended.done():
            count.is_over = True
        await asyncio.wait(
            [ended, *waiting] if not ended.done() else waiting, timeout=1.0, return_when=asyncio.FIRST_COMPLETED
        )
        for client in made:
            client.late()
        waiting = {over for over in waiting if not over.done()}
    rates = sorted(count.by_second.values())
    sys.stdout.write(
        json.dumps({
            "statuses": count.statuses, "failures": count.failures, "worst_seconds": round(count.worst_seconds, 3),
            "median_rate": rates[len(rates) // 2] if rates else 0, "most_rate": rates[-1] if rates else 0,
        }) + "\n"
    )  # fmt: skip


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
