"""`health.check`, `health.liveness`, `health.readiness`: what operators, load balancers and the runbook ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.context import Visitor
from tenantry.errors import DatabaseUnavailable
from tenantry.ops.health.report import Health
from tenantry.rpc import Answer, Router


def health_router(probe: Callable[[], Health | None]) -> Router:
    """The router `health`; `probe` gives the worker's Health, or None before it is open."""
    health = Router("health")

    def here(ctx: Visitor[Any]) -> Health:
        ctx.set_header("cache-control", "no-store")
        found = probe()
        if found is None:
            raise DatabaseUnavailable
        return found

    @health.query(public=True)
    async def check(ctx: Visitor[Any]) -> Answer:
        """Everything that was checked, with its cause in words; 503 when unhealthy."""
        return Answer(*await here(ctx).check())

    @health.query(public=True)
    async def liveness(ctx: Visitor[Any]) -> Answer:
        """Whether the process turns; touches nothing."""
        return Answer(*here(ctx).liveness())

    @health.query(public=True)
    async def readiness(ctx: Visitor[Any]) -> Answer:
        """Whether requests may come here; 503 when not."""
        return Answer(*await here(ctx).readiness())

    return health
