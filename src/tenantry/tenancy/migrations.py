"""The SQL of this room as migrations, in order; never edited after a release."""

from __future__ import annotations

from importlib.resources import files

REPAIRS = ("0004_seal.sql", "0016_enter.sql", "0018_seal_rotation.sql")
"""Files that may be run again at any time: they put back what was changed by hand, and keep seal and key."""


def builtin_migrations() -> list[tuple[str, str]]:
    """(name, text) of every file, in order."""
    folder = files("tenantry.tenancy").joinpath("sql")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql") and entry.name[0].isdigit())
    return [(name, folder.joinpath(name).read_text("utf-8")) for name in names]
