"""The history of migrations against this code's files, asked from here: `health.check` says it too, if there is an API to ask."""

from __future__ import annotations

from tenantry.ops.health.migrations import compare
from tenantry.ops.health.wanted import wanted_migrations
from tenantry.runbook.model import Look, Probe
from tenantry.runbook.place import Place, Refusal

UNKNOWN_NAMES = ("3F000", "42P01")
APPLIED = "select m.name, m.kind, pg_catalog.encode(m.sha256, 'hex') as sha256 from tenantry.migrations as m"


async def _schema(place: Place) -> Look:
    try:
        rows = await place.ask("ops", APPLIED)
    except Refusal as refusal:
        if refusal.sqlstate in UNKNOWN_NAMES:
            return Look({"is_there": False}, refusal.words)
        raise
    check = compare(wanted_migrations(place.settings), {(row["kind"], row["name"]): row["sha256"] for row in rows})
    is_same = check.status == "up"
    return Look({"is_there": True, "is_same": is_same, "message": check.message}, check.message)


SCHEMA = Probe("schema", "tenantry db status; select name, kind, sha256 from tenantry.migrations", _schema)
