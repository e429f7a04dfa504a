"""The pool check: is there a connection for the next request?"""

from __future__ import annotations

from tenantry.ops.health.check import Check
from tenantry.ops.health.pulse import TICK_SECONDS, Pulse

BUSY = 0.8
"""Above this part of the connections in use, waits begin with the next burst."""


def check_pool(pulse: Pulse) -> Check:
    """Down when it is full and a request gave up waiting in the last tick; degraded when nearly all is in use."""
    used, size, waiting = pulse.used, pulse.size, pulse.waiting
    details = {"size": size, "waiting": waiting, "utilization": round(used, 3)}
    if pulse.is_full and pulse.seconds_since_given_up() < TICK_SECONDS:
        return Check("down", "Connection pool is full, and requests gave up waiting", 0.0, details)
    if used > BUSY:
        return Check("degraded", f"{used:.0%} of the connections are in use", 0.0, details)
    return Check("up", f"{used:.0%} of the connections are in use", 0.0, details)
