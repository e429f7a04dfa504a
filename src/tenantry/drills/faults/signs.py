"""How `health.check` shows a fault: small claims about its answer, for the declarations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OUTAGE: Mapping[str, float] = {"HealthCheckFailing": 60.0, "DatabaseUnavailable": 75.0}
UNSOUND: Mapping[str, float] = {"HealthCheckFailing": 60.0}


def is_down(health: Mapping[str, Any]) -> bool:
    """Unhealthy, or no answer at all."""
    return health.get("status") in ("unhealthy", None)


def is_worse(health: Mapping[str, Any]) -> bool:
    """Not healthy."""
    return health.get("status") != "healthy"


def is_unsound(health: Mapping[str, Any]) -> bool:
    """The database answers, and its isolation does not hold."""
    checks: dict[str, Any] = health.get("checks") or {}
    database: dict[str, Any] = checks.get("database") or {}
    return health.get("status") == "unhealthy" and database.get("status") == "down"
