"""What no look can prove, and what PostgreSQL cannot prevent: said, with its bound, instead of passed over."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.facts import Facts
from tenantry.tenancy.verify.families.functions import is_reader_asked
from tenantry.tenancy.verify.families.policies import bound_functions
from tenantry.tenancy.verify.report import Accepted


def accepted(facts: Facts) -> list[Accepted]:
    """For this database."""
    return [*_here(facts), *_everywhere(facts)]


def _here(facts: Facts) -> Iterator[Accepted]:
    me = facts.me
    if facts.is_unbound:
        yield Accepted(
            f"{facts.subject.role} is a superuser",
            "Its privileges were not judged one by one: it has all. Views, keys and policies were.",
        )
    if facts.registry is not None:
        for one in facts.registry.definers:
            if any(function.name == one.name and function.is_reachable for function in facts.functions):
                yield Accepted(f"{one.name} runs with its owner's rights", f"Listed, with the reason: {one.why}")
        for one in facts.registry.replications:
            yield Accepted(f"{one.kind} {one.name} carries every tenant's rows", f"Listed, with the reason: {one.why}")
        for one in facts.registry.protected:
            if one.kind == "shared" and one.relation in facts.by_oid:
                yield Accepted(
                    f"{facts.by_oid[one.relation].name} is read by every tenant", f"Shared, read-only: {one.why}"
                )
    else:
        bound = bound_functions(facts)
        yield Accepted(
            f"{facts.subject.role} may set {facts.subject.setting} itself",
            "SQL that is smuggled into a statement can name any tenant. A setting that the role may not set (Tenantry's vault) prevents it.",
        )
        for one in facts.functions:
            if is_reader_asked(facts, one, bound) and not one.is_trigger:
                yield Accepted(
                    f"{one.name} runs with the rights of {one.owner}",
                    "It asks for the tenant; whether it filters by it, a reader must say.",
                )
    if me is not None and me.other_databases and not me.is_super:
        shown = ", ".join(me.other_databases[:4]) + (" …" if len(me.other_databases) > 4 else "")
        yield Accepted(
            f"{me.name} may connect to {shown}",
            "Other databases were not looked at: run verify there, or revoke connect.",
        )


def _everywhere(facts: Facts) -> Iterator[Accepted]:
    yield Accepted(
        "Sizes and estimates",
        "reltuples, pg_relation_size, pg_stat_user_tables show totals of all tenants to any role; EXPLAIN shows estimates. Counts, never rows.",
    )
    yield Accepted(
        "Texts of statements",
        "A role sees the SQL of its own sessions in pg_stat_activity. Values are bound parameters, and do not show.",
    )
    yield Accepted("LISTEN", "It cannot be revoked, and everybody hears every payload: payloads carry ids only.")
    yield Accepted(
        "Locks",
        "Who may update a table may LOCK it, as psql; the server's driver lets no LOCK through, and deadlines end it.",
    )
    yield Accepted(
        "Its own password",
        "A role may always change its own; it survives. Sign in by certificate or peer, or with short-lived passwords.",
    )
    yield Accepted("Timing", "How long a statement takes depends on the whole table; nothing here measures it.")
