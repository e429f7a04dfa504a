"""The `Heap` line, once a minute in the log of each worker: what `pm2 logs platform-api | grep "Heap"` shows."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

from tenantry.ops import resident_bytes

if TYPE_CHECKING:
    from tenantry.app import Tenantry

LINE_SECONDS = 60.0
BYTES_A_BLOCK = 96
"""A block of Python's allocator, on average of a running API; exact with `PYTHONTRACEMALLOC=1`, at a price."""
log = logging.getLogger("tenantry.heap")


def line(app: Tenantry[Any]) -> str:
    """Megabytes resident, megabytes of Python objects, tracked objects, metric series, connections in use of all."""
    traced = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
    of_python = traced or sys.getallocatedblocks() * BYTES_A_BLOCK
    use = app.usage()
    return (
        f"Heap rss_mb={resident_bytes() / 1e6:.1f} py_mb={of_python / 1e6:.1f} objects={len(gc.get_objects())}"
        f" series={use.series} pool={use.busy}/{use.size}"
    )


def start(app: Tenantry[Any]) -> None:
    """Write the line now and each minute, as long as the loop runs."""
    if app.is_open:
        log.info("%s", line(app))
        asyncio.get_running_loop().call_later(LINE_SECONDS, start, app)
