"""One watcher for a quarter of an hour over ordinary load: what it takes of a core, and whether it grows.

TENANTRY_SOAK_MINUTES says how long (15 where it is not set): make soak SOAK="-k one_watcher" MINUTES=15 runs it alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Database
from tests.ops.test_watch import Sink
from tests.processes.place import get_request, placed, post_request, under_load

MINUTES = float(os.environ.get("TENANTRY_SOAK_MINUTES", "15"))
EVERY_SECONDS = 10.0
MOST_CPU, MOST_MB = 0.01, 60.0


def figures(process: psutil.Process) -> tuple[float, float, float]:
    """CPU seconds, resident and proportional MB."""
    times = process.cpu_times()
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return times.user + times.system, process.memory_info().rss / 1e6, pss * 1024 / 1e6


@pytest.mark.soak
async def test_one_watcher_takes_little_and_does_not_grow(database: Database) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    reads, writes = get_request("test.read", token), post_request("test.add", b'{"body":"soak"}', token)
    sink = Sink()
    try:
        with placed(database, TENANTRY_NOTIFY=sink.url, TENANTRY_NOTIFY_L1=sink.url) as place:
            place.serve("--workers", "2")
            async with (
                under_load(place.port, reads, clients=4, pause=0.2) as one,
                under_load(place.port, writes, clients=1, pause=0.5) as two,
            ):
                await asyncio.sleep(6)
                process = psutil.Process(int(str(place.status()["watcher"])))
                begun, first = time.monotonic(), figures(process)
                seen: list[tuple[float, float, float]] = []
                while time.monotonic() < begun + MINUTES * 60:
                    await asyncio.sleep(EVERY_SECONDS)
                    seen.append(await asyncio.to_thread(figures, process))
                lived = time.monotonic() - begun
    finally:
        sink.close()
    resident = [mb for _, mb, _ in seen]
    share = (seen[-1][0] - first[0]) / lived
    sys.stderr.write(
        json.dumps({
            "minutes": round(lived / 60, 1), "requests": one.count + two.count, "failed": len(one.failures) + len(two.failures),
            "share_of_a_core": round(share, 5), "first_mb": round(first[1], 1), "most_mb": round(max(resident), 1),
            "last_mb": round(resident[-1], 1), "last_proportional_mb": round(seen[-1][2], 1), "messages": sink.titles(),
            "each_minute_mb": [round(mb, 1) for mb in resident[:: int(60 / EVERY_SECONDS)]],
        }) + "\n"
    )  # fmt: skip
    assert sink.got == []
    assert share < MOST_CPU
    assert max(resident) < MOST_MB
