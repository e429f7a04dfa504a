"""Half an hour of ordinary load with restarts: no request fails, no alert fires, nobody is woken, and the watcher stays small.

TENANTRY_SOAK_MINUTES says how long (30 where it is not set): make soak SOAK="-k quiet" MINUTES=10 runs it alone for ten.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.conftest import Database
from tests.ops.test_watch import Sink
from tests.processes.place import Load, Place, get_request, placed, post_request, under_load

MINUTES = float(os.environ.get("TENANTRY_SOAK_MINUTES", "30"))
EVERY_SECONDS = 45.0
"""Between one thing done to the service and the next."""
MOST_CPU, MOST_MB = 0.01, 60.0


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


class Watched:
    """CPU time and memory of the watchers, one after another: a restart has a new one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.seen: dict[int, list[tuple[float, float]]] = {}
        """By process: moment and CPU time, from its sixth second on: what starting takes is not what watching takes."""
        self.most_mb = 0.0

    def look(self) -> None:
        pid = self.place.status().get("watcher")
        if not isinstance(pid, int):
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if time.time() - process.create_time() > 6:
                times = process.cpu_times()
                self.seen.setdefault(pid, []).append((time.monotonic(), times.user + times.system))
            self.most_mb = max(self.most_mb, process.memory_info().rss / 1e6)

    @property
    def share(self) -> float:
        """CPU time by time, over all of them."""
        spans = [(seen[-1][0] - seen[0][0], seen[-1][1] - seen[0][1]) for seen in self.seen.values()]
        return sum(used for _, used in spans) / max(1.0, sum(lived for lived, _ in spans))


async def restart(place: Place) -> None:
    assert (await asyncio.to_thread(place.command, "restart")).returncode == 0


async def reload(place: Place) -> None:
    assert (await asyncio.to_thread(place.command, "reload")).returncode == 0


@pytest.mark.soak
async def test_ordinary_load_with_restarts_is_quiet(database: Database, sink: Sink) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    reads, writes = get_request("test.read", token), post_request("test.add", b'{"body":"soak"}', token)
    loads: list[Load] = []
    done: list[str] = []
    with placed(database, TENANTRY_NOTIFY=sink.url, TENANTRY_NOTIFY_L1=sink.url) as place:
        place.serve("--workers", "2")
        watched = Watched(place)
        until = time.monotonic() + MINUTES * 60
        deeds = itertools.cycle((reload, restart))
        async with (
            under_load(place.port, reads, clients=8, pause=0.1) as one,
            under_load(place.port, writes, clients=2, pause=0.2) as two,
        ):
            loads += [one, two]
            next_at = time.monotonic() + EVERY_SECONDS
            while time.monotonic() < until:
                await asyncio.sleep(2)
                watched.look()
                if time.monotonic() > next_at:
                    deed = next(deeds)
                    await deed(place)
                    done.append(deed.__name__)
                    next_at = time.monotonic() + EVERY_SECONDS
        log = place.log.read_text()
    told = re.findall(r"alert (\w+) is (\w+)", log)
    sys.stderr.write(
        json.dumps({
            "minutes": MINUTES, "requests": sum(load.count for load in loads), "failed": sum(len(load.failures) for load in loads),
            "done": {name: done.count(name) for name in set(done)}, "worst_seconds": round(max(load.worst_seconds for load in loads), 2),
            "alerts": told, "messages": sink.titles(),
            "watcher_share_of_a_core": round(watched.share, 5), "watcher_most_mb": round(watched.most_mb, 1),
        }) + "\n"
    )  # fmt: skip
    assert [load.failures for load in loads] == [[], []]
    assert set(loads[0].answers) == set(loads[1].answers) == {200}
    assert [name for name, state in told if state == "firing"] == []
    assert sink.got == []
    assert watched.most_mb < MOST_MB
    assert watched.share < MOST_CPU
