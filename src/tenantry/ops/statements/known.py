"""Which statements the workers of this TENANTRY_HOME have, by procedure: `run/statements.json`, ours alone.

A worker tells at its door, and writes when it ends; the hot path writes nothing. The texts are constants of the application's code.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from msgspec import Struct

MOST = 20_000
"""As many as a process keeps plans."""


class Known(Struct, frozen=True):
    """A statement as PostgreSQL hears it, the procedure that runs it, and where it stands in the code."""

    procedure: str
    where: str
    text: str


def read_known(home: Path) -> list[Known]:
    """What was written down."""
    try:
        rows = json.loads((home / "run" / "statements.json").read_text("utf-8"))
        return [Known(row["procedure"], row["where"], row["text"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep_known(home: Path, more: list[dict[str, str]]) -> list[Known]:
    """Add to what was written down, the newest last; the oldest go when there are too many. Gives all. Raises OSError."""
    path = home / "run" / "statements.json"
    fresh = [Known(row["procedure"], row["where"], row["text"]) for row in more]
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = {(one.procedure, one.text): one for one in [*read_known(home), *fresh]}
        kept = list(whole.values())[-MOST:]
        part = path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump([{"procedure": one.procedure, "where": one.where, "text": one.text} for one in kept], file)
        part.replace(path)
    finally:
        os.close(lock)
    return kept
