"""Fault drills: a fault is injected into a throw-away installation under load, and what follows is measured.

`faults/` has one declaration a fault (operations' table of drills), `stage.py` the installation (own TENANTRY_HOME, PostgreSQL and
ports), `load.py` its two tenants, `proxy.py` the broken network, `sink.py` who is paged; `perform.py` runs one drill from fault to
healthy, `report.py` writes the table. A drill touches nothing but what it made itself, and refuses anything else.
"""

from __future__ import annotations

from tenantry.drills.model import Drill, NoSuchDrill, NotOurs, Outcome, StageFailed
from tenantry.drills.perform import chosen, drills, perform_all
from tenantry.drills.report import page, read, write

__all__ = [
    "Drill", "NoSuchDrill", "NotOurs", "Outcome", "StageFailed", "chosen", "drills", "page", "perform_all", "read", "write",
]  # fmt: skip
