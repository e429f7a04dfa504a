"""The loop check: does one handler hold up all others?"""

from __future__ import annotations

from tenantry.ops.health.check import Check
from tenantry.ops.health.pulse import Pulse

LATE_MS = 250.0
DEAD_SECONDS = 5.0
"""A loop that has not beaten for so long is not alive; seen from outside the loop only."""


def check_loop(pulse: Pulse) -> Check:
    """Degraded when the loop was held up for more than 250 ms in the last tick; never down, liveness says that."""
    late = pulse.worst_lag_ms
    details = {"lagMs": round(late, 1)}
    if late > LATE_MS:
        return Check("degraded", f"The event loop was held up for {late:.0f} ms", 0.0, details)
    return Check("up", "The event loop turns", 0.0, details)
