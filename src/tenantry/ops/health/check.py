"""What a check finds, and what all findings together mean. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Status = Literal["up", "degraded", "down"]
Overall = Literal["healthy", "degraded", "unhealthy"]

NOTHING: Mapping[str, Any] = {}


class Check(Struct, frozen=True, rename="camel"):
    """One check's finding. `message` says the cause to anyone; `response_time` is in milliseconds."""

    status: Status
    message: str
    response_time: float = 0.0
    details: Mapping[str, Any] = NOTHING


def overall(checks: Mapping[str, Check]) -> Overall:
    """Any down: unhealthy; else any degraded: degraded; else healthy."""
    found = {check.status for check in checks.values()}
    if "down" in found:
        return "unhealthy"
    return "degraded" if "degraded" in found else "healthy"
