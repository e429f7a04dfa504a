"""`tenantry db diff`: what was changed in the database by hand, as words and as SQL; `--write` makes a migration of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.migration import file_for
from tenantry.cli.place import embedded, migrations, ready, say, show, tell
from tenantry.errors import StartError
from tenantry.settings import DatabaseUrl, Settings

if TYPE_CHECKING:
    from tenantry.db.drift import Catalogue, Difference
    from tenantry.db.migrate import Migration, State

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


class DiffNotWritten(StartError):
    """A migration that would not make what the database has is not written."""

    code = "DIFF_NOT_WRITTEN"
    says = "No migration was written: {why}"
    remedy = "{cure}"


def run(arguments: argparse.Namespace) -> int:
    """Compare, tell, and write if asked; exit code 1 where the database is not what the files make."""
    from tenantry.db import drift

    settings, admin = ready(Settings.load())
    superuser = _superuser(settings, arguments)
    state, files, database = _both(settings, admin, superuser)
    found = drift.compare(files, database)
    keep, undo = drift.script(files, database, with_owners=False), drift.script(database, files)
    if arguments.write is not None:
        return _write(arguments, settings, admin, superuser, state, found, keep)
    if arguments.json:
        show(
            {
                "differences": msgspec.to_builtins(found), "keep": keep, "undo": undo, "waiting": state.waiting, "edited": state.changed,
                "unseen": drift.UNSEEN,
            }
        )  # fmt: skip
    elif arguments.sql is not None:
        say((keep if arguments.sql == "keep" else undo).rstrip("\n"))
    else:
        _tell(found, keep, undo, state)
    return 1 if found or state.waiting or state.changed else 0


def _superuser(settings: Settings, arguments: argparse.Namespace) -> DatabaseUrl:
    if arguments.superuser_url:
        return DatabaseUrl(arguments.superuser_url)
    own = embedded(settings)
    return settings.urls().admin if own is None else own.superuser_url("socket")


def _both(
    settings: Settings, admin: DatabaseUrl, superuser: DatabaseUrl, more: list[Migration] | None = None
) -> tuple[State, Catalogue, Catalogue]:  # fmt: skip
    """What the applied files (and `more`) make, and what is there. Files that wait are not counted: push applies them."""
    from tenantry.db import drift
    from tenantry.db.migrate import read_only, status
    from tenantry.tenancy import REPAIRS, holes

    every = migrations(settings)
    state = status(admin, every)
    waiting = set(state.waiting)
    wanted = [one for one in every if one.name not in waiting] + (more or [])
    with drift.scratch(superuser, wanted, repairs=REPAIRS, look=holes) as made:
        files = drift.read(made)
    # As who sees it all: what the migrating login may not read it takes on as tenantry_owner.
    with read_only(superuser.with_database(admin.database)) as connection:
        return state, files, drift.read(connection)


def _write(
    arguments: argparse.Namespace, settings: Settings, admin: DatabaseUrl, superuser: DatabaseUrl, state: State,
    found: list[Difference], keep: str,
) -> int:  # fmt: skip
    from tenantry.db import drift
    from tenantry.db.migrate import Migration, adopt

    if state.waiting or state.changed:
        names = ", ".join([*state.waiting, *state.changed])
        raise DiffNotWritten(
            why=f"{names} is not applied as it stands, and would come before it.",
            cure="First: tenantry db push (see tenantry db status)",
        )
    if not keep:
        why = "the database is what the files make." if not found else "what differs is the owner of things only."
        raise DiffNotWritten(
            why=why, cure="Nothing is to be done." if not found else "See: tenantry db diff --sql undo"
        )
    path = file_for(settings.migrations, arguments.write)
    title = path.stem.partition("_")[2].replace("_", " ").capitalize()
    text = f"-- {title}\n--\n-- What was changed in a database by hand, written by: tenantry db diff --write\n\n{keep}"
    migration = Migration(path.name, text)
    try:
        _, files, database = _both(settings, admin, superuser, [migration])
    except StartError as error:
        raise DiffNotWritten(
            why=f"it would not apply.\n{error}", cure="Write it by hand, from: tenantry db diff --sql keep"
        ) from None
    left = [one for one in drift.compare(files, database) if one.kind != "owner"]
    if left:
        lines = "".join(f"\n  {_line(one)}" for one in left)
        raise DiffNotWritten(
            why=f"with it these would differ still:{lines}", cure="Write it by hand, from: tenantry db diff --sql keep"
        )
    settings.migrations.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    adopt(admin, migration)
    if arguments.json:
        show({"file": str(path), "differences": msgspec.to_builtins(found)})
    else:
        say(
            f"{path.parent.name}/{path.name}   Made and compared: it is what this database has, and it is noted here as applied."
        )
        tell("Read it before others push it: a rename looks like a loss.")
    return 0


def _tell(found: list[Difference], keep: str, undo: str, state: State) -> None:
    for name in state.waiting:
        say(f"waits    {name}   (not compared: tenantry db push)")
    for name in state.changed:
        say(f"edited   {name}   (after it was applied; compared as it is now)")
    if not found:
        say("The database is what the applied files make.")
        return
    for one in found:
        say(_line(one))
    say("\n-- To keep it (what was done here; tenantry db diff --write NAME makes a migration of it):\n")
    say(keep.rstrip("\n") or "-- nothing that a migration could say")
    say("\n-- To undo it (tenantry db diff --sql undo | tenantry psql --role postgres -1 -v ON_ERROR_STOP=1):\n")
    say(undo.rstrip("\n"))


def _line(one: Difference) -> str:
    head = f"{_SIGNS[one.change]} {one.kind} {one.name}"
    if one.change != "changed":
        return head
    before, after = (_short(text) for text in (one.files, one.database))
    return f"{head}: {before} in the files, {after} here" if before != after else head


def _short(text: Any) -> str:
    """One line of it."""
    flat = " ".join(str(text or "nothing").split())
    return flat if len(flat) <= 100 else flat[:97] + "…"
