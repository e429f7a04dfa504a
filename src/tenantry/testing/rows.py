"""Rows for a test: what it cares for is given, what else a table insists on is made up, rows that it refers to included."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

from tenantry.db.sql import quoted

_numbers = itertools.count(1)
DEEP = 10
"""Of rows that refer to rows."""
_COLUMNS = """
select a.attname::text, format_type(b.oid, null), information_schema._pg_char_max_length(b.oid, a.atttypmod), t.typtype::text,
       a.attnotnull and f.adbin is null and a.attidentity = '' as is_needed, coalesce(pg_get_expr(f.adbin, f.adrelid), '') as made,
       (select l.enumlabel::text from pg_catalog.pg_enum l where l.enumtypid = b.oid order by l.enumsortorder limit 1) as label
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
  join pg_catalog.pg_type b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
  left join pg_catalog.pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
 where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
 order by a.attnum
"""
_REFERENCES = """
select k.confrelid::regclass::text,
       array(select a.attname::text from unnest(k.conkey) with ordinality u (n, at)
               join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n order by u.at),
       array(select a.attname::text from unnest(k.confkey) with ordinality u (n, at)
               join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n order by u.at)
  from pg_catalog.pg_constraint k
 where k.conrelid = $1::text::regclass and k.contype = 'f' and k.confrelid <> k.conrelid
"""


def make(
    admin: Any, table: str, tenant: UUID, user: UUID | None, given: dict[str, Any], depth: int = 0
) -> dict[str, Any]:
    """Insert a row into a table of the application, and give it whole. Raises TypeError for a column that is none."""
    from psycopg.rows import dict_row
    from psycopg.types.json import Jsonb

    name = named(table)
    columns = {row[0]: row[1:] for row in admin.execute(_COLUMNS, (name,)).fetchall()}
    unknown = given.keys() - columns.keys()
    if unknown:
        message = f"{table} has no column {', '.join(sorted(unknown))}"
        raise TypeError(message)
    values: dict[str, Any] = {"tenant_id": tenant} if "tenant_id" in columns else {}
    if user is not None:
        values |= {column: user for column, facts in columns.items() if "tenantry.user_id()" in facts[4]}
    values |= given
    for other, mine, theirs in admin.execute(_REFERENCES, (name,)).fetchall():
        if other != "tenantry.tenants" and any(columns[one][3] and one not in values for one in mine):
            if depth >= DEEP:
                message = f"{table} refers to {other} and so on, too deep: give {', '.join(mine)}"
                raise TypeError(message)
            is_person = other in ("public.users", "users")
            parent = (
                _somebody(admin, table, tenant, user) if is_person else make(admin, other, tenant, user, {}, depth + 1)
            )
            values = {one: parent[its] for one, its in zip(mine, theirs, strict=True)} | values
    for column, (kind, most, typtype, is_needed, _, label) in columns.items():
        if is_needed and column not in values:
            values[column] = label if typtype == "e" else made_up(column, kind, most)
    values = {column: Jsonb(value) if isinstance(value, dict) else value for column, value in values.items()}
    names = ", ".join(map(quoted, values))
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    text = (
        f"insert into {name} ({names}) overriding system value values ({places}) returning *"
        if values
        else f"insert into {name} default values returning *"
    )
    cursor = admin.cursor(row_factory=dict_row)
    return cursor.execute(text, tuple(values.values())).fetchone()


def _somebody(admin: Any, table: str, tenant: UUID, user: UUID | None) -> dict[str, Any]:
    """The person that makes the row, or one of the tenant. Raises TypeError where there is none."""
    from psycopg.rows import dict_row

    text = "select * from public.users u where u.tenant_id = $1 and ($2::uuid is null or u.id = $2::uuid) limit 1"
    found = admin.cursor(row_factory=dict_row).execute(text, (tenant, user)).fetchone()
    if found is None:
        message = f"{table} refers to users, and the tenant has none yet: await tenant.person() before"
        raise TypeError(message)
    return found


def named(table: str) -> str:
    """A table's name as PostgreSQL takes it: `notes` is `public.notes`."""
    if '"' in table or "." in table:
        return table
    return f'public."{table}"'


def made_up(column: str, kind: str, most: int | None) -> Any:
    """A value that is another one each time."""
    number = next(_numbers)
    match kind:
        case "text" | "character varying" | "character" | "citext":
            text = f"{column} {number}"
            return (
                f"{column}{number}@tests.example"
                if "email" in column
                else text
                if most is None
                else text[-most:].strip()
            )
        case "uuid":
            return uuid4()
        case "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision":
            return number % 32_000
        case "boolean":
            return False
        case "timestamp with time zone" | "timestamp without time zone":
            return datetime.now(timezone.utc)
        case "date":
            return datetime.now(timezone.utc).date()
        case "json" | "jsonb":
            return "{}"
        case "bytea":
            return b""
        case _ if kind.endswith("[]"):
            return []
        case _:
            message = f"{column} is {kind}, which is not made up: give it"
            raise TypeError(message)
