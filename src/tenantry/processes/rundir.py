"""The run directory: where the processes of one TENANTRY_HOME find each other.

It is private: ours, mode 0700, no link; whoever could write here could take the API's socket. A Unix socket's name may
have 104 bytes (macOS) or 108 (Linux), so where TENANTRY_HOME is deep the sockets are in a folder of the same kind beside
the system's temporary files, named by a hash of the home. What a file says of a process is proved by a lock: the kernel
lets go of it however the process ended.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from tenantry.errors import RunFolderUnsafe
from tenantry.files import short_folder_for, write_whole

_LONGEST_SOCKET_NAME = 100


class RunDirectory:
    """`TENANTRY_HOME/run`, and the sockets' folder beside it. Made at the first use."""

    def __init__(self, home: Path) -> None:
        self.folder = home.resolve() / "run"
        _make_private(self.folder)
        self.sockets = self.folder
        if len(os.fsencode(self.folder / "keeper.sock")) > _LONGEST_SOCKET_NAME:
            self.sockets = short_folder_for(self.folder)
            _make_private(self.sockets)

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper hands on what it holds."""
        return self.sockets / "keeper.sock"

    @property
    def keeper_lock(self) -> Path:
        """Held by the keeper as long as it lives: one a home."""
        return self.folder / "keeper.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor as long as it lives: one a home."""
        return self.folder / "supervisor.lock"

    def read_state(self) -> dict[str, Any]:
        """What the supervisor last wrote of itself; {} where there is nothing."""
        try:
            return json.loads((self.folder / "supervisor.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace it in one piece: a reader sees the old or the new."""
        write_whole(self.folder / "supervisor.json", json.dumps(state).encode())


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RunFolderUnsafe(folder=folder, why=error.strerror or str(error)) from None
    if not stat.S_ISDIR(found.st_mode):
        raise RunFolderUnsafe(folder=folder, why="it is a link or a file")
    if found.st_uid != os.geteuid():
        raise RunFolderUnsafe(folder=folder, why="it belongs to another account")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
