"""Files that are written whole, and where the ones go whose names are too long for a socket."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

PRIVATE = 0o600
"""This account's alone."""
SHARED = 0o666
"""As the account's umask has it: what people and their tools read."""


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE, is_durable: bool = False) -> None:
    """Replace a file in one step: a reader sees the old or the new, never half. Raises OSError.

    `is_durable`: the new one is on the disk before it takes the old one's place.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
        file.write(content)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)


def short_folder_for(folder: Path) -> Path:
    """Where the sockets of `folder` go whose names would be too long there: the same for every process of this account."""
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()).resolve() / f"tenantry-{os.geteuid()}-{name}"
