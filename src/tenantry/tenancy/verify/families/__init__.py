"""The judges: from facts to findings, one file a family of checks. Pure: no connection, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tenantry.tenancy.verify.facts import Facts
from tenantry.tenancy.verify.families import functions, keys, policies, privileges, roles, server, tables, views
from tenantry.tenancy.verify.report import Finding

FAMILIES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    roles.judge, tables.judge, policies.judge, views.judge, functions.judge, keys.judge, privileges.judge, server.judge,
)  # fmt: skip


def judge(facts: Facts) -> list[Finding]:
    """Everything that speaks against isolation, the worst first."""
    order = {"hole": 0, "leak": 1, "note": 2}
    findings = [finding for family in FAMILIES for finding in family(facts)]
    return sorted(findings, key=lambda one: (order[one.level], one.check, one.object))


__all__ = ["FAMILIES", "judge"]
