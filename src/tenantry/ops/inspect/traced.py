"""Where memory is allocated, by line: what was allocated while `tenantry heap watch` looked, and is still there at its end.

tracemalloc is switched on for that time only (a small call then costs ten times its CPU time, docs/soak.md), unless the process was
started with PYTHONTRACEMALLOC. At the end the traces are copied in one call of the interpreter, during which nothing else runs: that
pause is told, and so that it stays short the watch ends early when there is much to copy.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from tenantry.ops.inspect.door import Refused

MOST_SECONDS = 600.0
MOST_SITES = 100
MOST_TRACED_BYTES = 16 << 20
"""Of traces: about 250,000 blocks. The copy at the end takes about 0.25 us a block, in one call that nothing interrupts."""
FRAMES = 8
"""Lines of a site's way that are kept; the caller in the application stands further up than the library that allocated."""
LOOK_SECONDS = 0.02
_SLICE = 2000


def watch(seconds: float, has_gone: Callable[[], bool]) -> dict[str, Any]:
    """Look for so long; the sites whose blocks are still there, the biggest first."""
    was_on = tracemalloc.is_tracing()
    before = time.time()
    if not was_on:
        tracemalloc.start(FRAMES)
    try:
        until = time.monotonic() + min(seconds, MOST_SECONDS)
        while time.monotonic() < until and not has_gone() and not _is_full():
            time.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
        is_full = _is_full()
        if is_full and was_on:
            size = tracemalloc.get_tracemalloc_memory() >> 20
            message = f"it traces since its start, and has {size} MB of traces: the copy would hold it up too long"
            raise Refused(message)
        started = time.perf_counter()
        traces = tracemalloc.take_snapshot().traces
        pause_ms = (time.perf_counter() - started) * 1000
    finally:
        if not was_on:
            tracemalloc.stop()
    return {
        "sites": _sites(traces), "seconds": round(time.time() - before, 1), "longest_ms": round(pause_ms, 2),
        "blocks": len(traces), "since_start": was_on, "is_full": is_full,
    }  # fmt: skip


def _is_full() -> bool:
    return tracemalloc.get_tracemalloc_memory() > MOST_TRACED_BYTES


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
