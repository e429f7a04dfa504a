"""What is decided about a statement once a process: its text, its parameters, how its rows become values.

A returned mutation has committed before Python sees a row, so all that Python could refuse afterwards is put into the
statement itself ("one row", numbers and times that have no JSON); where that cannot be, it runs as two trips, COMMIT last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from tenantry.db import params as pg
from tenantry.db.failures import error_of
from tenantry.db.page import COMMON_LIMITS, cursor_of, not_ours, order_of, paged, values_of
from tenantry.db.params import Dumper, WrongType
from tenantry.db.rows import Rows, base_of, python_of, transformer_of
from tenantry.db.scan import ALLOWED, first_keyword, tokens, without_end
from tenantry.db.sql import Sql, check_numbers, constant, quoted, text_of
from tenantry.db.trip import Query, Shape, WireError, WireFailure
from tenantry.errors import NotFound, SqlRefused, SqlType, TenantryError, TooManyRows

if TYPE_CHECKING:
    from psycopg.pq import abc

    from tenantry.db.pool import Pool

Kind = Literal["one", "maybe", "all", "run", "page"]
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_BOUNDED_TIMES = frozenset({pg.TIMESTAMPTZ, pg.TIMESTAMP, pg.DATE})
_SURE = frozenset({
    pg.UUID_OID, pg.TEXT, pg.VARCHAR, pg.BPCHAR, pg.NAME, pg.INT2, pg.INT4, pg.INT8, pg.BOOL, pg.TIMESTAMPTZ, pg.DATE,
    pg.FLOAT4, pg.FLOAT8, pg.NUMERIC, pg.BYTEA,
})  # fmt: skip
"""Column types whose every value, the checks in the statement passed, has its JSON."""


Describe = Callable[[Query], Awaitable[Shape]]


class Plan:
    """One statement of one procedure. `prepare` asks PostgreSQL once; then `dump` and `load` cost no I/O."""

    __slots__ = (
        "dumper", "is_sure", "is_write", "kind", "missing", "names", "operation", "order", "procedure", "query", "raw", "read_only", "rows",
        "text", "transformer", "type", "where",
    )  # fmt: skip

    def __init__(self, kind: Kind, type_: Any, text: str, *, procedure: str, where: str, read_only: bool) -> None:
        """Raises SqlRefused for a text that may not run."""
        keyword = first_keyword(text)
        if keyword not in ALLOWED:
            raise SqlRefused(
                procedure=procedure, where=where, why=f"a handler's SQL does not begin with {keyword or text[:20]!r}",
                cure=f"Only {', '.join(sorted(ALLOWED))} may; the rest belongs into a migration.",
            )  # fmt: skip
        self.operation = keyword.lower()
        self.kind: Kind = kind
        self.type = type_
        self.text = text
        self.procedure = procedure
        self.where = where
        self.read_only = read_only
        self.is_write = not read_only and self._has_write(keyword, text)
        self.order: tuple[tuple[str, bool], ...] = ()
        self.raw = self.query = Query(text)
        self.dumper: Dumper | None = None
        self.rows: Rows | None = None
        self.transformer: Any = None
        self.names: tuple[str | None, ...] = ()
        """What the values were called where the statement was first made, for an error's words; None where that is not known."""
        self.is_sure = True
        name = getattr(base_of(type_), "__name__", "")
        is_named = isinstance(base_of(type_), type) and base_of(type_).__module__ not in (
            "builtins",
            "uuid",
            "datetime",
            "decimal",
        )
        self.missing = f"No such {_words(name)}" if is_named else "Not found."

    @staticmethod
    def _has_write(keyword: str, text: str) -> bool:
        if keyword in _WRITES:
            return True
        return keyword == "WITH" and any(kind == "word" and token.upper() in _WRITES for kind, token, _ in tokens(text))

    # ------------------------------------------------------------------ once

    async def prepare(self, pool: Pool, describe: Describe | None = None) -> None:
        """Describe, compare the columns with the type, and put the checks into the statement. Raises TenantryError.

        `describe` asks over a connection that the caller holds: a second one may be what all the others are waiting for.
        """
        if self.dumper is not None:
            return
        try:
            shape = await (describe or pool.describe)(self.raw)
        except WireError as error:
            raise self.error(error.failure, pool) from None
        if self.kind != "run":
            self.rows = Rows(self.type, shape.columns, procedure=self.procedure, where=self.where)
        if not self.read_only and self.kind == "page":
            self.is_sure = False
        elif not self.read_only and self.kind != "run":
            self._check_inside(shape)
        self.transformer = transformer_of(oid for _, oid in shape.columns)
        self.dumper = Dumper(shape.params)

    def _check_inside(self, shape: Shape) -> None:
        """Make the statement refuse by itself what would be refused after its commit."""
        assert self.rows is not None  # made just before
        self.is_sure = self.rows.is_plain and all(oid in _SURE for _, oid in shape.columns)
        names = [name for name, _ in shape.columns]
        if (self.is_write and first_keyword(self.text) == "WITH") or len(set(names)) != len(names):
            # PostgreSQL takes a writing WITH at the top level only.
            self.is_sure = False
            return
        checks = [_is_bad(name, oid) for name, oid in shape.columns if oid == pg.INT8 or oid in _BOUNDED_TIMES]
        value = "tenantry.refuse_value('A value is out of range for the wire')"
        bad = f"when bool_or({' or '.join(checks)}) then {value} " if checks else ""
        count = {
            "one": "when count(*) <> 1 then tenantry.not_one(count(*)) ",
            "maybe": "when count(*) > 1 then tenantry.not_one(count(*)) ",
        }
        guard = f"{bad}{count.get(self.kind, '')}"
        if not guard:
            return
        text = f"with r as ({without_end(self.text)}) select r.* from r where (select case {guard}else true end from r)"
        self.query = Query(text)
        self.query.shape = shape

    def forget(self) -> None:
        """The table has changed under the statement: ask anew."""
        self.raw.shape = None
        self.query = self.raw
        self.dumper = None

    # ------------------------------------------------------------------ each time

    def dump(self, values: tuple[Any, ...]) -> list[bytes | None]:
        """The parameters. Raises SqlType or BadRequest."""
        assert self.dumper is not None  # prepared
        try:
            return self.dumper.dump(values)
        except WrongType as wrong:
            named = self.names[wrong.number - 1] if wrong.number <= len(self.names) else None
            meant = python_of(wrong.oid)
            raise SqlType(
                procedure=self.procedure, where=self.where, number=wrong.number, pg=wrong.pg, python=wrong.python,
                name=named or "the value",
                cure=f"Annotate {named} as {meant}." if named and meant else f"Give what {wrong.pg} takes, or cast it in the statement.",
            ) from None  # fmt: skip
        except TypeError as error:
            raise SqlRefused(
                procedure=self.procedure, where=self.where, why=str(error), cure="Give one value each."
            ) from None

    def load(self, result: abc.PGresult, make: Callable[[tuple[Any, ...]], Any]) -> Any:
        """The result as `one`, `maybe`, `all` or `run` promise it. Raises NotFound, TooManyRows, IntTooWide."""
        kind = self.kind
        if kind == "run":
            return result.command_tuples if result.command_tuples is not None else result.ntuples
        count = result.ntuples
        if kind == "one" and count == 0:
            raise NotFound(self.missing)
        if count > 1 and kind in ("one", "maybe"):
            raise TooManyRows(procedure=self.procedure, where=self.where)
        rows = self.rows
        assert rows is not None  # prepared
        transformer = self.transformer
        transformer.set_pgresult(result)
        if rows.has_wide:
            rows.check_wide(transformer.load_rows(0, count, tuple))
        if kind in ("one", "maybe"):
            return transformer.load_rows(0, 1, make)[0] if count else None
        return transformer.load_rows(0, count, make)

    def error(self, failure: WireFailure, pool: Pool) -> TenantryError:
        """A failed trip of this statement, as an error."""
        error = error_of(
            failure, procedure=self.procedure, where=self.where, read_only=self.read_only, missing=self.missing,
            constraints=pool.constraints,
        )  # fmt: skip
        if isinstance(error, SqlRefused) and "table" in error.fields:
            return pool.no_table(error.fields["table"], procedure=self.procedure, where=self.where)
        return error


class PagePlan(Plan):
    """A page's statement: `order` decides the cursor."""

    __slots__ = ("has_limit", "places")

    has_limit: bool
    """The limit is written in the statement, and is no parameter."""

    def finish_page(self, rows: list[Any], raw: list[tuple[Any, ...]], limit: int) -> tuple[list[Any], str | None]:
        """The items, and the cursor of the next page if there is one more row."""
        if len(rows) <= limit:
            return rows, None
        last = [raw[limit - 1][place] for place in self.places]
        if None in last:
            raise SqlRefused(
                procedure=self.procedure,
                where=self.where,
                why=f"{self.order[last.index(None)][0]} is null in a row, and by= orders by it",
                cure="Order by columns that are not null: coalesce(…) in the statement makes one.",
            )
        return rows[:limit], cursor_of(last)

    async def prepare(self, pool: Pool, describe: Describe | None = None) -> None:
        """As a Plan's, and find the order columns among the row's."""
        await super().prepare(pool, describe)
        assert self.rows is not None  # a page has rows
        names = [name for name, _ in self.rows.columns]
        absent = [name for name, _ in self.order if name not in names]
        if absent:
            raise SqlRefused(
                procedure=self.procedure, where=self.where, why=f"by= names {', '.join(absent)}, which the statement does not give",
                cure=f"Select {', '.join(absent)} as well.",
            )  # fmt: skip
        self.places = [names.index(name) for name, _ in self.order]


def _words(name: str) -> str:
    """`PurchaseOrder` → "purchase order"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _is_bad(name: str, oid: int) -> str:
    column = f"r.{quoted(name)}"
    if oid == pg.INT8:
        return f"{column} not between -9007199254740991 and 9007199254740991"
    return f"not isfinite({column}) or {column} < '0001-01-02' or {column} >= '9999-12-31'"


# ------------------------------------------------------------------ the cache

_plans: dict[Any, Plan] = {}
MOST_PLANS = 20_000
"""Statements of one process; an application has hundreds. Beyond it plans are made anew each time: slower, never wrong."""


def known() -> list[dict[str, str]]:
    """The statements that this process has made plans of: procedure, place in the code, and text as PostgreSQL hears it."""
    return [
        {"procedure": plan.procedure, "where": plan.where, "text": plan.query.text.decode()}
        for plan in list(_plans.values())
    ]


def plan_of(
    kind: Kind,
    type_: Any,
    text: str | Sql,
    given: tuple[object, ...],
    *,
    procedure: str,
    read_only: bool,
    frame: FrameType,
) -> tuple[Plan, tuple[Any, ...]]:
    """The plan of a statement, and the values that its Sql carries. Raises SqlBuiltAtRunTime, SqlRefused."""
    key = (kind, type_, text if isinstance(text, str) else text.parts, procedure, read_only)
    found = _plans.get(key)
    if found is None:
        whole, where = _text(text, procedure, frame)
        found = Plan(kind, type_, whole, procedure=procedure, where=where, read_only=read_only)
        found.names = _names_of(given if isinstance(text, str) else text.values, frame)
        _keep(key, found)
    return found, () if isinstance(text, str) else text.values


def page_plan_of(
    type_: Any,
    text: str | Sql,
    given: tuple[object, ...],
    by: str,
    after: str | None,
    limit: int,
    *,
    procedure: str,
    read_only: bool,
    frame: FrameType,
) -> tuple[PagePlan, tuple[Any, ...]]:
    """As `plan_of`, for a page that begins, or goes on."""
    goes_on = after is not None
    written = limit if limit in COMMON_LIMITS else None
    key = ("page", type_, text if isinstance(text, str) else text.parts, procedure, read_only, by, goes_on, written)
    found = _plans.get(key)
    if found is None:
        whole, where = _text(text, procedure, frame)
        order = order_of(by, procedure=procedure, where=where)
        first = max((int(t[1:]) for k, t, _ in tokens(whole) if k == "param"), default=0) + 1
        found = PagePlan(
            "page",
            type_,
            paged(without_end(whole), order, first, goes_on=goes_on, limit=written),
            procedure=procedure,
            where=where,
            read_only=read_only,
        )
        found.order = order
        found.has_limit = written is not None
        found.names = _names_of(given if isinstance(text, str) else text.values, frame)
        _keep(key, found)
    assert isinstance(found, PagePlan)  # keys of pages begin with "page"
    return found, () if isinstance(text, str) else text.values


def _keep(key: Any, plan: Plan) -> None:
    if len(_plans) < MOST_PLANS:
        _plans[key] = plan


def _names_of(values: tuple[object, ...], frame: FrameType) -> tuple[str | None, ...]:
    """Of each value the one local name that it had, `project_id`; None where there is none, or there are several."""
    local = {name: one for name, one in frame.f_locals.items() if one is not None}
    found = [[name for name, one in local.items() if one is value] for value in values]
    return tuple(names[0] if len(names) == 1 else None for names in found)


def _text(text: str | Sql, procedure: str, frame: FrameType) -> tuple[str, str]:
    if isinstance(text, Sql):
        wrong = check_numbers(text.parts, len(text.values))
        if wrong is not None:
            raise SqlRefused(procedure=procedure, where=text.where, why=wrong, cure="Use one of the two.")
        return text_of(text.parts), text.where
    return text, constant(text, frame, procedure)


def cursor_values(plan: PagePlan, after: str, first: int) -> list[Any]:
    """The cursor's values by the types of the order columns; their parameters follow the first ones. Raises BadRequest."""
    assert plan.rows is not None  # prepared
    assert plan.dumper is not None
    values = values_of(after, [plan.rows.columns[place][1] for place in plan.places])
    try:
        # A client may have made them up: what does not go into its parameter is the cursor's fault, not the builder's.
        for value, encode in zip(values, plan.dumper.encoders[first:], strict=False):
            encode(value)
    except Exception:
        raise not_ours() from None
    return values
