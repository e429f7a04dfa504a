"""Backups: how old the newest is, and when a restore was last proved. Files alone: no database is asked."""

from __future__ import annotations

from datetime import datetime, timezone

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place


def days_since(moment: str, now: datetime) -> float:
    """Between an ISO moment and now."""
    return (now - datetime.fromisoformat(moment)).total_seconds() / 86_400


async def _backups(place: Place) -> Look:
    from tenantry.backup import Shelf

    shelf = Shelf(place.settings.backups or place.home / "backups")
    found, proof = shelf.all(), shelf.proven()
    if not found:
        why = "no backup was ever made here (tenantry backup create); somebody else's are not seen"
        raise NotApplicable(why)
    now = datetime.now(timezone.utc)
    newest = days_since(found[-1].at, now)
    proven = None if proof is None else days_since(proof.at, now)
    values = {
        "newest_days": newest,
        "proven_days": proven,
        "allowed_days": place.settings.restore_days,
        "n": len(found),
    }
    words = "never" if proven is None else f"{proven:.1f} days ago"
    return Look(values, f"{len(found)} backups, the newest {newest:.1f} days old; a restore was proved {words}")


BACKUPS = Probe("backups", "tenantry backup list", _backups)
