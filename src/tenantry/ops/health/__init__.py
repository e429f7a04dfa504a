"""Health: fast answers to "is it well, is it alive, may it have requests?", that never hang.

One file a check, each with its own deadline, enforced here in the client: a stopped server accepts connections and then is
silent, and no setting of its own ends that. `report.py` runs them together, once for any number of callers, and serves
the result for a second; `procedures.py` is what operators call. Messages name the cause in words, never a host, user,
path, SQL or secret.

Each name is loaded when it is first asked for: the watcher needs the checks, and not the procedures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.lazy import names_from

if TYPE_CHECKING:
    from tenantry.ops.health.access import Access
    from tenantry.ops.health.memory import memory_limit
    from tenantry.ops.health.procedures import health_router
    from tenantry.ops.health.pulse import Pulse
    from tenantry.ops.health.report import Health
    from tenantry.ops.health.wanted import wanted_migrations

_HOMES = {
    "Access": "tenantry.ops.health.access",
    "memory_limit": "tenantry.ops.health.memory",
    "health_router": "tenantry.ops.health.procedures",
    "Pulse": "tenantry.ops.health.pulse",
    "Health": "tenantry.ops.health.report",
    "wanted_migrations": "tenantry.ops.health.wanted",
}
__all__ = ["Access", "Health", "Pulse", "health_router", "memory_limit", "wanted_migrations"]

__getattr__ = names_from(__name__, _HOMES)
