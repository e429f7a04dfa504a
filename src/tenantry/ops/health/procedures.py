"""`health.check`, `health.liveness`, `health.readiness`, `health.metrics`: what operators, load balancers and the runbook ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from tenantry.context import Visitor
from tenantry.errors import DatabaseUnavailable, Unauthorized
from tenantry.ops.health.answers import HealthReport, Liveness, Metrics, Readiness
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
    async def check(ctx: Visitor[Any]) -> Annotated[Answer, HealthReport]:
        """Everything that was checked, with its cause in words; 503 when unhealthy."""
        found = here(ctx)
        return Answer(*await found.check(may_see_details=found.access.may_see_details(ctx.headers, _peer(ctx))))

    @health.query(public=True)
    async def liveness(ctx: Visitor[Any]) -> Annotated[Answer, Liveness]:
        """Whether the process turns; touches nothing."""
        return Answer(*here(ctx).liveness())

    @health.query(public=True)
    async def readiness(ctx: Visitor[Any]) -> Annotated[Answer, Readiness]:
        """Whether requests may come here; 503 when not."""
        return Answer(*await here(ctx).readiness())

    @health.query(public=True)
    async def metrics(ctx: Visitor[Any]) -> Annotated[Answer, Metrics]:
        """Every metric, summed over all processes."""
        found = here(ctx)
        if not found.access.may_see_metrics(ctx.headers):
            raise Unauthorized(NEEDS_TOKEN)
        return Answer(*found.metrics())

    return health


NEEDS_TOKEN = "This needs the token of TENANTRY_OPS_TOKEN: Authorization: Bearer …"  # noqa: S105 - a sentence


def _peer(ctx: Visitor[Any]) -> str | None:
    """The address that called, as the transport knows it; None over a WebSocket."""
    request = getattr(ctx._visit, "request", None)  # pyright: ignore[reportPrivateUsage] - no part of what builders are given
    return getattr(request, "peer", None)
