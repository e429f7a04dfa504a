"""Operations: what watches a running server from the side. Never in the way of a request."""

from __future__ import annotations

from tenantry.ops.endpoint import METRICS_PATH, scrape
from tenantry.ops.health import Access, Health, Pulse, health_router, memory_limit, wanted_migrations
from tenantry.ops.health.memory import resident_bytes
from tenantry.ops.listener import OpsListener
from tenantry.ops.metrics import Slots
from tenantry.ops.tenants import TenantNotes

__all__ = [
    "METRICS_PATH", "Access", "Health", "OpsListener", "Pulse", "Slots", "TenantNotes", "health_router", "memory_limit",
    "resident_bytes", "scrape", "wanted_migrations",
]  # fmt: skip
