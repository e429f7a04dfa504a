"""What a noisy tenant costs the others: their p99 with and without it, in blocks that take turns; with fair shares, and in order of arrival.

    .venv/bin/python benchmarks/shares.py [--blocks 6] [--seconds 2]

One worker over real sockets and a real PostgreSQL. Eight tenants send ten requests a second each (`users.list` and a handler's
statement, in turns). The noisy one is, case by case: 100 requests in flight of a statement that takes 50 ms; 100 times as many
requests as one of the others; the same, and its clients send as fast as they are answered. Senders are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from tenantry import Ctx, Statement, Tenantry  # noqa: E402
from tenantry.http import NativeServer, bind  # noqa: E402
from tests.conftest import Cluster, free_port  # noqa: E402

LEAD = 0.5  # the others have been there for so long before they are timed
OTHERS, EACH_PER_SECOND, IN_FLIGHT, TIMES = 8, 10, 100, 100
CASES = ("long statements", "100 times the requests", "as fast as it is answered")
LONG = "/trpc/work.sleep?input=" + quote('{"seconds":0.05}')
QUICK = "/trpc/work.quick"

app = Tenantry()
work = app.router("work")


@work.query
def sleep(ctx: Ctx, seconds: float) -> Statement[str]:
    """A statement that takes so long."""
    return ctx.db.one(str, "select pg_sleep($1)::text", seconds)


@work.query
def quick(ctx: Ctx) -> Statement[str]:
    """A statement that takes no time."""
    return ctx.db.one(str, "select slug from tenantry.current_tenant()")


def request(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n".encode()


async def exchange(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], what: bytes) -> int:
    """Send one request; gives the status."""
    reader, writer = stream
    writer.write(what)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
    return int(head[9:12])


def others(pipe: Connection, port: int, tokens: list[str]) -> None:
    """The process of the eight: told how many seconds, gives the latencies in ms, and how many were not answered well."""

    async def one(stream: Any, token: str, number: int, seconds: float, found: list[float]) -> int:
        bad = 0
        seconds += LEAD
        begun = time.perf_counter() + number / len(tokens) / EACH_PER_SECOND
        for turn in range(int(seconds * EACH_PER_SECOND)):
            due = begun + turn / EACH_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            since = time.perf_counter()
            bad += await exchange(stream, request("/trpc/users.list" if turn % 2 else QUICK, token)) != 200
            if turn >= LEAD * EACH_PER_SECOND:
                found.append((time.perf_counter() - since) * 1000)
        return bad

    async def run() -> None:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in tokens]
        loop = asyncio.get_running_loop()
        while seconds := await loop.run_in_executor(None, pipe.recv):
            found: list[float] = []
            bad = await asyncio.gather(
                *(one(s, t, n, seconds, found) for n, (s, t) in enumerate(zip(streams, tokens, strict=True)))
            )
            pipe.send((found, sum(bad)))

    asyncio.run(run())


def noisy(pipe: Connection, port: int, token: str) -> None:
    """The process of the noisy tenant: told a case and seconds, gives how many of its requests were answered, and refused."""

    async def flood(stream: Any, number: int, case: str, until: float, counts: list[int]) -> None:
        what = request(LONG if case == CASES[0] else QUICK, token)
        pause = IN_FLIGHT / (TIMES * EACH_PER_SECOND)
        if case == CASES[1]:
            await asyncio.sleep(pause * number / IN_FLIGHT)
        while time.perf_counter() < until:
            since = time.perf_counter()
            counts[await exchange(stream, what) != 200] += 1
            if case == CASES[1]:
                await asyncio.sleep(max(0.0, since + pause - time.perf_counter()))

    async def run() -> None:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IN_FLIGHT)]
        loop = asyncio.get_running_loop()
        while told := await loop.run_in_executor(None, pipe.recv):
            case, seconds = told
            counts = [0, 0]
            until = time.perf_counter() + seconds
            await asyncio.gather(*(flood(stream, number, case, until, counts) for number, stream in enumerate(streams)))
            pipe.send(counts)

    asyncio.run(run())


async def serve(cluster: Cluster, blocks: int, seconds: float) -> None:
    context = multiprocessing.get_context("spawn")
    loop = asyncio.get_running_loop()
    with cluster.database() as database:
        tokens: list[str] = []
        for number in range(OTHERS + 1):
            database.add_tenant(f"t{number}")
            tokens.append(database.add_member(f"t{number}", f"p@t{number}.example", "owner").token)
            database.add_members(f"t{number}", 20)
        await app.open(database.settings(pool_size=10, log_level="error"))
        state: Any = app._state  # pyright: ignore[reportPrivateUsage]
        shares = state.pool.shares
        fairly = shares.of
        server = NativeServer(state.dispatcher)
        port = free_port()
        await server.start([bind("127.0.0.1", port)])
        ends: list[Any] = []
        for target, given in ((others, tokens[1:]), (noisy, tokens[0])):
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(theirs, port, given), daemon=True)
            process.start()
            ends.append((ours, process))
        (quiet, _), (noise, _) = ends

        async def told(end: Connection, what: Any) -> Any:
            end.send(what)
            return await loop.run_in_executor(None, end.recv)

        found: dict[tuple[str, str], list[list[float]]] = {}
        bad: dict[tuple[str, str], int] = {}
        made: dict[tuple[str, str], list[int]] = {}
        await told(quiet, 3.0)
        for case in CASES:
            await told(noise, (case, 1.0))
        for block in range(blocks):
            for case in ("none", *CASES):
                for way in ("fair", "in order of arrival"):
                    if case == "none" and way != "fair":
                        continue
                    # In order of arrival: all are one, as if nobody knew whose a request is.
                    shares.of = fairly if way == "fair" else lambda _: shares.own
                    begun = None
                    if case != "none":
                        begun = asyncio.ensure_future(told(noise, (case, seconds + LEAD + 0.6)))
                        await asyncio.sleep(0.4)
                    latencies, failed = await told(quiet, seconds)
                    if begun is not None:
                        counts = await begun
                        made[case, way] = [a + b for a, b in zip(made.get((case, way), [0, 0]), counts, strict=True)]
                    found.setdefault((case, way), []).append(latencies)
                    bad[case, way] = bad.get((case, way), 0) + failed
                    await asyncio.sleep(0.2)
            print(f"block {block + 1} of {blocks}", file=sys.stderr)
        for end, process in ends:
            end.send(None)
            process.join(5)
        await server.drain(0.1)
        await app.close()
        report(found, bad, made)


def report(found: dict[tuple[str, str], list[list[float]]], bad: dict[tuple[str, str], int], made: dict[tuple[str, str], list[int]]) -> None:  # fmt: skip
    def of(key: tuple[str, str], part: float) -> float:
        whole = sorted(one for block in found[key] for one in block)
        return whole[min(len(whole) - 1, int(len(whole) * part))]

    none = ("none", "fair")

    def p99(block: list[float]) -> float:
        return sorted(block)[min(len(block) - 1, int(len(block) * 0.99))]

    print("| the noisy tenant | | others' p50 ms | p99 ms | p99 over none | by block, median | others refused | its own answered, refused |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for key, blocks in found.items():
        by_block = statistics.median(p99(one) / p99(base) for one, base in zip(blocks, found[none], strict=True))
        answered = "" if key == none else f"{made[key][0]:,}, {made[key][1]:,}"
        print(
            f"| {key[0]} | {key[1]} | {of(key, 0.5):.1f} | {of(key, 0.99):.1f} | {of(key, 0.99) / of(none, 0.99):.2f} |"
            f" {by_block:.2f} | {bad[key]} | {answered} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0)
    a = parser.parse_args()
    from tenantry.db.embedded import Embedded

    home = Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    home.chmod(0o755)
    cluster = Cluster(Embedded(home / "home", free_port()), home)
    try:
        asyncio.run(serve(cluster, a.blocks, a.seconds))
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
