"""As whom the server runs: PostgreSQL refuses to run as root, so for root another account is found.

For an ordinary user this is that user. For root it is who owns the data already; else who owns the folder that the
project is in; else `postgres`, else `nobody`. No account is ever made. Children change their ids between fork and exec
(`subprocess`'s `user`), never in this process.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import TypedDict

from msgspec import Struct

from tenantry.errors import DatabaseNotReady


class RunAs(TypedDict, total=False):
    """What `subprocess` needs to start a child as another account."""

    user: int
    group: int
    extra_groups: list[int]


class Account(Struct, frozen=True):
    """An account of this machine; `is_other` tells that it is not our own, and that children must change their ids."""

    uid: int
    gid: int
    name: str
    is_other: bool

    @property
    def run_as(self) -> RunAs:
        """The arguments for `subprocess`."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def run(self, *command: str | Path, timeout_seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, to its end. Raises DatabaseNotReady where we may not change ids."""
        # Through a shell: a program that cannot be reached is then exit code 126, and not mistaken for ids that cannot
        # be changed.
        try:
            return subprocess.run(
                ["/bin/sh", "-c", 'exec "$0" "$@"', *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                cwd="/",
                env=clean_environment(),
                timeout=timeout_seconds,
                check=False,
                **self.run_as,
            )
        except (PermissionError, ValueError, subprocess.SubprocessError) as error:
            if not self.is_other:
                raise
            raise DatabaseNotReady(
                why=f'PostgreSQL does not run as root, and it cannot be run as "{self.name}" ({error})',
                cure="Run the command as an ordinary user, or give DATABASE_URL.",
            ) from error

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this account can work in `folder`: asked of the kernel, which knows of ACLs and mounts too."""
        if not self.is_other:
            return os.access(folder, os.X_OK)
        return self.run("/bin/sh", "-c", 'cd -- "$1"', "sh", folder).returncode == 0

    def owns(self, folder: Path) -> None:
        """Make `folder` (and its parents) and give it to this account, for nobody else to look into."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.is_other:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)


def clean_environment() -> dict[str, str]:
    """The environment of the server's programs: no PGDATA or PGOPTIONS of the user's, messages in English."""
    kept = {
        name: value for name, value in os.environ.items() if name in {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    }
    return {"PATH": "/usr/bin:/bin", **kept, "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}


def candidates(data: Path, home: Path) -> list[Account]:
    """Who may run the server, best first; never empty. Raises DatabaseNotReady when root finds nobody."""
    me = os.geteuid()
    if me != 0:
        return [_known(me) or Account(me, os.getegid(), str(me), is_other=False)]
    if data.exists():
        owner = data.stat()
        found = _known(owner.st_uid) or Account(owner.st_uid, owner.st_gid, str(owner.st_uid), is_other=True)
        return [found] if owner.st_uid != 0 else []
    existing = next(p for p in (home, *home.parents) if p.exists())
    found_all = [_known(existing.stat().st_uid), _known("postgres"), _known("nobody")]
    unique = {a.uid: a for a in reversed(found_all) if a is not None and a.uid != 0}
    if not unique:
        raise DatabaseNotReady(
            why="PostgreSQL does not run as root, and this machine has no account postgres or nobody",
            cure="Run the command as an ordinary user, or give DATABASE_URL.",
        )
    return list(reversed(unique.values()))


def _known(who: int | str) -> Account | None:
    try:
        entry = pwd.getpwuid(who) if isinstance(who, int) else pwd.getpwnam(who)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, is_other=entry.pw_uid != os.geteuid())
