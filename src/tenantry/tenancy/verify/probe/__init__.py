"""The crossing, tried: two tenants, a row of each in every table, and every way from one to the other that there is.

One transaction, which is rolled back; each attempt in a savepoint of its own. Short lock and statement timeouts: an attempt that
would have to wait is skipped, and says so. Sequences are not drawn from. Nothing is tried that a rollback would not undo.
"""

from __future__ import annotations

from tenantry.tenancy.verify.facts import Connection, Facts, Relation
from tenantry.tenancy.verify.probe import login as logins
from tenantry.tenancy.verify.probe.crossing import Attempt, reading, writing
from tenantry.tenancy.verify.probe.others import compare, digests, not_called, plain
from tenantry.tenancy.verify.probe.safety import unsafe_tables
from tenantry.tenancy.verify.probe.seed import Seeds
from tenantry.tenancy.verify.probe.sides import SettingSides, Sides, TenantrySides
from tenantry.tenancy.verify.report import Tried
from tenantry.tenancy.verify.subject import identifier, literal

LOCK_MS = 500
STATEMENT_MS = 3_000
IDLE_MS = 10_000

__all__ = ["probe"]


def probe(
    facts: Facts, connection: Connection, login: Connection | None = None, tenants: list[str] | None = None
) -> list[Tried]:
    """Try. `connection` (autocommit) may make tenants and take the role; `login` signs in as the role itself.

    Raises psycopg.Error where the attempt cannot even begin.
    """
    tried: list[Tried] = []
    with connection.transaction(force_rollback=True):
        for name, value in (
            ("lock_timeout", LOCK_MS),
            ("statement_timeout", STATEMENT_MS),
            ("idle_in_transaction_session_timeout", IDLE_MS),
        ):
            connection.execute(f"set local {name} = {value}")
        seeds = Seeds(connection, facts)
        sides: Sides = (
            TenantrySides(connection, facts)
            if facts.subject.is_tenantry
            else SettingSides(connection, facts, tenants or [])
        )
        sides.prepare(seeds)
        tried += _between(facts, connection, seeds, sides)
    if login is not None and facts.subject.is_tenantry:
        tried += logins.attempts(login, facts)
    return sorted(tried, key=lambda one: (one.kind, one.object))


def _between(facts: Facts, connection: Connection, seeds: Seeds, sides: Sides) -> list[Tried]:
    unsafe = unsafe_tables(facts)
    tables = [
        one
        for one in facts.relations
        if one.is_table and one.parent is None and one.reachable and facts.is_tenants(one)
    ]
    made = seeds.order(
        [
            one
            for one in facts.relations
            if one.is_table and one.parent is None and not one.is_of_extension and _is_seeded(facts, one)
        ]
    )
    tried: list[Tried] = []

    _make(seeds, sides, made, sides.mine, unsafe)
    sides.outside()
    for table in tables:
        tried.append(
            Attempt(
                "table",
                table.name,
                "see rows without a tenant",
                f"select count(*) from {table.name} where {_is(facts, table, sides.mine)}",
                "no rows",
            ).run(connection)
        )
    sides.enter(sides.mine)
    before = digests(connection, facts, sides.other)
    _make(seeds, sides, made, sides.other, unsafe)
    sides.enter(sides.mine)
    tried += compare(before, digests(connection, facts, sides.other))
    for table in tables:
        tried += _cross(facts, connection, seeds, sides, table, unsafe)
    tried += [
        attempt.run(connection)
        for attempt in plain(facts)
        if facts.subject.is_tenantry or attempt.kind == "materialized view"
    ]
    tried += not_called(facts)
    for table in facts.relations:
        if not facts.subject.is_tenantry and table.is_table and table.reachable and table.tenant_type is None:
            tried.append(
                Tried("table", table.name, "cross", "skipped", f"no column {facts.subject.column} says whose a row is")
            )
    return tried


def _is_seeded(facts: Facts, table: Relation) -> bool:
    """Tables of tenants, and what they may point at."""
    if facts.is_tenants(table):
        return True
    return not facts.subject.is_tenantry or (table.oid in facts.declared and facts.declared[table.oid].kind == "shared")


def _is(facts: Facts, table: Relation, tenant: str) -> str:
    return f"{identifier(facts.subject.column)} = {literal(tenant)}::{table.tenant_type}"


def _make(seeds: Seeds, sides: Sides, tables: list[Relation], tenant: str, unsafe: dict[int, str]) -> None:
    for table in tables:
        if table.oid in unsafe or (tenant, table.oid) in seeds.rows:
            continue
        if not seeds.facts.is_tenants(table) and (sides.mine, table.oid) in seeds.rows:
            seeds.rows[tenant, table.oid] = seeds.rows[sides.mine, table.oid]  # one row of what all share is enough
            continue
        sides.as_maker(tenant)
        seeds.make(table, tenant)


def _cross(
    facts: Facts, connection: Connection, seeds: Seeds, sides: Sides, table: Relation, unsafe: dict[int, str]
) -> list[Tried]:
    attempts: list[Attempt] = []
    tried: list[Tried] = []
    if (sides.mine, table.oid) in seeds.rows and "select" in table.reachable:
        own = f"select count(*) from {table.name} where {_is(facts, table, sides.mine)}"
        attempts.append(Attempt("table", table.name, "see the own row", own, "own rows"))
    if (sides.other, table.oid) not in seeds.rows:
        why = unsafe.get(table.oid) or f"no row could be made: {seeds.why_not.get(table.oid, 'unknown')}"
        tried.append(Tried("table", table.name, "cross to a row that is there", "skipped", why))
    attempts += reading(facts, table, sides.mine, sides.other)
    if table.oid not in unsafe:
        attempts += writing(facts, seeds, table, sides.mine, sides.other)
    else:
        tried.append(Tried("table", table.name, "write", "skipped", unsafe[table.oid]))
    return tried + [attempt.run(connection) for attempt in attempts]
