"""Operations: what watches a running server from the side. Never in the way of a request.

Each name is loaded when it is first asked for: the watcher needs few of them, and is to be small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.lazy import names_from

if TYPE_CHECKING:
    from tenantry.ops.endpoint import METRICS_PATH, scrape
    from tenantry.ops.health import Access, Health, Pulse, health_router, memory_limit, wanted_migrations
    from tenantry.ops.health.memory import resident_bytes
    from tenantry.ops.listener import OpsListener
    from tenantry.ops.metrics import Slots
    from tenantry.ops.tenants import TenantNotes

_HOMES = {
    "METRICS_PATH": "tenantry.ops.endpoint",
    "scrape": "tenantry.ops.endpoint",
    "Access": "tenantry.ops.health",
    "Health": "tenantry.ops.health",
    "Pulse": "tenantry.ops.health",
    "health_router": "tenantry.ops.health",
    "memory_limit": "tenantry.ops.health",
    "wanted_migrations": "tenantry.ops.health",
    "resident_bytes": "tenantry.ops.health.memory",
    "OpsListener": "tenantry.ops.listener",
    "Slots": "tenantry.ops.metrics",
    "TenantNotes": "tenantry.ops.tenants",
}
__all__ = [
    "METRICS_PATH", "Access", "Health", "OpsListener", "Pulse", "Slots", "TenantNotes", "health_router", "memory_limit",
    "resident_bytes", "scrape", "wanted_migrations",
]  # fmt: skip

__getattr__ = names_from(__name__, _HOMES)
