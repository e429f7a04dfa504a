"""Bytes that no client sends, against the native server: make soak runs it. Findings stand in docs/explanation/protocol.md.

Requests that are right are damaged at random: bytes changed, cut, doubled. Each must be answered or its connection closed, no answer
may be an internal error, and the server must serve the next one as before.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time

import pytest

from tests.clients.test_trpc_kit import app, native
from tests.conftest import Database
from tests.harness import opened

SECONDS = float(os.environ.get("FUZZ_SECONDS", "120"))
JSON = b"content-type: application/json\r\n"
SEEDS = [
    b"GET /trpc/greet?input=%7B%22name%22:%22x%22%7D HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /trpc/ping,greet,nope?batch=1&input=%7B%221%22:%7B%22name%22:%22x%22%7D%7D HTTP/1.1\r\nhost: x\r\ntrpc-accept: application/jsonl\r\n\r\n",
    b"GET /superjson/types.describe?input=%7B%22json%22:%22x%22,%22meta%22:%7B%22values%22:%5B%22Date%22%5D%7D%7D HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /trpc/sub.tracked?input=%7B%22count%22:2%7D&lastEventId=0 HTTP/1.1\r\nhost: x\r\nlast-event-id: 0\r\n\r\n",
    b"POST /trpc/echoMutation HTTP/1.1\r\nhost: x\r\n" + JSON + b'content-length: 9\r\n\r\n{"a":[1]}',
    b"POST /trpc/echoMutation,nothing?batch=1 HTTP/1.1\r\nhost: x\r\n" + JSON + b'transfer-encoding: chunked\r\n\r\n7\r\n{"0":1}\r\n0\r\n\r\n',
    b"POST /trpc/upload.octet HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 3\r\n\r\nabc",
    b"POST /trpc/upload.form HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=y\r\ncontent-length: 99\r\n\r\n"
    b'--y\r\ncontent-disposition: form-data; name="f"; filename="q.txt"\r\n\r\nbody\r\n--y--\r\n' + b" " * 16,
    b"GET /trpc HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x84\0\0\0\0PING\x81\x82\0\0\0\0{}",
]  # fmt: skip


def damaged(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2 if at < len(data):
                data[at] = rng.randrange(256)
            case 3:
                piece = data[at : at + rng.randint(1, 40)]
                data[at:at] = piece * rng.randint(1, 3)
            case _:
                data[at:at] = rng.choice(
                    [b"%", b"{", b"[" * 90, b"\0", b"\r\n", b"__proto__", b"1e999", b"\xff", b",", b"&batch=1"]
                )
    return bytes(data)


async def send(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(65536), 0.3)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.soak
async def test_no_damaged_request_is_an_internal_error(database: Database) -> None:
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns() % 2**32))
    rng = random.Random(seed)
    sent = 0
    async with opened(app, database, cors_origins="http://app.example"), native() as url:
        port = int(url.split(":")[2].split("/")[0])
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            requests = [damaged(rng.choice(SEEDS), rng) for _ in range(32)]
            for request, reply in zip(requests, await asyncio.gather(*(send(port, r) for r in requests)), strict=True):
                sent += 1
                status = re.match(rb"HTTP/1\.1 (\d+)", reply)
                is_broken = b"INTERNAL_SERVER_ERROR" in reply and b"err." not in request
                assert not is_broken, (seed, request, reply)
                assert status is None or status.group(1) != b"500", (seed, request, reply)
            assert b"pong" in await send(port, b"GET /trpc/ping HTTP/1.1\r\nhost: x\r\n\r\n")
    print(f"{sent} damaged requests, seed {seed}")
