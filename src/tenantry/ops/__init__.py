"""Operations: what watches a running server from the side. Never in the way of a request."""

from __future__ import annotations

from tenantry.ops.health import Health, health_router
from tenantry.ops.metrics import Slots

__all__ = ["Health", "Slots", "health_router"]
