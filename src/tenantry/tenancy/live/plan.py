"""The way of a live table to protection, as steps: from where it stands to what is left. Pure.

Expand and contract: a nullable column, rows filled in batches, checks that are made without holding anybody up, and at the very
end policies and grants alone. Each step is known from the catalogue to be done or not: whoever is interrupted begins again here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from tenantry.tenancy.verify.subject import identifier

Kind = Literal["brief", "slow", "fill"]
"""brief: one transaction with a short lock; slow: by itself, nobody waits for it; fill: batches."""


class Twin(Struct, frozen=True):
    """A key with the tenant in front."""

    name: str
    is_valid: bool
    is_constraint: bool


class Key(Struct, frozen=True):
    """A unique key without the tenant."""

    name: str
    is_constraint: bool
    is_primary: bool
    is_random: bool
    definition: str
    pointed_at_by: list[str]
    twin: Twin | None


class Reference(Struct, frozen=True):
    """A foreign key without the tenant, between this table and protected ones."""

    oid: int
    name: str
    child: str
    parent: str
    columns: str
    twin: str | None
    has_index: bool


class Index(Struct, frozen=True):
    """A plain index that does not begin with the tenant; `twin` is one that does."""

    name: str
    definition: str
    twin: str | None


class Progress(Struct, frozen=True):
    """A row of tenantry.live_protections."""

    expression: str
    owner_column: str | None
    next_page: int
    rows_filled: int
    is_filled: bool


class State(Struct, frozen=True):
    """The row of state.sql."""

    name: str
    bare: str
    kind: str
    owner: str
    rows: int
    pages: int
    registered: str | None
    tenant_type: str | None
    is_required: bool
    has_trigger: bool
    present_check: str | None
    tenant_reference: str | None
    has_tenant_index: bool
    progress: Progress | None
    keys: list[Key]
    references: list[Reference]
    indexes: list[Index]
    broken_indexes: list[str]


class Step(Struct, frozen=True):
    """One thing to do. `locks` in words: what waits meanwhile; `seconds` is an estimate by the number of rows."""

    title: str
    kind: Kind
    sql: tuple[str, ...]
    locks: str
    seconds: float = 0.0


FILLED_PER_SECOND = 20_000
CHECKED_PER_SECOND = 5_000_000
INDEXED_PER_SECOND = 500_000
"""Cautious: a fifth to a half of what two shared cores did."""
_BRIEF = "one moment, all of the table"
_NOBODY = "nobody"


def steps(state: State, expression: str, owner: str | None) -> list[Step]:
    """What is left to do, in order."""
    return list(_steps(state, expression, owner))


def _steps(state: State, expression: str, owner: str | None) -> Iterator[Step]:
    if state.registered == "protected":
        return
    name, rows = state.name, state.rows
    if state.owner != "tenantry_owner":
        yield Step(
            "give it to tenantry_owner", "brief", ("reset role", f"alter table {name} owner to tenantry_owner"), _BRIEF
        )
    for index in state.broken_indexes:
        yield Step(
            f"drop {index}, which an interruption left half built",
            "slow",
            (f"drop index concurrently {index}",),
            _NOBODY,
        )
    if not state.is_required:
        yield from _column(state, expression, owner)
    yield from _keys(state)
    yield from _references(state)
    for index in state.indexes:
        yield from _index(state, index)
    if state.tenant_reference != "valid":
        fk = _cut(state.bare, "tenant_fk")
        yield Step(
            "check that every tenant is there",
            "slow",
            (f"alter table {name} validate constraint {fk}",),
            _NOBODY,
            rows / CHECKED_PER_SECOND,
        )
    if not state.has_tenant_index and not state.keys:
        index = f"create index concurrently {_cut(state.bare, 'tenant_idx')} on {name} (tenant_id)"
        yield Step("index by tenant", "slow", (index,), _NOBODY, rows / INDEXED_PER_SECOND)
    call = f"select tenantry.protect('{name.replace(chr(39), chr(39) * 2)}'{f', owner => {chr(39)}{owner}{chr(39)}' if owner else ''})"
    yield Step(
        "protect: policies and grants", "brief",
        (f"drop trigger if exists tenantry_fill on {name}",
            f"drop function if exists {filler(state)}()", f"delete from tenantry.live_protections where relation = '{name}'::regclass", call), _BRIEF,
    )  # fmt: skip


def filler(state: State) -> str:
    """The trigger's function, in schema tenantry."""
    return f"tenantry.{_cut(state.bare, 'fill')}"


def _column(state: State, expression: str, owner: str | None) -> Iterator[Step]:
    name, rows = state.name, state.rows
    if not state.has_trigger or state.tenant_type is None or state.progress is None:
        yield Step(
            "add tenant_id, and fill it in rows that are written from now on",
            "brief",
            tuple(_begin(state, expression, owner)),
            _BRIEF,
        )
    if state.tenant_reference is None:
        fk = f"alter table {name} add constraint {_cut(state.bare, 'tenant_fk')} foreign key (tenant_id) references tenantry.tenants not valid"
        yield Step("let new rows' tenants exist", "brief", (fk,), "one moment, writes to the table and to tenants")
    if state.progress is None or not state.progress.is_filled:
        left = (
            1.0 if state.progress is None or not state.pages else 1 - min(1.0, state.progress.next_page / state.pages)
        )
        yield Step(
            "fill tenant_id of the rows that are there, in batches",
            "fill",
            (expression,),
            "each row, as its batch changes it",
            rows * left / FILLED_PER_SECOND,
        )
    if state.present_check is None:
        check = f"alter table {name} add constraint tenantry_present check (tenant_id is not null) not valid"
        yield Step("from now on no row without a tenant", "brief", (check,), _BRIEF)
    if state.present_check != "valid":
        validate = f"alter table {name} validate constraint tenantry_present"
        yield Step("check that no row is without a tenant", "slow", (validate,), _NOBODY, rows / CHECKED_PER_SECOND)
    yield Step(
        "tenant_id not null, known from the check", "brief",
        (f"alter table {name} alter tenant_id set not null", f"alter table {name} drop constraint if exists tenantry_present"), _BRIEF,
    )  # fmt: skip


def _begin(state: State, expression: str, owner: str | None) -> Iterator[str]:
    name, function = state.name, filler(state)
    text = expression.replace("'", "''")
    yield f"alter table {name} add column if not exists tenant_id uuid"
    yield "set local role tenantry_system"
    # Definer, owned by who reads past row security: the expression may look a tenant up in another table. Dropped by the last step.
    # A row that is there belongs to whom the expression says, whoever changes it; a new one to whoever makes it, if that is known.
    known = f"(select ({expression})::uuid from (select new.*) as {identifier(state.bare)})"
    yield (
        f"create or replace function {function}() returns trigger language plpgsql security definer set search_path = public, pg_temp as $tenantry$\n"
        "begin\n    if new.tenant_id is null and tg_op = 'INSERT' then\n"
        f"        new.tenant_id := coalesce(public.get_current_tenant_id(), {known});\n"
        f"    elsif new.tenant_id is null then\n        new.tenant_id := {known};\n    end if;\n    return new;\nend $tenantry$"
    )
    yield f"revoke all on function {function}() from public"
    yield f"grant execute on function {function}() to tenantry_owner"
    yield "set local role tenantry_owner"
    yield f"drop trigger if exists tenantry_fill on {name}"
    yield f"create trigger tenantry_fill before insert or update on {name} for each row execute function {function}()"
    owned = "null" if owner is None else f"'{owner}'"
    yield (
        "insert into tenantry.live_protections (relation, expression, owner_column)"
        f" values ('{name}'::regclass, '{text}', {owned}) on conflict (relation) do nothing"
    )


def _keys(state: State) -> Iterator[Step]:
    """A key with the tenant in front is built beside the old one, and takes its place and name."""
    name = state.name
    for key in state.keys:
        twin = key.twin
        index = identifier(_cut_raw(key.name, "tn"))
        if twin is None or not twin.is_valid:
            unnamed = re.sub(
                r"^CREATE UNIQUE INDEX \S+ ON ", f"create unique index concurrently {index} on ", key.definition
            )
            text = re.sub(r" USING (\w+) \(", r" using \1 (tenant_id, ", unnamed, count=1)
            yield Step(
                f"build {key.name} with the tenant in front, beside it",
                "slow",
                (text,),
                _NOBODY,
                state.rows / INDEXED_PER_SECOND,
            )
            built, is_constraint = index, False
        else:
            built, is_constraint = identifier(twin.name), twin.is_constraint
        if key.is_random:
            if not is_constraint:
                own = _cut(state.bare, "tenant_key")
                yield Step(
                    f"make it the key {own}, for foreign keys",
                    "brief",
                    (f"alter table {name} add constraint {own} unique using index {built}",),
                    _BRIEF,
                )
        elif not key.is_constraint:
            swap = (
                f"drop index {_schema(name)}.{identifier(key.name)}",
                f"alter index {_schema(name)}.{built} rename to {identifier(key.name)}",
            )
            yield Step(f"it takes the place of {key.name}", "brief", swap, _BRIEF)


def _index(state: State, index: Index) -> Iterator[Step]:
    """With the policy an index serves only if the tenant comes first (V17)."""
    made = identifier(_cut_raw(index.name, "tn"))
    if index.twin is None:
        unnamed = re.sub(r"^CREATE INDEX \S+ ON ", f"create index concurrently {made} on ", index.definition)
        text = re.sub(r" USING btree \(", " using btree (tenant_id, ", unnamed, count=1)
        yield Step(
            f"build {index.name} with the tenant in front, beside it",
            "slow",
            (text,),
            _NOBODY,
            state.rows / INDEXED_PER_SECOND,
        )
    yield Step(
        f"drop {index.name}, which the policy leaves unused",
        "slow",
        (f"drop index concurrently {_schema(state.name)}.{identifier(index.name)}",),
        _NOBODY,
    )


def swaps(state: State) -> Iterator[Step]:
    """Constraints whose old form goes: after the foreign keys that pointed at it."""
    for key in state.keys:
        if key.is_constraint and not key.is_random:
            index = identifier(key.twin.name if key.twin is not None else _cut_raw(key.name, "tn"))
            kind = "primary key" if key.is_primary else "unique"
            text = f"alter table {state.name} drop constraint {identifier(key.name)}, add constraint {identifier(key.name)} {kind} using index {index}"
            yield Step(f"it takes the place of {key.name}", "brief", (text,), _BRIEF)


def _references(state: State) -> Iterator[Step]:
    for one in state.references:
        twin = identifier(one.name[:54] + "_tenant")
        if not one.has_index:
            index = f"create index concurrently on {one.child} (tenant_id, {one.columns})"
            yield Step(f"index for {one.name}", "slow", (index,), _NOBODY, state.rows / INDEXED_PER_SECOND)
        if one.twin is None:
            yield Step(
                f"{one.name} with the tenant, for new rows",
                "brief",
                (f"composite {one.oid} {one.child} {twin}",),
                "one moment, writes to both tables",
            )
        if one.twin != "valid":
            text = f"alter table {one.child} validate constraint {twin}"
            yield Step(
                f"check {one.name} for the rows that are there",
                "slow",
                (text,),
                _NOBODY,
                state.rows / CHECKED_PER_SECOND,
            )
        swap = (
            f"alter table {one.child} drop constraint {identifier(one.name)}",
            f"alter table {one.child} rename constraint {twin} to {identifier(one.name)}",
        )
        yield Step(f"it takes the place of {one.name}", "brief", swap, "one moment, both tables")
    yield from swaps(state)


def _schema(name: str) -> str:
    return name.partition(".")[0]


def _cut_raw(name: str, suffix: str) -> str:
    return f"{name[: 62 - len(suffix)]}_{suffix}"


def _cut(name: str, suffix: str) -> str:
    return identifier(_cut_raw(name, suffix))
