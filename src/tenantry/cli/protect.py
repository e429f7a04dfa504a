"""`tenantry db protect TABLE`: protect a table that is in use, without holding anybody up for long."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from tenantry.cli.place import ready, say, show, tell
from tenantry.errors import DatabaseNotReady, ProtectImpossible
from tenantry.settings import Settings


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    import psycopg

    from tenantry.tenancy.live import look, steps
    from tenantry.tenancy.live import run as do

    _, admin = ready(Settings.load())
    try:
        with psycopg.connect(
            admin.reveal(), autocommit=True, connect_timeout=10, cursor_factory=psycopg.RawCursor
        ) as connection:
            state = look(connection, arguments.table)
            expression = _expression(
                connection, arguments, None if state.progress is None else state.progress.expression
            )
            owner = arguments.owner or (None if state.progress is None else state.progress.owner_column)
            left = steps(state, expression, owner)
            if arguments.plan:
                _show(arguments, state.name, state.rows, left)
                return 0
            done = do(
                connection, arguments.table, expression, owner, report=(lambda _: None) if arguments.json else tell
            )
    except psycopg.Error as error:
        why = " ".join((error.diag.message_primary or str(error)).split())
        cure = (
            error.diag.message_hint or "What was done stays done; mend this, and run it again: it goes on from there."
        )
        raise DatabaseNotReady(why=why, cure=cure) from None
    if arguments.json:
        show({"table": state.name, "done": [one.title for one in done]})
    elif done:
        say(
            f"{state.name} is protected ({len(done)} steps). Now put it into a migration as well: select tenantry.protect('{state.name}');"
        )
    else:
        say(f"{state.name} is protected already.")
    return 0


def _expression(connection: Any, arguments: argparse.Namespace, kept: str | None) -> str:
    """Whose the rows are, as SQL over a row of the table."""
    if arguments.tenant and arguments.source:
        raise ProtectImpossible(
            table=arguments.table, why="--tenant and --from were both given", cure="Give one of them."
        )
    if arguments.source:
        return arguments.source
    if arguments.tenant:
        with connection.transaction():
            connection.execute("set local role tenantry_system")
            row = connection.execute(
                "select id from tenantry.tenants where slug = $1 or id::text = $1", (arguments.tenant,)
            ).fetchone()
        if row is None:
            raise ProtectImpossible(
                table=arguments.table, why=f'there is no tenant "{arguments.tenant}"', cure="Name it by slug or id."
            )
        return f"'{row[0]}'::uuid"
    if kept is None:
        raise ProtectImpossible(
            table=arguments.table, why="nothing says whose its rows are",
            cure='Add: --tenant SLUG, or --from account_id, or --from "(select a.tenant_id from accounts a where a.id = account_id)"',
        )  # fmt: skip
    return kept


def _show(arguments: argparse.Namespace, name: str, rows: int, left: list[Any]) -> None:
    if arguments.json:
        show({"table": name, "rows": rows, "steps": msgspec.to_builtins(left)})
        return
    say(f"{name}, about {rows:,} rows: {len(left)} steps" if left else f"{name} is protected already.")
    for number, one in enumerate(left, 1):
        about = (
            "at once"
            if one.seconds < 0.5
            else f"about {one.seconds:.0f} s"
            if one.seconds < 90
            else f"about {one.seconds / 60:.0f} min"
        )
        say(f"{number:>3}. {one.title}   [{about}; waits: {one.locks}]")
        if arguments.sql and one.kind != "fill":
            for text in one.sql:
                say("       " + text.replace("\n", "\n       ") + ";")
