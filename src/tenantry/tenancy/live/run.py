"""Doing the steps: short locks that are asked for again and again, batches that commit, and a look at the catalogue after each step.

Nothing is remembered but what stands in the database: kill it anywhere, and the next run goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import msgspec

from tenantry.errors import ProtectImpossible
from tenantry.tenancy.live.plan import State, Step, steps

Connection = Any  # psycopg.Connection[Any]: the library is loaded when a command runs
Report = Callable[[str], None]

LOCK_MS = 400
"""A waiting lock holds up everybody behind it, so the wait is short and the tries are many."""
LOCK_TRIES = 150
FIRST_PAGES = 32
BATCH_SECONDS = 0.25
"""How long a batch may take: its rows are locked as long."""


def look(connection: Connection, table: str) -> State:
    """Where the table stands. Raises ProtectImpossible if there is none of its name."""
    found = connection.execute("select pg_catalog.to_regclass($1)::text", (table,)).fetchone()[0]
    if found is None:
        raise ProtectImpossible(
            table=table,
            why="there is no such table",
            cure="Name it as it is in schema public: tenantry db protect notes",
        )
    text = files("tenantry.tenancy.live").joinpath("state.sql").read_text("utf-8")
    with connection.transaction():
        # Names come out qualified, as they are used again.
        connection.execute("set local search_path = ''")
        connection.execute("set local role tenantry_owner")
        row = connection.execute(text, (found if "." in found else f"public.{found}",)).fetchone()[0]
    state = msgspec.convert(row, State)
    check(state)
    if not connection.execute("select pg_catalog.pg_has_role('tenantry_system', 'tenantry_owner', 'usage')").fetchone()[
        0
    ]:
        raise ProtectImpossible(
            table=state.name, why="tenantry_system may not check its foreign keys",
            cure="As superuser, once: grant tenantry_owner to tenantry_system;",
        )  # fmt: skip
    return state


def check(state: State) -> None:
    """What is not to be done this way. Raises ProtectImpossible."""
    if state.kind not in ("r", "p") or not state.name.startswith("public."):
        raise ProtectImpossible(
            table=state.name, why="it is not a table of schema public", cure="Views: with (security_invoker = true)."
        )
    if state.kind == "p":
        raise ProtectImpossible(
            table=state.name, why="it is partitioned, and indexes of partitioned tables cannot be built concurrently",
            cure=f"In a quiet hour: select tenantry.protect('{state.name}');",
        )  # fmt: skip
    if state.registered == "ours":
        raise ProtectImpossible(table=state.name, why="it is Tenantry's own", cure="Nothing is to be done.")
    if state.tenant_type not in (None, "uuid"):
        raise ProtectImpossible(
            table=state.name,
            why=f"its column tenant_id is {state.tenant_type}, not uuid",
            cure="Rename that column first.",
        )
    for key in state.keys:
        if key.pointed_at_by and not key.is_random:
            raise ProtectImpossible(
                table=state.name, why=f"{', '.join(key.pointed_at_by)} points at {key.name} and is not protected",
                cure=f"Protect {key.pointed_at_by[0]} first, then this one.",
            )  # fmt: skip


def run(connection: Connection, table: str, expression: str, owner: str | None, *, report: Report) -> list[Step]:
    """Do what is left. `connection` (autocommit, RawCursor) may act as Tenantry's roles. Raises psycopg.Error, ProtectImpossible."""
    done: list[Step] = []
    while True:
        left = steps(look(connection, table), expression, owner)
        if not left:
            return done
        step = left[0]
        if done and done[-1] == step:
            raise ProtectImpossible(
                table=table,
                why=f'"{step.title}" was done and is still to do',
                cure="Look at the table: tenantry verify",
            )
        started = time.monotonic()
        report(f"{step.title} …")
        match step.kind:
            case "brief":
                _brief(connection, step, report)
            case "slow":
                _slow(connection, step)
            case "fill":
                _fill(connection, table, expression, report)
        report(f"  done in {time.monotonic() - started:.2f} s ({len(left) - 1} steps left)")
        done.append(step)


def _brief(connection: Connection, step: Step, report: Report) -> None:
    import psycopg

    for left in reversed(range(LOCK_TRIES)):
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = {LOCK_MS}")
                connection.execute("set local role tenantry_owner")
                for text in step.sql:
                    connection.execute(_written_out(connection, text))
                    if text.startswith("select tenantry.protect"):
                        connection.execute("reset role")
                        connection.execute("set local role tenantry_owner")
        except psycopg.errors.LockNotAvailable:
            if left == 0:
                raise
            if left % 10 == 9:
                report("  the table is in use; trying again")
            time.sleep(0.1)
        else:
            return


def _written_out(connection: Connection, text: str) -> str:
    """A composite foreign key's text is the database's to write."""
    if not text.startswith("composite "):
        return text
    _, oid, child, name = text.split(" ", 3)
    definition = connection.execute("select tenantry.composite_of($1)", (int(oid),)).fetchone()[0]
    return f"alter table {child} add constraint {name} {definition}"


def _slow(connection: Connection, step: Step) -> None:
    # A foreign key is checked with the rights of who asks, and forced row security shows the owner no rows.
    connection.execute("set role tenantry_system")
    connection.execute("set search_path = public")
    # To build an index beside its table PostgreSQL waits for older transactions, holding nobody up: that wait may be long.
    connection.execute("set lock_timeout = 0")
    try:
        for text in step.sql:
            connection.execute(text)
    finally:
        connection.execute("reset role")
        connection.execute("reset search_path")
        connection.execute("reset lock_timeout")


def _fill(connection: Connection, table: str, expression: str, report: Report) -> None:
    """Pages in order, each batch a transaction of its own; then whatever moved meanwhile."""
    state = look(connection, table)
    assert state.progress is not None
    page, filled, size = state.progress.next_page, state.progress.rows_filled, FIRST_PAGES
    started = told = time.monotonic()
    while page <= state.pages:
        began = time.monotonic()
        filled += _batch(
            connection, state, expression, f"t.ctid >= '({page},0)' and t.ctid < '({page + size},0)'", page + size
        )
        page += size
        took = time.monotonic() - began
        size = max(1, min(4096, int(size * min(2.0, BATCH_SECONDS / max(took, 0.001)))))
        if time.monotonic() - told > 1:
            told = time.monotonic()
            share = min(1.0, page / max(state.pages, 1))
            left = (told - started) * (1 - share) / max(share, 0.001)
            report(f"  {share:.0%}: {filled} rows, about {left:.0f} s left")
    while moved := _batch(
        connection,
        state,
        expression,
        f"t.ctid = any (array(select m.ctid from {state.name} m where m.tenant_id is null limit 5000))",
        page,
    ):
        filled += moved
    _finish(connection, state, expression)


def _batch(connection: Connection, state: State, expression: str, where: str, next_page: int) -> int:
    from tenantry.tenancy.verify.subject import identifier

    bare = identifier(state.bare)
    with connection.transaction():
        connection.execute("set local role tenantry_system")
        connection.execute("set local search_path = public")
        # A row whose tenant is not known stays: _finish counts those, and says so.
        text = (
            f"with fresh as (select {bare}.ctid as at, ({expression})::uuid as tenant from {state.name} as {bare}"
            f" where {bare}.tenant_id is null and {where.replace('t.ctid', bare + '.ctid')})"
            f" update {state.name} as t set tenant_id = f.tenant from fresh f where t.ctid = f.at and f.tenant is not null"
        )
        count: int = connection.execute(text).rowcount
        connection.execute("set local role tenantry_owner")
        connection.execute(
            "update tenantry.live_protections set next_page = $2, rows_filled = rows_filled + $3 where relation = $1::regclass",
            (state.name, next_page, count),
        )
    return count


def _finish(connection: Connection, state: State, expression: str) -> None:
    with connection.transaction():
        connection.execute("set local role tenantry_system")
        lost = connection.execute(f"select count(*) from {state.name} where tenant_id is null").fetchone()[0]
        if lost:
            raise ProtectImpossible(
                table=state.name, why=f"{lost} rows have no tenant by {expression}",
                cure=f"Look at them: select * from {state.name} where tenant_id is null;  then give them one, and run this again.",
            )  # fmt: skip
        connection.execute("set local role tenantry_owner")
        connection.execute(
            "update tenantry.live_protections set is_filled = true where relation = $1::regclass", (state.name,)
        )
