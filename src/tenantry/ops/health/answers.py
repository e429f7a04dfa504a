"""What the health procedures answer, as types: for the TypeScript declarations. `Health` writes the JSON itself."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tenantry.ops.health.check import Check, Overall, Status


class HealthChecks(Struct):
    """What was looked at."""

    database: Check
    pool: Check
    memory: Check
    migrations: Check
    loop: Check


class HealthReport(Struct, rename="camel"):
    """Everything that was checked."""

    status: Overall
    timestamp: str
    uptime: int
    """Milliseconds since the process began."""
    version: str
    checks: HealthChecks
    age_ms: int
    """How old the findings are."""
    consecutive_failures: int


class Liveness(Struct, rename="camel"):
    """Whether the process turns."""

    alive: bool
    timestamp: str
    loop_lag_ms: float


class Readiness(Struct):
    """Whether requests may come here."""

    ready: bool
    timestamp: str
    checks: dict[str, Status]
    draining: bool


class Metrics(Struct):
    """Every series, summed over all processes."""

    timestamp: str
    metrics: dict[str, Any]
