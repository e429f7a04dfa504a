"""Backups: one that was never restored is a hope."""

from __future__ import annotations

from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict
from tenantry.runbook.probes.backup import BACKUPS


def _unproven(facts: Facts) -> Verdict | None:
    found = facts.of(BACKUPS.name)
    if not found:
        return None
    proven, allowed = found.get("proven_days"), found.get("allowed_days", 30)
    if proven is not None and proven <= allowed:
        return None
    when = "never" if proven is None else f"{proven:.0f} days ago, and {allowed} are allowed"
    return Verdict("certain", (BACKUPS.name,), {"when": when})


SECTION = Section(
    slug="backups",
    title="Backups",
    symptoms=(r"\bbackup", r"\brestore\b"),
    alerts=(),
    probes=(BACKUPS,),
    causes=(
        Cause(
            "restore-unproven", "That a backup can be restored was proved {when}.", _unproven,
            Remedy("prove-restore", "M", "tenantry backup verify", "superuser", "Restores the newest into a database of its own, compares, drops it."),
        ),
    ),
    prose=(
        "`pg_dump` as the owner fails or leaves rows out where row security is forced: it must be a role with BYPASSRLS. A restore loses "
        "who may connect to the database, and the settings of roles in it; `tenantry backup restore` puts them back and looks at isolation."
    ),
)  # fmt: skip
