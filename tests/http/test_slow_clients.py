"""Clients that send and do not read, read a byte a second, or hold what they were given: bounded in memory and in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tenantry.http import HttpLimits, NativeServer, Request, Response, bind
from tests.conftest import free_port

ANSWER = b"x" * 8_000_000
"""More than the kernel takes of an answer that is not read."""


class Counting:
    """A handler with a large answer, that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: Request, answer: object) -> None:
        self.asked += 1
        answer(Response(200, ANSWER, [(b"content-type", b"text/plain")]))  # type: ignore[operator]


@contextlib.asynccontextmanager
async def serving(limits: HttpLimits) -> AsyncIterator[tuple[int, Counting, NativeServer]]:
    port, handler = free_port(), Counting()
    server = NativeServer(handler, limits)  # type: ignore[arg-type]
    await server.start([bind("127.0.0.1", port)])
    try:
        yield port, handler, server
    finally:
        await server.drain(0.1)


def client(port: int) -> socket.socket:
    made = socket.socket()
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made


async def test_who_sends_on_and_on_and_reads_nothing_is_not_answered_on_and_on() -> None:
    async with serving(HttpLimits()) as (port, handler, server):
        sender, asked = client(port), 30
        # Large enough that no more of them come at once than may be sent ahead.
        request = b"GET /trpc/a HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 20_000 + b"\r\n\r\n"
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(sender, request * asked))
        await asyncio.sleep(1)
        waiting = sum(c.transport.get_write_buffer_size() for c in server.connections)
        assert handler.asked < 4, handler.asked
        assert waiting < 3 * len(ANSWER), waiting
        # It reads after all: all are answered.
        received = 0
        async with asyncio.timeout(60):
            while received < asked * len(ANSWER):
                received += len(await asyncio.get_running_loop().sock_recv(sender, 1 << 20))
        await sending
        assert handler.asked == asked
        sender.close()


@pytest.mark.parametrize("keep", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
async def test_who_takes_nothing_of_its_answer_is_let_go(keep: bytes) -> None:
    async with serving(HttpLimits(unread_seconds=1.0)) as (port, _, server):
        closing = contextlib.ExitStack()
        many = [closing.enter_context(client(port)) for _ in range(5)]
        for one in many:
            await asyncio.get_running_loop().sock_sendall(one, b"GET /trpc/a HTTP/1.1\r\nhost: x\r\n" + keep + b"\r\n")
        await asyncio.sleep(0.5)
        assert len(server.connections) == 5
        async with asyncio.timeout(20):
            while server.connections:
                await asyncio.sleep(0.05)
        closing.close()


async def test_who_reads_slowly_and_steadily_gets_all() -> None:
    async with serving(HttpLimits(unread_seconds=1.0)) as (port, _, _server):
        reader = client(port)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(reader, b"GET /trpc/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = 0
        async with asyncio.timeout(60):
            while piece := await loop.sock_recv(reader, 1 << 17):
                received += len(piece)
                await asyncio.sleep(0.03)
        assert received > len(ANSWER)
        reader.close()
