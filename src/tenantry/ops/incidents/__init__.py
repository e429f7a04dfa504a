"""Incidents: from alerts that fire to people who know, and to the end of it; the timeline is kept."""

from __future__ import annotations

from tenantry.ops.incidents.desk import Desk, Pace
from tenantry.ops.incidents.model import AT_ONCE, LEVELS, Entry, Incident, Kind, Level, Notice
from tenantry.ops.incidents.silence import Matcher, Silence, SilenceFaulty

__all__ = [
    "AT_ONCE", "LEVELS", "Desk", "Entry", "Incident", "Kind", "Level", "Matcher", "Notice", "Pace", "Silence", "SilenceFaulty",
]  # fmt: skip
