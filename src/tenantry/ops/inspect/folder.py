"""Where the doors are: TENANTRY_HOME/run.

Where that name is too long for a Unix socket: a private folder beside the system's temporary files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tenantry.files import short_folder_for

_LONGEST_SOCKET_NAME = 100
_LONGEST_FILE = "inspect-4194304-99.sock"


def doors(home: Path) -> Path:
    """The folder. It need not be there yet."""
    folder = home.resolve() / "run"
    if len(os.fsencode(folder / _LONGEST_FILE)) <= _LONGEST_SOCKET_NAME:
        return folder
    return short_folder_for(folder)


def is_private(folder: Path) -> bool:
    """Ours, no link, and nobody else may look into it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def pid_of(door: Path) -> int:
    """`inspect-4711-1.sock` → 4711."""
    return int(door.name.split("-")[1].partition(".")[0])
