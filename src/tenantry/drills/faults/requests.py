"""What handlers do: slow statements, bugs, calls that were wrong to begin with, memory that is kept, a blocked loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tenantry.drills.faults.signs import is_worse
from tenantry.drills.model import Drill
from tenantry.drills.stage import Stage


async def _slow(stage: Stage) -> None:
    stage.keep_calling("drill.sleep", {"seconds": 1.5}, callers=4, pause=0.0)


async def _fail(stage: Stage) -> None:
    stage.keep_calling("drill.fail", callers=2, pause=0.15)


async def _wrong(stage: Stage) -> None:
    stage.keep_calling("no.such", callers=2, pause=0.02)


async def _grow(stage: Stage) -> None:
    """To 85 % of the limit and no further: above the limit the supervisor replaces the worker, as it should."""
    import psutil

    limit = 300 << 20
    for _ in range(40):
        sizes = [psutil.Process(pid).memory_info().rss for pid in workers(stage)]
        if not sizes or max(sizes) > limit * 0.85:
            return
        await stage.call("drill.grow", {"megabytes": 8})


async def _restart(stage: Stage) -> None:
    await stage.release()
    await stage.command("reload", seconds=60.0)


async def _block(stage: Stage) -> None:
    stage.held.append(asyncio.create_task(stage.call("drill.block", {"seconds": 20.0})))


async def _release(stage: Stage) -> None:
    await stage.release()


def workers(stage: Stage) -> list[int]:
    """Process ids of the workers that are ready."""
    found: list[Mapping[str, Any]] = stage.processes().get("workers", [])
    return [int(one["pid"]) for one in found if one.get("state") == "ready"]


DRILLS = (
    Drill(20, "statements-slow", "pg_sleep(1.5) in more than 5 % of requests", _slow, _release, None, {"HighLatencyP95": 300.0}, pages=True,
          causes=("procedure-slow", "statement-slow", "statement-runs-long"), spares_others=True),
    Drill(22, "handler-fails", "a handler raises in more than 6 % of requests", _fail, _release, None, {"HighErrorRate": 300.0}, pages=True,
          causes=("procedure-fails",), spares_others=True),
    Drill(23, "clients-wrong", "most calls are 404", _wrong, _release, None, quiet=("HighErrorRate",), spares_others=True, wait_seconds=8.0),
    Drill(24, "memory-grows", "a handler keeps memory: 85 % of the limit", _grow, _restart, is_worse, {"MemoryHigh": 150.0},
          causes=("memory-nearly-full",)),
    Drill(25, "loop-blocked", "time.sleep(20) in a handler", _block, _release, is_worse, {"HealthCheckFailing": 90.0}, pages=True,
          causes=("loop-blocked",), wait_seconds=6.0),
)  # fmt: skip
