"""What the advice must know of tables: columns, indexes that are there, row security, which operators are leakproof."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tenantry.tenancy.verify.subject import identifier

TENANT = "tenant_id"
_TABLE = """
select c.oid::bigint, c.relrowsecurity, greatest(c.reltuples, 0)::float8, c.relpages::integer
  from pg_catalog.pg_class c
 where c.oid = pg_catalog.to_regclass($1)
"""
_COLUMNS = """
select a.attname::text, a.atttypid::bigint from pg_catalog.pg_attribute a
 where a.attrelid = $1::bigint::oid and a.attnum > 0 and not a.attisdropped
"""
_INDEXES = """
select i.indexrelid::regclass::text, i.indisunique, i.indpred is not null,
       array(select a.attname::text
               from pg_catalog.unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) with ordinality as k (number, place)
               left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number and k.number > 0
              order by k.place)
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  join pg_catalog.pg_am m on m.oid = c.relam
 where i.indrelid = $1::bigint::oid and i.indisvalid and m.amname = 'btree'
"""
_LEAKPROOF = """
select distinct o.oprname::text, o.oprleft::bigint from pg_catalog.pg_operator o join pg_catalog.pg_proc p on p.oid = o.oprcode
 where p.proleakproof and o.oprleft <> 0
"""


class Index(Struct, frozen=True):
    """A valid btree. A column that is an expression is None."""

    name: str
    is_unique: bool
    is_partial: bool
    columns: tuple[str | None, ...]


class Table(Struct, frozen=True):
    """A table of a plan."""

    name: str
    has_row_security: bool
    rows: float
    pages: int
    columns: dict[str, int]
    """Types (OIDs) by name."""
    indexes: tuple[Index, ...]

    @property
    def is_of_tenants(self) -> bool:
        """Row security on its tenant column decides who sees what."""
        return self.has_row_security and TENANT in self.columns


class Catalogue:
    """Read once a table. `connection` may read catalogues, which everybody may."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._tables: dict[str, Table | None] = {}
        self._leakproof: set[tuple[str, int]] = set(connection.execute(_LEAKPROOF).fetchall())
        self._same = {1043: 25, 1042: 1042}  # varchar is compared as text

    def table(self, schema: str, name: str) -> Table | None:
        """None where there is none of that name any more."""
        whole = f"{identifier(schema)}.{identifier(name)}"
        if whole not in self._tables:
            self._tables[whole] = self._read(whole)
        return self._tables[whole]

    def is_leakproof(self, operator: str, type_: int) -> bool:
        """Whether the operator's function says nothing of its arguments, not even by an error. Enums count as one type."""
        kind = self._same.get(type_, type_)
        return (operator, kind) in self._leakproof or (operator, self._general(type_)) in self._leakproof

    def _general(self, type_: int) -> int:
        row = self._connection.execute(
            "select case t.typtype when 'e' then 3500 when 'd' then t.typbasetype::bigint else t.oid::bigint end"
            " from pg_catalog.pg_type t where t.oid = $1::bigint::oid",
            (type_,),
        ).fetchone()
        return row[0] if row else type_

    def _read(self, whole: str) -> Table | None:
        ask = self._connection.execute
        found = ask(_TABLE, (whole,)).fetchone()
        if found is None:
            return None
        oid, has_row_security, rows, pages = found
        indexes = tuple(
            Index(name, is_unique, is_partial, tuple(columns))
            for name, is_unique, is_partial, columns in ask(_INDEXES, (oid,)).fetchall()
        )
        return Table(whole, has_row_security, rows, pages, dict(ask(_COLUMNS, (oid,)).fetchall()), indexes)
