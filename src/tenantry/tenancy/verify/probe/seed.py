"""Rows to cross to: one of each tenant in each table, made from what the catalogue says of its columns. Never committed.

No sequence is drawn from: identities and serials get a number of our own. A table whose constraints ask for more than types
(a check over two columns, a trigger that refuses) may stay without a row, and then the report says so.
"""

from __future__ import annotations

import re
import secrets
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct

from tenantry.tenancy.verify.facts import Connection, Facts, Relation
from tenantry.tenancy.verify.subject import identifier, literal

Row = dict[str, str | None]
"""Column → text of the value, as PostgreSQL would read it."""


class Column(Struct, frozen=True):
    """A row of columns.sql."""

    relation: int
    name: str
    type: str
    base_type: str
    longest: int
    type_kind: str
    category: str
    is_required: bool
    has_default: bool
    is_counted: bool
    is_generated: bool
    is_key: bool
    first_label: str | None
    checks: list[str]
    partition_bound: str | None


class Link(Struct, frozen=True):
    """A row of links.sql."""

    name: str
    child: int
    parent: int
    columns: list[str]
    parent_columns: list[str]


class Seeds:
    """What there is to make rows with, and the rows that were made: (tenant, table's oid) → row."""

    def __init__(self, connection: Connection, facts: Facts) -> None:
        """Reads the columns and foreign keys of all tables."""
        self.facts = facts
        self.connection = connection
        self.columns: dict[int, list[Column]] = {}
        for column in _rows(connection, "columns", Column):
            self.columns.setdefault(column.relation, []).append(column)
        self.links: dict[int, list[Link]] = {}
        for link in _rows(connection, "links", Link):
            self.links.setdefault(link.child, []).append(link)
        self.rows: dict[tuple[str, int], Row] = {}
        self.why_not: dict[int, str] = {}

    def order(self, tables: list[Relation]) -> list[Relation]:
        """Parents before children."""
        left = {one.oid: one for one in tables}
        ordered: list[Relation] = []
        while left:
            free = [
                one
                for one in left.values()
                if not any(k.parent in left and k.parent != one.oid for k in self.links.get(one.oid, ()))
            ]
            for one in free or list(left.values())[:1]:
                ordered.append(left.pop(one.oid))
        return ordered

    def values(self, table: Relation, tenant: str, attempt: int = 0) -> Row:
        """A row of this tenant that should pass; `attempt` 1 and 2 try values that the checks name."""
        column_name = self.facts.subject.column
        row: Row = {}
        for column in self.columns.get(table.oid, ()):
            if column.is_generated:
                continue
            if column.name == column_name:
                row[column.name] = tenant
            elif (
                column.is_counted
                or column.is_key
                or column.partition_bound
                or (column.is_required and not column.has_default)
            ):
                row[column.name] = _value(column, attempt)
        for link in self.links.get(table.oid, ()):
            parent = self.rows.get((tenant, link.parent))
            if parent is None or link.parent == table.oid:
                continue
            for own, theirs in zip(link.columns, link.parent_columns, strict=True):
                if own != column_name:
                    row[own] = parent.get(theirs)
        return row

    def insert(self, table: Relation, row: Row) -> str:
        """The statement that makes this row."""
        types = {one.name: one.type for one in self.columns[table.oid]}
        columns = ", ".join(identifier(name) for name in row)
        values = ", ".join(
            "null" if value is None else f"{literal(value)}::{types[name]}" for name, value in row.items()
        )
        return f"insert into {table.name} ({columns}) overriding system value values ({values})"

    def make(self, table: Relation, tenant: str) -> bool:
        """Make a row, and remember it. False where none could be made; `why_not` then says why."""
        import psycopg

        for attempt in range(3):
            try:
                with self.connection.transaction():
                    text = (
                        self.insert(table, self.values(table, tenant, attempt))
                        + f" returning pg_catalog.to_jsonb({table.name}.*)"
                    )
                    made: dict[str, Any] | None = (self.connection.execute(text).fetchone() or (None,))[0]
            except psycopg.Error as error:
                self.why_not[table.oid] = error.diag.message_primary or type(error).__name__
                if error.sqlstate in ("55P03", "57014", "42501"):
                    return False
                continue
            if made is None:  # a trigger or a rule took it
                self.why_not[table.oid] = "the insert made no row"
                return False
            self.rows[tenant, table.oid] = {name: as_text(value) for name, value in made.items()}
            self.why_not.pop(table.oid, None)
            return True
        return False


def as_text(value: Any) -> str | None:
    """A value of jsonb as PostgreSQL would read it."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _value(column: Column, attempt: int) -> str | None:
    if column.partition_bound is not None:
        found = re.search(r"'([^']*)'", column.partition_bound)
        if found:
            return found.group(1)
    if attempt and column.checks:
        named = [value for check in column.checks for value in re.findall(r"'((?:[^']|'')*)'", check) if value]
        if named and column.base_type not in ("integer", "bigint", "smallint"):
            return named[0].replace("''", "'")
        numbers = [int(value) for check in column.checks for value in re.findall(r"-?\b\d+\b", check)]
        if numbers:
            return str(min(numbers) + attempt if column.category == "N" else "p" * max(1, min(numbers)))
    return sample(column)


_PLAIN = {
    "boolean": "true", "date": "2026-01-01", "interval": "1 hour", "inet": "127.0.0.1", "cidr": "127.0.0.0/8", "json": "{}", "jsonb": "{}",
    "bytea": "\\x70726f6265", "numeric": "1", "real": "1", "double precision": "1", "money": "1", "xml": "<probe/>", "tsvector": "probe",
    "time without time zone": "12:00", "time with time zone": "12:00Z", "macaddr": "08:00:2b:01:02:03", "point": "(1,1)",
    "timestamp without time zone": "2026-01-01", "timestamp with time zone": "2026-01-01Z", "name": "probe", "oid": "1", "citext": "",
}  # fmt: skip


def sample(column: Column) -> str | None:
    """A value of the column's type that nobody else has."""
    kind = column.base_type
    if column.first_label is not None:
        return column.first_label
    if kind == "uuid":
        token = secrets.token_hex(16)
        return f"{token[:8]}-{token[8:12]}-4{token[13:16]}-a{token[17:20]}-{token[20:]}"
    if kind in ("text", "character varying", "character", "citext"):
        text = "probe" + secrets.token_hex(8)
        return text[: column.longest] if column.longest else text
    if kind in ("bigint", "integer", "smallint"):
        high = {"bigint": 1 << 61, "integer": 1 << 30, "smallint": 1 << 14}[kind]
        return str(high + secrets.randbelow(high - 1))
    if kind.endswith("[]"):
        return "{}"
    if kind == "bytea":
        return "\\x" + secrets.token_hex(32)
    if kind.endswith("range"):
        return "empty"
    return _PLAIN.get(kind)


def _rows(connection: Connection, name: str, type_: type[Any]) -> list[Any]:
    text = files("tenantry.tenancy.verify").joinpath("sql", f"{name}.sql").read_text("utf-8")
    cursor = connection.execute(text)
    names = [column.name for column in cursor.description]
    return msgspec.convert([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], list[type_])
