"""Two catalogues, and what is in one and not in the other. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tenantry.db.drift.catalogue import Catalogue, Thing

Change = Literal["added", "removed", "changed"]


class Difference(Struct, frozen=True):
    """A thing that the files make otherwise. `added`: the database has it and the files do not."""

    change: Change
    kind: str
    name: str
    files: str | None
    database: str | None


def compare(files: Catalogue, database: Catalogue) -> list[Difference]:
    """How the database differs, whole things only: the columns of a table that is new are not told one by one."""
    found: list[Difference] = []
    for key in sorted(files.keys() | database.keys()):
        wanted, there = files.get(key), database.get(key)
        if wanted is None and there is not None and not is_inside(there, files):
            found.append(Difference("added", *key, None, there.body or None))
        elif there is None and wanted is not None and not is_inside(wanted, database):
            found.append(Difference("removed", *key, wanted.body or None, None))
        elif wanted is not None and there is not None and wanted.body != there.body:
            found.append(Difference("changed", *key, wanted.body, there.body))
    return found


def is_inside(thing: Thing, other: Catalogue) -> bool:
    """Whether it comes or goes with its parent, which the other side has not either."""
    return thing.parent is not None and thing.parent not in other
