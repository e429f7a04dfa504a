"""The SQL of this room as migrations, in order; never edited after a release."""

from __future__ import annotations

from importlib.resources import files

from tenantry.settings import DatabaseUrl

REPAIRS = (
    "0004_seal.sql",
    "0016_enter.sql",
    "0018_seal_rotation.sql",
    "0022_quicker_enter.sql",
    "0041_events_elsewhere.sql",
)
"""Files that may be run again at any time: they put back what was changed by hand or lost by a restore, and keep seal and key."""


def builtin_migrations() -> list[tuple[str, str]]:
    """(name, text) of every file, in order."""
    folder = files("tenantry.tenancy").joinpath("sql")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql") and entry.name[0].isdigit())
    return [(name, folder.joinpath(name).read_text("utf-8")) for name in names]


def harden(superuser: DatabaseUrl) -> None:
    """Roles, who may connect, and what a signed-in role may not do: set once more in a database that was restored or moved.

    The file makes the schema too; one that is there steps aside for that moment, inside the transaction.
    """
    import psycopg

    with psycopg.connect(superuser.reveal()) as connection:
        found = connection.execute("select pg_catalog.to_regnamespace('tenantry') is not null").fetchone()
        is_there = found is not None and found[0]
        if is_there:
            connection.execute("alter schema tenantry rename to tenantry_aside")
        connection.execute(dict(builtin_migrations())["0001_roles.sql"].encode())
        connection.execute("drop schema tenantry cascade")
        if is_there:
            connection.execute("alter schema tenantry_aside rename to tenantry")
