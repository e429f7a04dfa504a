"""Which index a plan wants, the tenant's column first; and which conditions row security keeps from any index.

Advice is given only where the server's own counts say that a call reads many blocks, and only for what an index would serve: conditions by
leakproof operators, and the order of a page. What is there already is not advised again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from tenantry.ops.statements.catalogue import TENANT, Catalogue, Index, Table
from tenantry.ops.statements.terms import Term, is_function_of, terms
from tenantry.tenancy.verify.subject import identifier

LEAST_BLOCKS = 32
"""A call that reads less (256 kB) has its rows near enough."""
_SCANS = frozenset({"Seq Scan", "Parallel Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"})
_BETWEEN = frozenset({"Sort", "Incremental Sort", "Result", "Subquery Scan", "LockRows", "Gather", "Gather Merge"})


_NOT_THEIRS = frozenset({"pg_catalog", "information_schema", "pg_toast", "tenantry"})
"""PostgreSQL's own, and Tenantry's: no application makes an index there."""


class Kept(Struct, frozen=True):
    """A condition that no index serves under row security."""

    table: str
    condition: str
    why: str
    instead: str


class Advice(Struct, frozen=True):
    """`sql` is empty where there is nothing to make."""

    sql: tuple[str, ...]
    why: tuple[str, ...]
    kept: tuple[Kept, ...]


class _Scan(Struct):
    node: dict[str, Any]
    order: tuple[str, ...]
    """The columns of the sort over it, if a limit stands over that and all are its own."""


def advise(root: dict[str, Any], catalogue: Catalogue, *, blocks_a_call: float) -> Advice:
    """Of a plan in PostgreSQL's JSON with VERBOSE."""
    sql: dict[str, str] = {}
    kept: dict[Kept, None] = {}
    for scan in _scans(root, (), is_limited=False):
        schema = scan.node.get("Schema", "public")
        table = None if schema in _NOT_THEIRS else catalogue.table(schema, scan.node["Relation Name"])
        if table is None:
            continue
        unserved = list(terms(scan.node.get("Filter", "")))
        for term in unserved:
            reason = _kept(table, term, catalogue)
            if reason is not None:
                kept[reason] = None
        if blocks_a_call < LEAST_BLOCKS:
            continue
        found = _index(table, scan, unserved, catalogue)
        if found is not None:
            sql[found[0]] = found[1]
    return Advice(tuple(sql), tuple(sql.values()), tuple(kept))


def _scans(node: dict[str, Any], order: tuple[str, ...], *, is_limited: bool) -> Iterator[_Scan]:
    kind = node["Node Type"]
    if kind in _SCANS and "Relation Name" in node:
        alias = node.get("Alias", node["Relation Name"])
        own = tuple(column for column in (_own(key, alias) for key in order) if column)
        yield _Scan(node, own if len(own) == len(order) else ())
    if kind in ("Sort", "Incremental Sort") and is_limited:
        order = tuple(node.get("Sort Key", ()))
    elif kind not in _BETWEEN:
        order = ()
    is_limited = kind == "Limit" or (is_limited and kind in _BETWEEN)
    for child in node.get("Plans", ()):
        yield from _scans(child, order, is_limited=is_limited)


def _own(key: str, alias: str) -> str | None:
    """`notes.created_at DESC` → created_at desc; None for an expression, or another table's column."""
    column, _, direction = key.partition(" ")
    table, dot, name = column.rpartition(".")
    if "(" in key or (dot and table.strip('"') != alias):
        return None
    return f"{name} {direction.lower()}".strip()


def _kept(table: Table, term: Term, catalogue: Catalogue) -> Kept | None:
    if not table.has_row_security or _is_served(table, term, catalogue):
        return None
    function = is_function_of(term.text)
    if function is not None:
        return Kept(
            table.name, term.text, f"{function}() is not leakproof",
            f"keep the value of {function}() in a column of its own (generated always as … stored), and compare that by =",
        )  # fmt: skip
    if term.kind == "other" and not term.column:
        return None  # OR, subplans, row expressions: nothing is claimed of them
    instead = "read the tenant's rows by another condition first: no more than the tenant is read"
    if term.operator in ("~~", "!~~"):
        instead = "a prefix by column >= $1 and column < $2, which an index serves; else narrow it by another condition"
    elif term.operator in ("@>", "?", "?|", "?&", "->>", "->"):
        instead = "keep what is searched for in a column of its own, and compare that by ="
    return Kept(table.name, term.text, f"{term.operator_name} is not leakproof", instead)


def _is_served(table: Table, term: Term, catalogue: Catalogue) -> bool:
    """Whether a btree could serve it, beside row security's own condition."""
    if term.kind == "null":
        return True
    if term.kind == "other" or is_function_of(term.text) is not None:
        return False
    columns = term.columns or (term.column,)
    for column in columns:
        type_ = table.columns.get(column)
        if type_ is None:
            return False
        if table.has_row_security and not catalogue.is_leakproof(term.operator, type_):
            return False
    return True


def _index(table: Table, scan: _Scan, unserved: list[Term], catalogue: Catalogue) -> tuple[str, str] | None:
    conditions = [*terms(scan.node.get("Index Cond", "")), *terms(scan.node.get("Recheck Cond", "")), *unserved]
    good = [term for term in conditions if _is_served(table, term, catalogue)]
    equal = list(dict.fromkeys(term.column for term in good if term.kind == "equal" and term.column != TENANT))
    absent = list(dict.fromkeys(term.column for term in good if term.kind == "null"))
    ranges = list(
        dict.fromkeys(term.column for term in good if term.kind in ("range", "row") and term.column not in equal)
    )
    if any(index.is_unique and _is_pinned(index, equal, table) for index in table.indexes):
        return None  # one row at most: what is left to filter is nothing
    leading = [TENANT] if table.is_of_tenants else []
    order = [column for column in scan.order if column.partition(" ")[0] not in (*equal, TENANT)]
    tail = order or ranges[:1]
    wanted = [*equal, *(column.partition(" ")[0] for column in tail)]
    if not wanted and not (leading and scan.node["Node Type"].endswith("Seq Scan")):
        return None
    if not [*leading, *wanted] or any(_covers(index, [*leading, *equal], tail) for index in table.indexes):
        return None
    columns = ", ".join([*(identifier(one) for one in (*leading, *equal)), *(_ordered(one) for one in tail)])
    where = " and ".join(f"{identifier(one)} is null" for one in absent)
    sql = f"create index concurrently on {table.name} ({columns}){f' where {where}' if where else ''};"
    serves = [*(f"{one} =" for one in equal), *(f"{one} by range" for one in ranges[:1] if not order)]
    serves += [f"order by {', '.join(order)}"] if order else []
    first = f"{TENANT} first, since row security asks for it in every statement" if leading else ""
    return sql, "; ".join(
        one for one in (first, f"{'then ' if leading else ''}{', '.join(serves)}" if serves else "") if one
    )


def _is_pinned(index: Index, equal: list[str], table: Table) -> bool:
    fixed = {*equal, *([TENANT] if table.is_of_tenants else [])}
    return not index.is_partial and all(column in fixed for column in index.columns)


def _covers(index: Index, leading: list[str], tail: list[str]) -> bool:
    """Whether an index begins with those columns in any order, and goes on with these in theirs."""
    if index.is_partial:
        return False
    count = len(leading)
    rest = [column.partition(" ")[0] for column in tail]
    return set(index.columns[:count]) == set(leading) and list(index.columns[count : count + len(rest)]) == rest


def _ordered(column: str) -> str:
    name, _, direction = column.partition(" ")
    return f"{identifier(name.strip(chr(34)))}{f' {direction}' if direction else ''}"
