"""Which statements the workers of this TENANTRY_HOME have, by procedure: `run/statements.json`, ours alone.

A worker tells at its door, and writes when it ends; the hot path writes nothing. The texts are constants of the application's code.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from tenantry.files import write_whole

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
        return msgspec.json.decode((home / "run" / "statements.json").read_bytes(), type=list[Known])
    except (OSError, msgspec.DecodeError):
        return []


def keep_known(home: Path, more: list[dict[str, str]]) -> list[Known]:
    """Add to what was written down, the newest last; the oldest go when there are too many. Gives all. Raises OSError."""
    path = home / "run" / "statements.json"
    fresh = msgspec.convert(more, list[Known])
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = {(one.procedure, one.text): one for one in [*read_known(home), *fresh]}
        kept = list(whole.values())[-MOST:]
        write_whole(path, msgspec.json.encode(kept))
    finally:
        os.close(lock)
    return kept
