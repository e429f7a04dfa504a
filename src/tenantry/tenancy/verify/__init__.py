"""The proof that tenants are kept apart, on the database at hand: catalogues read and judged, crossings tried.

`look` reads catalogues only and is safe on production. `probe` tries, in transactions that are rolled back. `holes` is the
fast half: it runs in a migration's transaction and before a worker takes requests. It imports no driver by itself.
"""

from __future__ import annotations

import time
from typing import Any

from tenantry.tenancy.verify.accepted import accepted
from tenantry.tenancy.verify.checks import CHECKS
from tenantry.tenancy.verify.facts import Facts, read
from tenantry.tenancy.verify.families import judge
from tenantry.tenancy.verify.report import Accepted, Finding, Report, Tried
from tenantry.tenancy.verify.subject import Subject

__all__ = ["CHECKS", "Accepted", "Facts", "Finding", "Report", "Subject", "Tried", "holes", "judge", "look", "read"]


def look(connection: Any, subject: Subject | None = None) -> tuple[Facts, Report]:
    """Read the catalogues and judge. `connection` is psycopg's; whoever it signs in as, `subject.role` is judged."""
    started = time.perf_counter()
    facts = read(connection, subject or Subject())
    report = Report(
        database=facts.value("database"),
        server=next((one.detail for one in facts.server if one.kind == "version"), ""),
        role=facts.subject.role,
        judged=_counts(facts),
        findings=judge(facts),
        accepted=accepted(facts),
        seconds=time.perf_counter() - started,
    )
    return facts, report


def holes(connection: Any) -> list[tuple[str, str, str, str]]:
    """What must not be served: (check's name, object, what is wrong, remedy), one a hole."""
    found = [one for one in judge(read(connection, Subject())) if one.level == "hole"]
    return [(one.name, one.object, one.wrong, one.remedy) for one in found]


_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
}


def _counts(facts: Facts) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in facts.relations:
        kind = "partition" if one.is_table and one.parent is not None else _KINDS[one.kind]
        counts[kind] = counts.get(kind, 0) + 1
    things = (
        ("policy", facts.policies), ("function", facts.functions), ("unique key or index", facts.keys),
        ("foreign key", facts.references), ("trigger", facts.triggers), ("role", facts.roles),
    )  # fmt: skip
    for kind, found in things:
        counts[kind] = len(found)
    for thing in facts.server:
        if thing.kind in ("publication", "extension", "event trigger"):
            counts[thing.kind] = counts.get(thing.kind, 0) + 1
    return counts
