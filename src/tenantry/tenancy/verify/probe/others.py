"""The attempts on what is no table of tenants: views, functions, sequences, partitions, shared tables, Tenantry's own.

A view or function is read as the first tenant, before and after the second tenant's rows are there: whatever then differs has
looked at them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.tenancy.verify.facts import Connection, Facts, Function, Relation
from tenantry.tenancy.verify.probe.crossing import Attempt
from tenantry.tenancy.verify.probe.safety import reaches_out
from tenantry.tenancy.verify.report import Tried
from tenantry.tenancy.verify.subject import literal

MOST_ROWS = 10_000
_ARGUMENTS = {
    "boolean": "true",
    "integer": "1",
    "bigint": "1",
    "smallint": "1",
    "bytea": "'\\x00'::bytea",
    "numeric": "1",
}


def plain(facts: Facts) -> Iterator[Attempt]:
    """What one statement shows."""
    for one in facts.relations:
        declared = facts.declared.get(one.oid)
        if one.is_of_extension:
            continue
        if one.kind == "S":
            yield Attempt("sequence", one.name, "read the last value", f"select last_value from {one.name}", "refused")
            listed = f"select count(*) from pg_catalog.pg_sequences s where pg_catalog.format('%I.%I', s.schemaname, s.sequencename) = {literal(one.name)} and s.last_value is not null"
            yield Attempt("sequence", one.name, "read it in pg_sequences", listed, "no rows")
        elif one.kind == "m":
            yield Attempt("materialized view", one.name, "select", f"select count(*) from {one.name}", "refused")
        elif one.is_table and one.parent is not None and facts.subject.is_tenantry:
            yield Attempt(
                "partition", one.name, "select past the parent", f"select count(*) from {one.name}", "no rows"
            )
        elif declared is not None and declared.kind in ("ours", "closed"):
            if not _may_read(facts, one):
                yield Attempt(
                    "table",
                    one.name,
                    "select every column",
                    f"select count(*) from (select * from {one.name}) q",
                    "refused",
                )
            if not _may(facts, one, "insert"):
                yield Attempt("table", one.name, "insert a row", f"insert into {one.name} default values", "refused")
            if _may(facts, one, "delete") and "expires" not in one.columns:
                continue  # what of it may be deleted, its policy says: the tenant's own
            yield Attempt(
                "table",
                one.name,
                "delete",
                f"delete from {one.name} where {'expires > pg_catalog.now()' if 'expires' in one.columns else 'true'}",
                "refused",
            )
        elif declared is not None and declared.kind == "shared":
            for verb, text in (
                ("insert", f"insert into {one.name} default values"),
                ("delete", f"delete from {one.name} where false"),
            ):
                yield Attempt("table", one.name, f"{verb} into what all share", text, "refused")


def _may_read(facts: Facts, table: Relation) -> bool:
    if facts.registry is None:
        return False
    return any(
        one.relation == table.oid and one.role == facts.subject.role and one.privilege == "select" and not one.columns
        for one in facts.registry.grants
    )


def _may(facts: Facts, table: Relation, privilege: str) -> bool:
    if facts.registry is None:
        return False
    return any(
        one.relation == table.oid and one.role == facts.subject.role and one.privilege == privilege
        for one in facts.registry.grants
    )


def digests(connection: Connection, facts: Facts, other: str) -> dict[tuple[str, str], str]:
    """(kind, name) → what a view or function shows just now."""
    import psycopg

    shown: dict[tuple[str, str], str] = {}
    for kind, name, source in _sources(facts, other):
        text = (
            "select pg_catalog.md5(coalesce(pg_catalog.string_agg(q.x, ',' order by q.x), '')), count(*)"
            f" from (select s::text as x from {source} as s limit {MOST_ROWS}) as q"
        )
        with connection.transaction(force_rollback=True):
            try:
                digest, count = connection.execute(text).fetchone()
                shown[kind, name] = f"{count} rows, {digest}"
            except psycopg.Error as error:
                shown[kind, name] = f"{error.sqlstate} {error.diag.message_primary}"
    return shown


def _sources(facts: Facts, other: str) -> Iterator[tuple[str, str, str]]:
    for one in facts.relations:
        if one.kind == "v" and "select" in one.reachable and not one.is_of_extension:
            yield "view", one.name, one.name
    for function in facts.functions:
        if is_called(function):
            arguments = ", ".join(_argument(type_, other) for type_ in function.arguments)
            yield "function", function.name, f"{function.name.partition('(')[0]}({arguments})"


def is_called(one: Function) -> bool:
    """Whether calling it changes nothing: it says so itself, and its text does not reach out."""
    return (
        one.is_reachable
        and not one.is_trigger
        and one.kind == "f"
        and one.volatility != "v"
        and reaches_out(one.source, one.language) is None
    )


def _argument(type_: str, other: str) -> str:
    if type_ in _ARGUMENTS:
        return _ARGUMENTS[type_]
    if type_ == "uuid":
        return f"{literal(other)}::uuid"
    return f"{literal(other)}::text" if type_ == "text" else f"null::{type_}"


def compare(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> Iterator[Tried]:
    """What looked at the other tenant's rows."""
    for (kind, name), shown in after.items():
        if before.get((kind, name)) != shown:
            yield Tried(
                kind,
                name,
                "read before and after the other's rows came",
                "LEAK",
                _change(before.get((kind, name), ""), shown),
            )
        else:
            yield Tried(
                kind,
                name,
                "read before and after the other's rows came",
                "blocked",
                f"the same: {shown.partition(',')[0]}"[:160],
            )


def _change(before: str, after: str) -> str:
    old, new = before.partition(",")[0], after.partition(",")[0]
    return f"{old} became {new}" if old != new else f"{new}, with other contents"


def not_called(facts: Facts) -> Iterator[Tried]:
    """Functions within reach that are not called, each with the reason."""
    for one in facts.functions:
        if one.is_reachable and not one.is_trigger and one.kind in ("f", "p") and not is_called(one):
            why = reaches_out(one.source, one.language) or "it may write; its text and owner were judged"
            yield Tried("function", one.name, "call", "skipped", why)
    for one in facts.relations:
        if one.kind == "f":
            yield Tried("foreign table", one.name, "read", "skipped", "another server would be asked")
        elif one.is_of_extension and "select" in one.reachable:
            yield Tried(
                "view", one.name, "read", "skipped", "it belongs to an extension: statistics of statements, no rows"
            )
    for thing in facts.server:
        if thing.kind == "publication":
            yield Tried(
                "publication",
                thing.name,
                "subscribe",
                "skipped",
                "a slot cannot be rolled back; the catalogue was judged",
            )
