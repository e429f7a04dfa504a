"""What watching costs: CPU of the worker for a request, with metrics, log line and health, and without. Interleaved blocks.

    .venv/bin/python benchmarks/observe.py [--blocks 40] [--requests 3000]

One process serves over real sockets and a real PostgreSQL; another sends. Each block of requests runs with one variant, the
variants take turns, and the CPU time of the serving process (all its threads, the log's writer among them) is read around each
block. The median of the blocks' ratios to their neighbours does not move when the machine gets slower. The last column is of the whole request's
CPU, that of PostgreSQL's back ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from msgspec.structs import replace  # noqa: E402

from tenantry import Tenantry  # noqa: E402
from tenantry.dispatch import Dispatcher  # noqa: E402
from tenantry.http import NativeServer, bind  # noqa: E402
from tenantry.logs import RequestLines, Writer  # noqa: E402
from tenantry.signals import Signals  # noqa: E402
from tests.conftest import Cluster, free_port  # noqa: E402

VARIANTS = ("off", "metrics", "every line", "as shipped")
"""Nothing (but what fair shares count for themselves); counts only; counts, health and a line for each call; counts, health and up to 200
lines a second."""
CONNECTIONS = 16


class Silent(Signals):
    """Counts nothing."""

    __slots__ = ()

    def request(self, procedure: str, seconds: float, code: str | None) -> None:
        return

    def statement(self, operation: str, outcome: int, ms: float) -> bool:
        return False


class Turn:
    """The application whose turn it is."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher

    def __call__(self, request: Any, respond: Any) -> Any:
        return self.dispatcher.handle(request, respond)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dispatcher, name)


def send(pipe: Connection, port: int, token: str) -> None:
    """The sending process: as many requests as it is told to, over a few connections."""
    request = (
        f"GET /trpc/users.list HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\naccept: */*\r\n"
        "user-agent: bench/1\r\naccept-encoding: gzip\r\n\r\n"
    ).encode()

    async def run() -> None:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> None:
            for _ in range(count):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200"), head
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)

        loop = asyncio.get_running_loop()
        while count := await loop.run_in_executor(None, pipe.recv):
            await asyncio.gather(*(one(*stream, count // CONNECTIONS) for stream in streams))
            pipe.send("done")

    asyncio.run(run())


async def serve(cluster: Cluster, blocks: int, requests: int) -> tuple[dict[str, list[float]], float]:
    with cluster.database() as database:
        tenant = "bench"
        database.add_tenant(tenant)
        person = database.add_member(tenant, "ann@bench.example", "owner")
        app: Tenantry[Any] = Tenantry()
        await app.open(database.settings(pool_size=8, log_level="error"))
        state: Any = app._state  # pyright: ignore[reportPrivateUsage]
        road, places = state.dispatcher.road, state.dispatcher.places
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert reader.stdin is not None
        writer = Writer(reader.stdin.fileno())
        types = {path: p.type for path, p in road.procedures.items()}
        lines = RequestLines(writer.put, types)
        every = RequestLines(writer.put, types, rate=1_000_000)
        silent = Silent({})
        dispatchers = {
            "off": Dispatcher(replace(road, signals=silent, lines=None), places),
            "metrics": Dispatcher(replace(road, lines=None), places),
            "every line": Dispatcher(replace(road, lines=every), places),
            "as shipped": Dispatcher(replace(road, lines=lines), places),
        }
        turn = Turn(dispatchers["off"])
        server = NativeServer(turn)  # pyright: ignore[reportArgumentType] - does as its dispatcher does
        listener = bind("127.0.0.1", 0)
        await server.start([listener])
        ours, theirs = multiprocessing.Pipe()
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(theirs, listener.getsockname()[1], person.token), daemon=True
        )
        sender.start()
        loop = asyncio.get_running_loop()
        taken: dict[str, list[float]] = {name: [] for name in VARIANTS}
        of_postgres: list[float] = []
        state.pulse.stop()
        for block in range(-2, blocks):
            # The order turns from round to round, so that no variant always follows the same one.
            for name in VARIANTS[block % 4 :] + VARIANTS[: block % 4]:
                turn.dispatcher = dispatchers[name]
                state.pool.signals = silent if name == "off" else road.signals
                if name in VARIANTS[2:]:
                    state.pulse.start()
                began, before = time.process_time(), back_ends(state.pool)
                ours.send(requests)
                await loop.run_in_executor(None, ours.recv)
                if name in VARIANTS[2:]:
                    state.pulse.stop()
                await asyncio.sleep(0.15)  # the writer's last lines are this block's
                if block >= 0:
                    taken[name].append((time.process_time() - began) / requests * 1e6)
                    of_postgres.append((back_ends(state.pool) - before) / requests * 1e6)
        ours.send(0)
        await app.close()
        await server.drain(0.1)
        reader.kill()
        return taken, calmest(of_postgres)


def back_ends(pool: Any) -> float:
    """CPU seconds of a pool's back ends so far."""
    pids = [one.pg.backend_pid for one in pool.connections]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--requests", type=int, default=3000)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    home.chmod(0o755)
    from tenantry.db.embedded import Embedded

    cluster = Cluster(Embedded(home / "home", free_port()), home)
    try:
        import uvloop

        taken, of_postgres = uvloop.run(serve(cluster, arguments.blocks, arguments.requests))
    finally:
        cluster.stop()
    base = taken["off"]
    print(f"{os.cpu_count()} cores, {arguments.blocks} blocks of {arguments.requests} requests each")  # noqa: T201
    print(f"{'':14} {'median us':>10} {'':>9} {'calmest us':>10} {'':>9} {'with PostgreSQL':>15}")  # noqa: T201
    for name in VARIANTS:
        over = statistics.median(one / other for one, other in zip(taken[name], base, strict=True))
        calm = calmest(taken[name])
        print(  # noqa: T201
            f"{name:14} {statistics.median(taken[name]):10.1f} {100 * (over - 1):+8.2f}% {calm:10.1f} {100 * (calm / calmest(base) - 1):+8.2f}%"
            f" {100 * (calm - calmest(base)) / (calmest(base) + of_postgres):+14.2f}%"
        )
    print(f"PostgreSQL takes {of_postgres:.1f} us of CPU for each of these requests, calmest")  # noqa: T201


def calmest(blocks: list[float]) -> float:
    """The mean of the lowest tenth: what a block takes when nobody else disturbs it."""
    lowest = sorted(blocks)[: max(1, len(blocks) // 10)]
    return sum(lowest) / len(lowest)


if __name__ == "__main__":
    main()
