# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Types at run time are values here: no checker follows them.
"""Statements against a database: PREPARE, and what it says of parameters and columns against the types in the source.

Nothing runs: PostgreSQL parses and describes. A connection as role platform is all that it takes.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Struct

from tenantry.check.reading import Found, Unseen, Wrong
from tenantry.db import params as pg
from tenantry.db.failures import error_of, unknown_table
from tenantry.db.page import order_of, paged
from tenantry.db.plan import Plan
from tenantry.db.rows import FITS, Rows, base_of, fields_of, python_of
from tenantry.db.scan import tokens, without_end
from tenantry.db.sql import text_of
from tenantry.db.trip import Outcome
from tenantry.db.wire import failure_of
from tenantry.errors import BuilderError, SqlRefused, SqlType

if TYPE_CHECKING:
    from collections.abc import Callable

_ERRORS = frozenset({"ROW_SHAPE", "MIGRATION_MISSING"})
"""Whose words name the procedure or the table, and no line."""
Severity = Literal["error", "warning"]
_FATAL = 7


class Finding(Struct, frozen=True):
    """One thing that is not as it should be."""

    severity: Severity
    code: str
    procedure: str
    where: str
    says: str
    cure: str

    def __str__(self) -> str:
        """As a request would tell it: an error's own words, and the place below where they do not have it."""
        if not self.where or self.where in self.says:
            return f"{self.code} {self.says}\n{self.cure}"
        if self.code in _ERRORS:
            return f"{self.code} {self.says}\n{self.cure}\nAt {self.where}"
        return f"{self.code} {self.procedure} ({self.where}): {self.says}\n{self.cure}"


class Column(Struct, frozen=True):
    """A column of a table, as the catalogue has it."""

    table: str
    name: str
    not_null: bool
    kind: str
    """`r` and `p` are tables; a view's columns say nothing about null."""
    allowed: frozenset[str] | None
    """The texts that a check, or an enum, leaves; None where there is none."""


_CATALOGUE = """
select a.attrelid::bigint, a.attnum::integer, c.relname::text, a.attname::text, a.attnotnull, c.relkind::text,
       (select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ')
          from pg_catalog.pg_constraint k where k.conrelid = a.attrelid and k.contype = 'c' and k.conkey = array[a.attnum])::text,
       (select pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ',') from pg_catalog.pg_enum e where e.enumtypid = a.atttypid)::text
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
 where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
"""
_UNIQUE = """
select x.indrelid::bigint, pg_catalog.string_agg(a.attname, ',')::text
  from pg_catalog.pg_index x
  join pg_catalog.pg_class c on c.oid = x.indrelid and c.relnamespace = 'public'::pg_catalog.regnamespace
  cross join lateral pg_catalog.unnest(x.indkey::int2[]) as k (number)
  join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.number
 where x.indisunique and x.indpred is null
 group by x.indexrelid, x.indrelid
"""


class Judge:
    """A database, asked about one statement after the other. `makes` gives the migration that makes a table, or None."""

    def __init__(self, connection: Any, makes: Callable[[str], str | None]) -> None:
        """`connection` is a psycopg connection in autocommit; nothing is written by it."""
        self.connection = connection
        self.makes = makes
        self.columns: dict[tuple[int, int], Column] = {}
        for table, number, name, column, not_null, kind, checks, labels in connection.execute(_CATALOGUE).fetchall():
            said = labels or checks
            allowed = (
                None
                if said is None
                else frozenset(one.replace("''", "'") for one in re.findall(r"'((?:[^']|'')*)'", said))
            )
            self.columns[table, number] = Column(name, column, not_null, kind, allowed)
        self.unique: dict[int, list[frozenset[str]]] = {}
        for table, names in connection.execute(_UNIQUE).fetchall():
            self.unique.setdefault(table, []).append(frozenset(names.split(",")) - {"tenant_id"})
        self.said: set[tuple[str, ...]] = set()

    def judge(self, found: Iterable[Found | Unseen | Wrong]) -> Iterator[Finding]:
        """Everything that is amiss, each thing once."""
        for one in found:
            if isinstance(one, Unseen):
                continue
            if isinstance(one, Wrong):
                yield Finding("error", one.code, one.procedure, one.where, one.says, one.cure)
                continue
            for finding in self._statement(one):
                key = (finding.code, finding.procedure, finding.where, finding.says)
                if key not in self.said:
                    self.said.add(key)
                    yield finding

    def _statement(self, found: Found) -> Iterator[Finding]:
        try:
            yield from self._described(found)
        except BuilderError as error:
            yield Finding("error", error.code, found.procedure, found.where, error.message, error.advice)

    def _described(self, found: Found) -> Iterator[Finding]:
        text = text_of(found.text.parts)
        order: tuple[tuple[str, bool], ...] = ()
        if found.kind == "page":
            order = order_of(found.by, procedure=found.procedure, where=found.where)
            first = max((int(t[1:]) for k, t, _ in tokens(text) if k == "param"), default=0) + 1
            text = paged(without_end(text), order, first, goes_on=False)
        plan = Plan(
            found.kind, found.type, text, procedure=found.procedure, where=found.where, read_only=found.read_only
        )
        if found.read_only and Plan._has_write(plan.operation.upper(), text):  # pyright: ignore[reportPrivateUsage] - the same question
            yield Finding(
                "error",
                "SQL_REFUSED",
                found.procedure,
                found.where,
                "it writes, and a query's transaction is READ ONLY.",
                "Make it a mutation: @router.mutation",
            )
        described = self._prepare(plan)
        yield from self._parameters(found, described)
        if found.kind == "run":
            return
        columns = [((described.fname(i) or b"").decode(), described.ftype(i)) for i in range(described.nfields)]
        Rows(found.type, columns, procedure=found.procedure, where=found.where)
        sources = {
            name: self.columns.get((described.ftable(i), described.ftablecol(i))) for i, (name, _) in enumerate(columns)
        }
        nulled = self._nulled(text, [name for name, _ in columns]) if _has_outer_join(text) else frozenset[str]()
        yield from self._fields(found, sources, columns, nulled)
        if order:
            tables = {name: described.ftable(i) for i, (name, _) in enumerate(columns)}
            yield from self._order(found, order, sources, tables)

    def _prepare(self, plan: Plan) -> Any:
        pgconn = self.connection.pgconn
        for result in (pgconn.prepare(b"", plan.text.encode()), pgconn.describe_prepared(b"")):
            if int(result.status) == _FATAL:
                failure = failure_of(result, Outcome.ROLLED_BACK)
                error = error_of(failure, procedure=plan.procedure, where=plan.where, read_only=plan.read_only)
                if isinstance(error, SqlRefused) and "table" in error.fields:
                    table = str(error.fields["table"])
                    others = {column.table for column in self.columns.values()}
                    raise unknown_table(
                        table, file=self.makes(table), others=others, procedure=plan.procedure, where=plan.where
                    )
                raise error
        return result

    def _nulled(self, text: str, names: list[str]) -> frozenset[str] | None:
        """Columns that an outer join may fill with null, by the plan; None where there is no plan (before PostgreSQL 16).

        As the planner sees it: `where right.id is not null` makes an inner join of it.
        """
        result = self.connection.pgconn.exec_(b"explain (generic_plan, verbose, format json) " + text.encode())
        if int(result.status) == _FATAL or result.ntuples != 1:
            return None
        plan: dict[str, Any] = json.loads(result.get_value(0, 0))[0]["Plan"]
        given: list[str] = plan.get("Output", [])
        if len(given) != len(names):
            return None
        filled = frozenset(_filled(plan))
        return frozenset(name for name, output in zip(names, given, strict=True) if output in filled)

    # ------------------------------------------------------------------ parameters and columns

    def _parameters(self, found: Found, described: Any) -> Iterator[Finding]:
        for number in range(min(described.nparams, len(found.text.values))):
            value = found.text.values[number]
            oid = described.param_type(number)
            if value.is_known and not fits(value.kind, oid):
                wanted = python_of(oid) or "str"
                error = SqlType(
                    procedure=found.procedure, where=found.where, number=number + 1, pg=pg.TYPE_NAMES.get(oid, oid),
                    python=getattr(base_of(_plain(value.kind)), "__name__", str(value.kind)), name=value.source,
                    cure=f"Annotate {value.source} as {wanted}.",
                )  # fmt: skip
                yield Finding("error", error.code, found.procedure, found.where, error.message, error.advice)

    def _fields(
        self, found: Found, sources: dict[str, Column | None], columns: list[tuple[str, int]], nulled: frozenset[str] | None
    ) -> Iterator[Finding]:  # fmt: skip
        fields = fields_of(found.type)
        name = getattr(found.type, "__name__", str(found.type))
        if fields is None:
            if (
                get_origin(base_of(found.type)) in (dict, tuple)
                or base_of(found.type) in (dict, tuple, Any, object)
                or not columns
            ):
                return
            fields = {columns[0][0]: (found.type, True)}
        for field, (kind, _) in fields.items():
            column = sources.get(field)
            if column is None or column.kind not in "rp":
                continue
            thing = f"{name}.{field}" if fields_of(found.type) is not None else name
            if nulled is not None and field in nulled and not _takes_none(kind):
                yield Finding(
                    "error", "ROW_NULL", found.procedure, found.where, f"{field} is null where the outer join finds no {column.table}, and {thing} may not be.",
                    "Annotate it | None, or join without left, right or full.",
                )  # fmt: skip
            elif nulled is not None and not column.not_null and not _takes_none(kind):
                yield Finding(
                    "error", "ROW_NULL", found.procedure, found.where, f"{column.table}.{column.name} may be null, and {thing} is not.",
                    f"Annotate it | None, or: alter table {column.table} alter {column.name} set not null",
                )  # fmt: skip
            wanted = _literals(kind)
            if wanted and (column.allowed is None or not column.allowed <= wanted):
                listed = ", ".join(f"'{one}'" for one in sorted(wanted))
                yield Finding(
                    "warning", "LITERAL_UNCHECKED", found.procedure, found.where,
                    f"{thing} has {len(wanted)} values, and no check of {column.table}.{column.name} leaves these only.",
                    f"In a migration: alter table {column.table} add check ({column.name} in ({listed}))",
                )  # fmt: skip

    def _order(
        self, found: Found, order: tuple[tuple[str, bool], ...], sources: dict[str, Column | None], tables: dict[str, int]
    ) -> Iterator[Finding]:  # fmt: skip
        names = {name for name, _ in order}
        for name in names:
            column = sources.get(name)
            if column is not None and column.kind in "rp" and not column.not_null:
                yield Finding(
                    "error", "PAGE_ORDER", found.procedure, found.where, f"by= orders by {name}, which may be null.",
                    "Order by columns that are not null: coalesce(…) in the statement makes one.",
                )  # fmt: skip
        places = {tables[name] for name in names if tables.get(name)}
        own = {column.name for name in names if (column := sources.get(name)) is not None}
        if places and not any(key and key <= own for table in places for key in self.unique.get(table, [])):
            yield Finding(
                "error", "PAGE_ORDER", found.procedure, found.where, f'by="{found.by}" is not unique: rows that are equal in it could be left out.',
                'Add a unique column at its end: by="…, id"',
            )  # fmt: skip


def fits(kind: Any, oid: int) -> bool:
    """Whether a value of that annotation goes into a parameter of that type; what is not known does."""
    base = base_of(_plain(kind))
    if base is str:
        return oid not in _NOT_STR
    wanted = FITS.get(base) if isinstance(base, type) else None
    if wanted is None or oid not in pg.TYPE_NAMES or oid in (pg.JSON, pg.JSONB):
        return True
    return oid in wanted or (base is int and oid in FITS[int] | {pg.FLOAT4, pg.FLOAT8, pg.NUMERIC})


_NOT_STR = frozenset[int]().union(*FITS.values()) | {pg.TIMESTAMP}


def _plain(kind: Any) -> Any:
    """Without `| None` and `| Unset`."""
    import msgspec

    if get_origin(kind) in (Union, types.UnionType):
        arms = [arm for arm in get_args(kind) if arm not in (types.NoneType, msgspec.UnsetType)]
        return arms[0] if len(arms) == 1 else kind
    return kind


def _takes_none(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _takes_none(get_args(kind)[0])
    return kind in (Any, object, None) or (
        get_origin(kind) in (Union, types.UnionType) and types.NoneType in get_args(kind)
    )


def _literals(kind: Any) -> frozenset[str]:
    for arm in (kind, *get_args(kind)):
        if get_origin(arm) is typing.Literal:
            return frozenset(one for one in get_args(arm) if isinstance(one, str))
    return frozenset()


def _filled(plan: dict[str, Any]) -> Iterator[str]:
    """Expressions of a plan that come from the side of a join that may have no row."""
    side = {"Left": ("Inner",), "Right": ("Outer",), "Full": ("Inner", "Outer")}.get(plan.get("Join Type", ""), ())
    for child in plan.get("Plans", []):
        if child.get("Parent Relationship") in side:
            yield from child.get("Output", [])
        yield from _filled(child)


def _has_outer_join(text: str) -> bool:
    words = [token.upper() for kind, token, _ in tokens(text) if kind == "word"]
    return any(word in ("LEFT", "RIGHT", "FULL") for word in words)
