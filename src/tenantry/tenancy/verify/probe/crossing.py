"""The attempts on one table: SQL, and what its outcome means. Pure but for `Attempt.run`.

Row security judges a row before its constraints do (PostgreSQL, ExecInsert), so an insert into another tenant that ends in a
constraint's error has passed the policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from tenantry.tenancy.verify.facts import Connection, Facts, Relation
from tenantry.tenancy.verify.probe.seed import Row, Seeds
from tenantry.tenancy.verify.report import Outcome, Tried
from tenantry.tenancy.verify.subject import identifier, literal

Meaning = Literal["no rows", "refused", "own rows", "not linked", "not told", "not divided"]


class Attempt(Struct, frozen=True):
    """A statement and how it must end."""

    kind: str
    object: str
    name: str
    sql: str
    meaning: Meaning

    def run(self, connection: Connection) -> Tried:
        """In a savepoint that is rolled back."""
        import psycopg

        state, message, count = "", "", 0
        with connection.transaction(force_rollback=True):
            try:
                cursor = connection.execute(self.sql)
                count = int(cursor.fetchone()[0]) if cursor.description else cursor.rowcount
            except psycopg.Error as error:
                state, message = error.sqlstate or "?", error.diag.message_primary or str(error)
        outcome, detail = judge(self.meaning, state, message, count)
        return Tried(self.kind, self.object, self.name, outcome, detail)


def judge(meaning: Meaning, state: str, message: str, count: int) -> tuple[Outcome, str]:
    """What it means that a statement ended so. `state` is empty where it did not fail."""
    if state in ("55P03", "57014"):
        return "skipped", f"it would have had to wait: {message}"
    if state == "25P02":
        return "failed", message
    match meaning:
        case "own rows":
            return (
                ("control", f"own rows are seen ({count})")
                if not state and count
                else ("failed", message or "a tenant does not see its own row")
            )
        case "no rows" if not state:
            return ("blocked", "0 rows") if count == 0 else ("LEAK", f"{count} rows")
        case "refused" if not state:
            return ("LEAK", "it was carried out") if count else ("blocked", "0 rows")
        case "refused" if state.startswith("23"):
            return "LEAK", f"row security let it pass; a constraint stopped it: {message}"
        case "not linked" if not state:
            return "LEAK", "the link was made"
        case "not told" if state == "23505":
            return "LEAK", "error 23505 tells that the value exists"
        case "not told" | "not linked" if not state or state.startswith("23"):
            return "blocked", "nothing is told" if meaning == "not told" else f"{state} {message}"
        case "not divided" if state == "22012":
            return "LEAK", "the condition saw a row before the policy did"
        case "not divided" if not state:
            return "blocked", "the policy judged first"
        case _:
            return "blocked", f"{state} {message}"


def reading(facts: Facts, table: Relation, mine: str, other: str) -> Iterator[Attempt]:
    """The attempts that read."""
    column, kind, name = identifier(facts.subject.column), "table", table.name
    theirs = f"{column} = {literal(other)}::{table.tenant_type}"
    yield Attempt(kind, name, "select the other's rows", f"select count(*) from {name} where {theirs}", "no rows")
    yield Attempt(
        kind,
        name,
        "count beyond the own rows",
        f"select count(*) from {name} where {column} is distinct from {literal(mine)}::{table.tenant_type}",
        "no rows",
    )
    yield Attempt(
        kind,
        name,
        "a condition before the policy",
        f"select count(*) from {name} where 1 / (case when {theirs} then 0 else 1 end) = 1",
        "not divided",
    )


def writing(facts: Facts, seeds: Seeds, table: Relation, mine: str, other: str) -> Iterator[Attempt]:
    """The attempts that write."""
    column, kind, name = identifier(facts.subject.column), "table", table.name
    theirs = f"{column} = {literal(other)}::{table.tenant_type}"
    row = seeds.values(table, mine)
    yield Attempt(
        kind,
        name,
        "insert into the other",
        seeds.insert(table, {**seeds.values(table, other), facts.subject.column: other}),
        "refused",
    )
    yield Attempt(
        kind,
        name,
        "move own rows to the other",
        f"update {name} set {column} = {literal(other)}::{table.tenant_type} where {column} = {literal(mine)}::{table.tenant_type}",
        "refused",
    )
    yield Attempt(
        kind, name, "update the other's rows", f"update {name} set {column} = {column} where {theirs}", "refused"
    )
    yield Attempt(kind, name, "delete the other's rows", f"delete from {name} where {theirs}", "refused")
    for link in seeds.links.get(table.oid, ()):
        parent = seeds.rows.get((other, link.parent))
        target = facts.by_oid.get(link.parent)
        if parent is not None and target is not None and facts.is_tenants(target):
            foreign = {
                own: parent.get(there)
                for own, there in zip(link.columns, link.parent_columns, strict=True)
                if own != facts.subject.column
            }
            yield Attempt(
                "foreign key",
                f"{link.name} on {name}",
                "point at the other's row",
                seeds.insert(table, {**row, **foreign}),
                "not linked",
            )
    yield from _oracles(facts, seeds, table, row, other)


def _oracles(facts: Facts, seeds: Seeds, table: Relation, row: Row, other: str) -> Iterator[Attempt]:
    known = seeds.rows.get((other, table.oid))
    if known is None:
        return
    for key in facts.keys:
        if key.relation != table.oid or not key.is_unique or key.is_exclusion or " WHERE " in key.definition:
            continue
        names = [one.strip('"') for one in key.columns if one.strip('"') != facts.subject.column]
        if not names or key.has_uuid or not all(one in known for one in names):
            continue  # a random key cannot be guessed
        same = {one: known[one] for one in names}
        yield Attempt(
            "unique key", key.name, "learn whether a value exists", seeds.insert(table, {**row, **same}), "not told"
        )
