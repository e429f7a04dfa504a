"""Views, materialized views, foreign tables and sequences (V09, V10, V19)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Relation
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier, literal


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything that is read like a table and is none."""
    role = identifier(facts.subject.role)
    for one in facts.relations:
        if one.is_of_extension or (facts.is_unbound and one.kind != "v"):
            continue
        if one.kind == "v" and not one.is_invoker and _is_in_question(facts, one):
            yield found("V09", "view", one.name, f"it runs with the rights of its owner, {one.owner}",
                        f"alter view {one.name} set (security_invoker = true);")  # fmt: skip
        elif one.kind in ("m", "f"):
            kind = "materialized view" if one.kind == "m" else "foreign table"
            if "select" in one.reachable:
                yield found("V10", kind, one.name, f"a {kind} has no row security, and {facts.subject.role} may read it",
                            f"revoke all on {one.name} from public, {role};")  # fmt: skip
        elif one.kind == "S" and one.reachable and facts.subject.is_tenantry:
            yield found(
                "V19",
                "sequence",
                one.name,
                f"{facts.subject.role} has {', '.join(one.reachable)} on it",
                _identity(one, role),
            )


def _is_in_question(facts: Facts, view: Relation) -> bool:
    if facts.subject.is_tenantry and view.schema == "public":
        return True
    return "select" in view.reachable and bool(tenants_read(facts, view.name))


def tenants_read(facts: Facts, view: str) -> set[str]:
    """The tables of tenants that a view reads, through other views as well."""
    read: set[str] = set()
    seen = {view}
    waiting = [view]
    while waiting:
        one = facts.by_name.get(waiting.pop())
        for name in one.reads if one is not None else ():
            base = facts.by_name.get(name)
            if base is not None and base.is_table and (facts.is_tenants(base) or base.has_rls):
                read.add(name)
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return read


def _identity(sequence: Relation, role: str) -> str:
    revoke = f"revoke all on sequence {sequence.name} from public, {role};"
    if sequence.feeds is None:
        return revoke
    table, column = sequence.feeds
    return (
        f"alter table {table} alter {column} drop default;\n"
        f"alter table {table} alter {column} add generated always as identity;\n"
        f"select pg_catalog.setval(pg_catalog.pg_get_serial_sequence({literal(table)}, {literal(column.strip(chr(34)))}), s.last_value, s.is_called) from {sequence.name} s;\n"
        f"drop sequence {sequence.name};"
    )
