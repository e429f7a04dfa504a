"""One bad day after another on the same running API: hurt it under load, watch, mend it, and count what was promised."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.conftest import Cluster, Database
from tests.processes.place import Place, get_request, one_request, post_request

ANSWER_SECONDS = 12.0
"""The request's own deadline is 2 s and its wait for a connection 1.5 s; the rest is for a machine under load."""
HEALTH_SECONDS = 8.0
"""Health answers within 1 s and its result serves for 1 s; the rest is for a machine under load."""
TICKS_SECONDS = 30.0
"""Two ticks: it is well again by itself, without a restart."""
CLEAR = {200, 500, 503, 504, 408, 429}
_numbers = itertools.count(1)


@dataclass
class Seen:
    """What clients and health saw."""

    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    codes: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Procedure and code of each answer that is not a success."""
    broken: list[str] = field(default_factory=list)
    worst_seconds: float = 0.0
    health: list[tuple[float, int, str]] = field(default_factory=list)
    health_worst_seconds: float = 0.0
    liveness: set[int] = field(default_factory=set)
    hurt_at: float = 0.0

    def unhealthy_after(self) -> float | None:
        """Seconds from the injection until health said so."""
        return next((at - self.hurt_at for at, status, _ in self.health if at >= self.hurt_at and status == 503), None)


class Day:
    """The API, its server, and the ways to hurt it."""

    def __init__(self, cluster: Cluster, database: Database, place: Place, token: str, mode: Path) -> None:
        self.cluster = cluster
        self.database = database
        self.place = place
        self.token = token
        self.mode = mode
        self.data = cluster.embedded.status().data

    # ------------------------------------------------------------------ the server

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def server(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            parent = psutil.Process(self.postmaster)
            return [parent, *parent.children(recursive=True)]
        return []

    def signal(self, number: signal.Signals) -> None:
        for process in self.server():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self, number: signal.Signals) -> None:
        """SIGINT is the fast stop, SIGQUIT the immediate one."""
        psutil.Process(self.postmaster).send_signal(number)
        until = time.monotonic() + 20
        while (self.data / "postmaster.pid").exists() and time.monotonic() < until:
            time.sleep(0.02)

    def start(self) -> None:
        self.cluster.embedded.ensure()

    def mend(self) -> None:
        """Whatever a test has left."""
        self.signal(signal.SIGCONT)
        self.mode.write_text("pass")
        self.start()

    def sql(self, text: str, *, database: str | None = None) -> list[Any]:
        url = self.database.superuser if database is None else self.database.superuser.with_database(database)
        with psycopg.connect(url.reveal(), autocommit=True) as connection:
            found = connection.execute(text)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    # ------------------------------------------------------------------ the clients

    async def _client(self, seen: Seen, ended: asyncio.Event, *, writes: str) -> None:
        """`writes`: the mutation's name; "" reads."""
        streams = None
        while not ended.is_set():
            body = f"n{next(_numbers)}"
            request = (
                post_request(writes, json.dumps({"body": body}).encode(), self.token)
                if writes
                else get_request("test.read", self.token)
            )
            started = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    reader, writer = streams or await asyncio.open_connection("127.0.0.1", self.place.port)
                    status, stays, answer = await one_request(reader, writer, request)
            except (OSError, EOFError, TimeoutError) as error:
                seen.broken.append(f"{type(error).__name__} {error} after {time.monotonic() - started:.1f} s")
                seen.unknown.add(body)
                streams = None
                continue
            streams = (reader, writer) if stays else None
            seen.worst_seconds = max(seen.worst_seconds, time.monotonic() - started)
            found = json.loads(answer)
            data = found.get("error", {}).get("data", {})
            code = "ok" if status == 200 else str(data.get("code", status))
            seen.codes[code] = seen.codes.get(code, 0) + 1
            if status != 200:
                seen.failed.append((writes or "test.read", code))
            if status not in CLEAR:
                seen.broken.append(f"{status} {answer[:200]!r}")
            if writes:
                kind = (
                    seen.acknowledged
                    if status == 200
                    else seen.unknown
                    if data.get("outcome") == "unknown"
                    else seen.refused
                )
                kind.add(body)
            await asyncio.sleep(0.02)
        if streams is not None:
            streams[1].close()

    async def _health(self, seen: Seen, ended: asyncio.Event) -> None:
        while not ended.is_set():
            for path in ("health.check", "health.liveness"):
                started = time.monotonic()
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.place.port)
                        status, _, answer = await one_request(reader, writer, get_request(path))
                        writer.close()
                except (OSError, EOFError, TimeoutError) as error:
                    seen.broken.append(f"{path}: {type(error).__name__}")
                    continue
                now = time.monotonic()
                seen.health_worst_seconds = max(seen.health_worst_seconds, now - started)
                if path == "health.liveness":
                    seen.liveness.add(status)
                else:
                    seen.health.append((now, status, json.loads(answer)["checks"]["database"]["message"]))
            await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def load(self, clients: int = 10, writes: tuple[str, ...] = ("test.add", "")) -> AsyncIterator[Seen]:
        """Clients that write and read, and one that asks for health. `writes` are taken in turn: a mutation, or "" to read."""
        seen, ended = Seen(), asyncio.Event()
        tasks = [asyncio.create_task(self._client(seen, ended, writes=writes[n % len(writes)])) for n in range(clients)]
        tasks.append(asyncio.create_task(self._health(seen, ended)))
        await asyncio.sleep(0.3)
        seen.hurt_at = time.monotonic()
        try:
            yield seen
        finally:
            ended.set()
            await asyncio.gather(*tasks)

    async def until_unhealthy(self, seen: Seen) -> None:
        async with asyncio.timeout(HEALTH_SECONDS):
            while seen.unhealthy_after() is None:
                await asyncio.sleep(0.02)

    async def until_well(self, seen: Seen) -> float:
        """Healthy again by itself, and writing again; gives the seconds that it took."""
        started = time.monotonic()
        before = len(seen.acknowledged)
        async with asyncio.timeout(TICKS_SECONDS):
            while (
                not (seen.health and seen.health[-1][0] > started and seen.health[-1][1] == 200)
                or len(seen.acknowledged) < before + 5
            ):
                await asyncio.sleep(0.02)
        return time.monotonic() - started

    def until_healthy(self) -> None:
        until = time.monotonic() + TICKS_SECONDS
        while self.place.get("health.check")["status"] == "unhealthy":
            assert time.monotonic() < until
            time.sleep(0.05)

    # ------------------------------------------------------------------ the count

    def nothing_lost_or_doubled(self, seen: Seen) -> None:
        """Every answer was kept: what was acknowledged is there once, what was refused is not, the rest at most once."""
        counts = dict(self.sql("select body, count(*) from notes group by body"))
        assert {b: counts.get(b, 0) for b in seen.acknowledged if counts.get(b) != 1} == {}
        assert {b for b in seen.refused if b in counts} == set()
        assert {b for b in seen.unknown if counts.get(b, 0) > 1} == set()
        assert seen.broken == []
        assert seen.liveness == {200}
        assert len(seen.acknowledged) > 5
