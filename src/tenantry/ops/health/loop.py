"""The loop check: does one handler hold up all others?"""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.ops.health.check import Check
from tenantry.ops.health.figures import Figures

LATE_MS = 250.0
DEAD_SECONDS = 5.0
"""A loop that has not beaten for so long is not alive; seen from outside the loop only."""


def check_loop(workers: Sequence[Figures]) -> Check:
    """Degraded when a loop was held up for more than 250 ms in the last tick; down when one has stood still for 5 s."""
    late = max((worker.worst_lag_ms for worker in workers), default=0.0)
    details = {"lagMs": round(late, 1)}
    silent = max((worker.silent_seconds for worker in workers), default=0.0)
    if silent >= DEAD_SECONDS:
        return Check("down", f"The event loop of a worker has stood still for {silent:.0f} s", 0.0, details)
    if late > LATE_MS:
        return Check("degraded", f"The event loop was held up for {late:.0f} ms", 0.0, details)
    return Check("up", "The event loop turns", 0.0, details)
