"""The pool check: is there a connection for the next request?"""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.ops.health.check import Check
from tenantry.ops.health.figures import Figures

BUSY = 0.8
"""Above this part of the connections in use, waits begin with the next burst."""


def check_pool(workers: Sequence[Figures], tick_seconds: float) -> Check:
    """Down when a worker's is full and a request gave up waiting in the last tick; degraded when nearly all is in use."""
    if not workers:
        return Check("up", "No worker has a pool here")
    used = max(worker.used for worker in workers)
    details = {
        "size": sum(worker.size for worker in workers),
        "waiting": sum(worker.waiting for worker in workers),
        "utilization": round(used, 3),
    }
    if any(worker.is_full and worker.given_up_ago < tick_seconds for worker in workers):
        return Check("down", "Connection pool is full, and requests gave up waiting", 0.0, details)
    return Check("degraded" if used > BUSY else "up", f"{used:.0%} of the connections are in use", 0.0, details)
