"""Streams side by side with @trpc/server on Node: python benchmarks/streams.py [--subscribers 1000] [--rounds 3]

Both peers run the same procedures, each in one process; the rounds alternate, so that what else the machine does falls on both.
The client is one asyncio process with raw sockets, the same for both: what it costs is in every figure. Ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import uvloop

HERE = Path(__file__).parent
KIT = HERE.parent / "tests/clients/trpc"


def install() -> None:
    """The peer's packages, which are the conformance kit's; a fresh clone has none."""
    if (KIT / "node_modules/.package-lock.json").exists():
        return
    if shutil.which("npm") is None:
        raise SystemExit("The peer is @trpc/server on Node: install Node 20 with npm, or run scripts/test-needs.sh.")
    print(f"installing the peer's packages in {KIT}", file=sys.stderr)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=KIT, check=True)


def start(command: list[str], cwd: Path, **env: str) -> tuple[subprocess.Popen[bytes], int]:
    log = Path(tempfile.mkstemp(prefix="streams-")[1])  # a file: what is not read from a pipe would stop its writer
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **env}, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    for _ in range(600):
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
        if found:
            time.sleep(0.5)
            return process, int(found.group(1))
        time.sleep(0.1)
    raise SystemExit(f"a peer did not start: {log}")


def memory(process: subprocess.Popen[bytes]) -> int:
    """Resident bytes of the process of the tree that serves: the largest."""
    root = psutil.Process(process.pid)
    return sum(p.memory_info().rss for p in [root, *root.children(recursive=True)] if p.name() != "postgres")


def get(path: str, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET /trpc/{path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.I)
    if length:
        return await reader.readexactly(int(length.group(1)))
    body = b""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if size == 0:
            return body


async def some(reader: asyncio.StreamReader) -> bytes:
    part = await reader.read(65536)
    if not part:
        raise EOFError
    return part


async def batches(port: int, seconds: float) -> float:
    """Batches of ten a second, over eight connections."""
    request = get(",".join(["ping"] * 10) + "?batch=1")
    until = time.perf_counter() + seconds
    count = 0

    async def one() -> None:
        nonlocal count
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            writer.write(request)
            await answer(reader)
            count += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(8)))
    return count / seconds


async def first_result(port: int, times: int) -> list[float]:
    """Milliseconds from the request to the first result of a streamed batch of ten, whose last call takes long."""
    inputs = quote(json.dumps({"9": {"ms": 60}}))
    request = get(",".join(["ping"] * 9 + ["slow"]) + f"?batch=1&input={inputs}", trpc_accept="application/jsonl")
    taken: list[float] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        began = time.perf_counter()
        writer.write(request)
        text = b""
        while b"pong" not in text:
            text += await some(reader)
        taken.append((time.perf_counter() - began) * 1000)
        while not text.endswith(b"0\r\n\r\n"):
            text += await some(reader)
    writer.close()
    return taken


class Subscriber(asyncio.Protocol):
    """One open subscription: it notes when a value arrives."""

    def __init__(self, delays: list[float], is_open: asyncio.Future[None]) -> None:
        self.delays = delays
        self.is_open = is_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(get("feed", accept="text/event-stream"))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            if b"connected" in data:
                self.is_open.set_result(None)
            return
        found = re.search(rb"data: ([0-9.e+-]+)", data)
        if found:
            self.delays.append((time.perf_counter() - float(found.group(1))) * 1000)


async def subscriptions(process: subprocess.Popen[bytes], port: int, count: int, times: int) -> tuple[float, list[float]]:
    """Kilobytes a subscription, and milliseconds from the mutation to each subscriber."""
    loop = asyncio.get_running_loop()
    before = memory(process)
    delays: list[float] = []
    opened: list[asyncio.BaseTransport] = []
    for start_at in range(0, count, 100):
        waiting = [loop.create_future() for _ in range(min(100, count - start_at))]
        for is_open in waiting:
            transport, _ = await loop.create_connection(lambda is_open=is_open: Subscriber(delays, is_open), "127.0.0.1", port)
            opened.append(transport)
        await asyncio.wait_for(asyncio.gather(*waiting), 60)
    await asyncio.sleep(0.5)
    each = (memory(process) - before) / count / 1024
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for n in range(times):
        body = json.dumps({"at": time.perf_counter()}).encode()
        writer.write(b"POST /trpc/say HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await answer(reader)
        until = time.perf_counter() + 10
        while len(delays) < count * (n + 1) and time.perf_counter() < until:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    for transport in opened:
        transport.abort()  # type: ignore[attr-defined]
    writer.close()
    await asyncio.sleep(1)
    return each, delays


FRAME = b'{"id":1,"method":"query","params":{"path":"ping"}}'


async def round_trips(port: int, seconds: float, sockets: int = 16) -> float:
    """Queries over WebSockets a second, one at a time on each socket."""
    message = bytes([0x81, 0x80 | len(FRAME), 0, 0, 0, 0]) + FRAME
    until = time.perf_counter() + seconds
    count = 0

    async def one() -> None:
        nonlocal count
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /trpc HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        while time.perf_counter() < until:
            writer.write(message)
            head = await reader.readexactly(2)
            await reader.readexactly(head[1])
            count += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(sockets)))
    return count / seconds


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


async def measure(peers: dict[str, tuple[subprocess.Popen[bytes], int]], count: int, rounds: int) -> dict[str, dict[str, float]]:
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in peers}
    for number in range(rounds):
        for name, (process, port) in peers.items():
            kept = taken[name]
            kept.setdefault("batch of ten, a second", []).append(await batches(port, 1.5))
            kept.setdefault("first", []).extend(await first_result(port, 30))
            kept.setdefault("WebSocket round trips, a second", []).append(await round_trips(port, 1.5))
            each, delays = await subscriptions(process, port, count, 10)
            if number == 0:  # later rounds reuse what the first has left
                kept["KB a subscription"] = [each]
            kept.setdefault("delays", []).extend(delays)
            kept.setdefault("delivered", []).append(len(delays) / count / 10)
    found: dict[str, dict[str, float]] = {}
    for name, kept in taken.items():
        found[name] = {
            "batch of ten, a second": statistics.median(kept["batch of ten, a second"]),
            "first result of a streamed batch, ms p50": quantile(kept["first"], 0.5),
            "first result of a streamed batch, ms p99": quantile(kept["first"], 0.99),
            "WebSocket round trips, a second": statistics.median(kept["WebSocket round trips, a second"]),
            "KB a subscription": kept["KB a subscription"][0],
            "delivery, ms p50": quantile(kept["delays"], 0.5),
            "delivery, ms p99": quantile(kept["delays"], 0.99),
            "delivered, part": min(kept["delivered"]),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    install()
    link = KIT / "node_modules/.streams.mjs"  # beside the packages that it imports
    link.write_bytes((HERE / "peers/streams.mjs").read_bytes())
    home = os.environ.get("BENCH", "/tmp/bench") + "/streams"
    tenantry = [str(Path(sys.executable).parent / "tenantry"), "serve", "streams_app:app", "--port", "0"]
    peers = {
        "tenantry": start(tenantry, HERE, TENANTRY_HOME=home, TENANTRY_WORKERS="1"),
        "node": start(["node", str(link)], KIT, PORT="0"),
    }
    try:
        found = uvloop.run(measure(peers, arguments.subscribers, arguments.rounds))
    finally:
        for process, _ in peers.values():
            process.terminate()
            process.wait(20)
        link.unlink()
    print("| | tenantry | @trpc/server |\n| --- | ---: | ---: |")
    for what in found["tenantry"]:
        print(f"| {what} | {found['tenantry'][what]:.1f} | {found['node'][what]:.1f} |")


if __name__ == "__main__":
    main()
