"""Privileges on tables that no policy judges (V18), on Tenantry's own tables (V41), and those of tables to come (V39)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.checks import found
from tenantry.tenancy.verify.facts import Facts, Registry, Relation
from tenantry.tenancy.verify.report import Finding
from tenantry.tenancy.verify.subject import identifier

_UNJUDGED = ("truncate", "references", "trigger")


def judge(facts: Facts) -> Iterator[Finding]:
    """Every privilege of the role."""
    if facts.is_unbound:
        return
    role = identifier(facts.subject.role)
    for table in facts.relations:
        if not table.is_table or table.is_own:
            continue
        extra = [one for one in _UNJUDGED if one in table.reachable]
        if extra and (table.has_rls or facts.is_tenants(table)):
            yield found("V18", "table", table.name, f"{facts.subject.role} may {', '.join(extra)}",
                        f"revoke {', '.join(extra)} on {table.name} from public, {role};")  # fmt: skip
        if facts.registry is not None:
            yield from _own_tables(facts, facts.registry, table, role)
    for one in facts.roles:
        for grant in one.default_grants if one.is_subject else ():
            owner, kind, schema = grant.split(":", 2)
            where = f" in schema {identifier(schema)}" if schema else ""
            yield found("V39", "role", f"{owner}, {kind}{' in ' + schema if schema else ''}", f"what {owner} makes is granted to {one.name} or to everybody at once",
                        f"alter default privileges for role {identifier(owner)}{where} revoke all on {kind} from public, {role};",
                        level="leak" if facts.subject.is_tenantry else "note")  # fmt: skip


def _own_tables(facts: Facts, registry: Registry, table: Relation, role: str) -> Iterator[Finding]:
    declared = facts.declared.get(table.oid)
    grants = {
        one.privilege: one.columns
        for one in registry.grants
        if one.relation == table.oid and one.role == facts.subject.role
    }
    if declared is None or not (declared.kind in ("ours", "closed") or grants):
        return
    extra = [one for one in table.whole_reach if table.has_schema and not (one in grants and not grants[one])]
    for entry in table.column_reach if table.has_schema else ():
        column, _, privilege = entry.rpartition(":")
        allowed = grants.get(privilege)
        if allowed is None or (allowed and column not in allowed):
            extra.append(f"{privilege} ({identifier(column)})")
    if extra:
        # A revoke on the table takes the columns' grants with it: what is wanted is granted again.
        again = "".join(
            f"\ngrant {one}{' (' + ', '.join(identifier(c) for c in columns) + ')' if columns else ''} on {table.name} to {role};"
            for one, columns in grants.items()
        )
        revoked = ", ".join(dict.fromkeys(one.partition(" ")[0] for one in extra))
        yield found("V41", "table", table.name, f"{facts.subject.role} may {', '.join(extra)}, which nobody declared",
                    f"revoke {revoked} on {table.name} from public, {role};{again}")  # fmt: skip
