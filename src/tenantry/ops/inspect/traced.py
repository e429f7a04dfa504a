"""Where memory is allocated, by line: what was allocated while `tenantry heap watch` looked, and is still there at its end.

tracemalloc is switched on for that time only (every allocation costs then about twice what it does else), unless the process was started
with PYTHONTRACEMALLOC; at the end the traces are copied in one call of the interpreter, during which nothing else runs: that pause is told.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

MOST_SECONDS = 600.0
MOST_SITES = 100
FRAMES = 8
"""Lines of a site's way that are kept; the caller in the application stands further up than the library that allocated."""
_SLICE = 2000


def watch(seconds: float, has_gone: Callable[[], bool]) -> dict[str, Any]:
    """Look for so long; the sites whose blocks are still there, the biggest first."""
    was_on = tracemalloc.is_tracing()
    before = time.time()
    if not was_on:
        tracemalloc.start(FRAMES)
    try:
        until = time.monotonic() + min(seconds, MOST_SECONDS)
        while time.monotonic() < until and not has_gone():
            time.sleep(min(0.5, max(0.0, until - time.monotonic())))
        started = time.perf_counter()
        traces = tracemalloc.take_snapshot().traces
        pause_ms = (time.perf_counter() - started) * 1000
    finally:
        if not was_on:
            tracemalloc.stop()
    return {
        "sites": _sites(traces), "seconds": round(time.time() - before, 1), "longest_ms": round(pause_ms, 2),
        "blocks": len(traces), "since_start": was_on,
    }  # fmt: skip


def _sites(traces: Any) -> list[dict[str, Any]]:
    """By the whole way of lines: blocks and bytes. In slices, so that requests come in between."""
    sites: dict[Any, list[int]] = {}
    for number, trace in enumerate(traces):
        site = sites.setdefault(trace.traceback, [0, 0])
        site[0] += 1
        site[1] += trace.size
        if not number % _SLICE:
            time.sleep(0.001)
    biggest = sorted(sites.items(), key=lambda item: -item[1][1])[:MOST_SITES]
    return [
        {"way": [f"{frame.filename}:{frame.lineno}" for frame in reversed(way)], "blocks": blocks, "bytes": size}
        for way, (blocks, size) in biggest
    ]
