"""Protecting a table that is in use: `tenantry db protect TABLE`. What is to do is in plan.py, the doing in run.py."""

from __future__ import annotations

from tenantry.tenancy.live.plan import State, Step, steps
from tenantry.tenancy.live.run import look, run

__all__ = ["State", "Step", "look", "run", "steps"]
