"""RLS policy violations: refused rows, missing policies, row security switched off, a role that no policy binds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.place import Place
from tenantry.runbook.probes.counts import COUNTS, LATELY
from tenantry.runbook.probes.isolation import DEFECTS, FUNCTION, ROLE

FEW = 10
"""Refused rows that are no finding: somebody tries, and nothing comes of it."""
WHOLE = Verification(DEFECTS.name, "no defects", lambda values: values.get("defects") == [], 15.0)
PUSH = Remedy(
    "push",
    "A",
    "tenantry db push",
    "owner",
    "Puts back policies, row security and get_current_tenant_id(); --no-repair only looks. Tell L2.",
    hands.push,
    WHOLE,
)
PUSH_FUNCTION = Remedy(
    "push-function",
    "A",
    "cd /app && pnpm db:push",
    "owner",
    "The same as tenantry db push. Tell L2: somebody changed it.",
    hands.push,
    Verification(
        FUNCTION.name,
        "there, and platform may execute it",
        lambda v: bool(v.get("is_there") and v.get("may_run")),
        15.0,
    ),
)


async def _bind(place: Place, fields: Mapping[str, Any]) -> str:
    return await hands.in_database(place, "alter role platform nosuperuser nobypassrls")


BIND = Remedy(
    "bind-role", "A", "{sql}   (psql -U postgres)", "superuser", "Then: tenantry verify --probe. Every tenant's rows were open meanwhile.",
    _bind, Verification(ROLE.name, "neither superuser nor BYPASSRLS", lambda v: not (v.get("rolsuper") or v.get("rolbypassrls")), 10.0), "L2",
)  # fmt: skip


def _missing(facts: Facts) -> Verdict | None:
    found = facts.of(FUNCTION.name)
    if found.get("is_there") is False:
        return Verdict("certain", (FUNCTION.name,), {"decoys": found.get("decoys", 0)})
    return None


def _grant(facts: Facts) -> Verdict | None:
    found = facts.of(FUNCTION.name)
    if found.get("is_there") and found.get("may_run") is False:
        return Verdict("certain", (FUNCTION.name,))
    return None


def _bypass(facts: Facts) -> Verdict | None:
    found = facts.of(ROLE.name)
    if found.get("rolsuper") or found.get("rolbypassrls"):
        what = "superuser" if found.get("rolsuper") else "BYPASSRLS"
        return Verdict(
            "certain", (ROLE.name, DEFECTS.name), {"what": what, "sql": f"alter role platform no{what.lower()};"}
        )
    return None


def _of(facts: Facts, *checks: str) -> list[dict[str, Any]]:
    return [d for d in facts.rows(DEFECTS.name, "defects") if d["check_id"] in checks]


def _off(facts: Facts) -> Verdict | None:
    found = _of(facts, "row-security")
    return Verdict("certain", (DEFECTS.name,), {"tables": ", ".join(d["object"] for d in found)}) if found else None


def _policy(facts: Facts) -> Verdict | None:
    found = _of(facts, "policy-missing")
    if not found:
        return None
    found += _of(facts, "policy-unknown")
    return Verdict("certain", (DEFECTS.name,), {"what": "; ".join(f"{d['object']}: {d['detail']}" for d in found[:5])})


def _unknown(facts: Facts) -> Verdict | None:
    found = _of(facts, "policy-unknown")
    if not found or _of(facts, "policy-missing"):
        return None
    return Verdict("certain", (DEFECTS.name,), {"what": "; ".join(f"{d['object']}: {d['detail']}" for d in found[:5])})


def _open(facts: Facts) -> Verdict | None:
    found = _of(facts, "unprotected")
    return (
        Verdict(
            "certain", (DEFECTS.name,), {"table": found[0]["object"], "sql": found[0]["cure"].removeprefix("Add: ")}
        )
        if found
        else None
    )


def _violations(facts: Facts) -> Verdict | None:
    found = facts.table(LATELY.name, "violations") or facts.table(COUNTS.name, "violations")
    if sum(found.values()) <= FEW:
        return None
    where = ", ".join(f"{name} ({value:.0f})" for name, value in sorted(found.items()))
    return Verdict("likely", (LATELY.name, COUNTS.name, DEFECTS.name), {"where": where})


SECTION = Section(
    slug="rls-policy-violations",
    title="RLS Policy Violations",
    symptoms=(r"violates row-level security", r"\brls\b", r"get_current_tenant_id", r"row security"),
    alerts=("RLSViolations",),
    probes=(FUNCTION, ROLE, DEFECTS, COUNTS, LATELY),
    causes=(
        Cause(
            "role-bypasses-rls",
            "Role platform is {what}: no policy binds it, every tenant's rows are open.",
            _bypass,
            BIND,
            kind="rls_breach",
        ),
        Cause("rls-off", "Row security is off or not forced on {tables}.", _off, PUSH, kind="rls_breach"),
        Cause(
            "tenant-function-missing",
            "get_current_tenant_id() is missing in public ({decoys} of that name elsewhere).",
            _missing,
            PUSH_FUNCTION,
        ),
        Cause(
            "tenant-function-grant-lost",
            "get_current_tenant_id() is there, and platform may not execute it: a grant was lost.",
            _grant,
            PUSH_FUNCTION,
        ),
        Cause("policy-missing", "A policy is missing, or is not as it was declared: {what}.", _policy, PUSH),
        Cause(
            "policy-unknown",
            "A policy is there that nobody declared, and opens rows: {what}.",
            _unknown,
            PUSH,
            kind="rls_breach",
        ),
        Cause(
            "table-unprotected",
            "No policy guards table {table}.",
            _open,
            Remedy("protect", "M", "{sql}", "owner", "In a migration, or: tenantry db protect TABLE --plan", who="L2"),
        ),
        Cause(
            "rows-refused",
            "Policies refuse rows: {where}.",
            _violations,
            Remedy(
                "fix-handler",
                "M",
                "grep rls_violation in the log: procedure, table, statement",
                "none",
                "A handler writes another tenant's id, or somebody tries to; no row has crossed.",
                who="builder",
            ),
        ),
    ),
    prose=(
        "`SELECT proname FROM pg_proc WHERE proname = 'get_current_tenant_id'` finds a function of that name in any schema, and does not see a lost "
        'grant. `pg_tables JOIN pg_class ON relname` mixes schemas. "30+ policies" is no test: the right number depends on the tables; the '
        "registry of declared policies is compared instead."
    ),
)
