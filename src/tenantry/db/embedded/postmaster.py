"""How the server's process is found, started and ended, whatever died before.

The truth is a lock, not a pid: the postmaster is started with a descriptor on which `flock` holds `server.lock`, all
its children inherit it, and the kernel lets go when the last of them is gone. So a file `postmaster.pid` that a kill -9
left, a pid that another program has by now, a zombie in a container without an init: none of them is taken for a
server. A server that somebody started by hand on the same data holds no lock and is known by its process
(`is_postmaster_of`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

from msgspec import Struct

from tenantry.db.embedded.account import Account, clean_environment
from tenantry.db.embedded.binaries import Binaries
from tenantry.db.embedded.folders import Folders
from tenantry.locks import is_locked

_PORT_LINE, _SOCKET_LINE, _STATUS_LINE = 3, 4, 7
POLL_SECONDS = 0.01


class Postmaster(Struct, frozen=True):
    """What `postmaster.pid` says."""

    pid: int
    port: int
    socket_folder: str
    is_ready: bool


def read(data: Path) -> Postmaster | None:
    """Read `postmaster.pid`; None where there is none, or only its beginning."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) <= _SOCKET_LINE or not lines[0].strip().isdigit() or not lines[_PORT_LINE].strip().isdigit():
        return None
    status = lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""
    return Postmaster(int(lines[0]), int(lines[_PORT_LINE]), lines[_SOCKET_LINE].strip(), status == "ready")


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) != "Z"


def is_postmaster_of(pid: int, data: Path) -> bool:
    """Tell whether this process is a PostgreSQL that works in `data`."""
    if not is_alive(pid):
        return False
    proc = Path(f"/proc/{pid}")
    if Path("/proc/self/cwd").exists():
        try:
            # Every process of a server keeps the data directory as its working folder.
            return Path(proc / "cwd").readlink() == data and Path(proc / "exe").readlink().name.startswith("postgres")
        except OSError:
            return False
    return "postgres" in _ps(pid, "command") and str(data) in _ps(pid, "command")


def processes_in(data: Path) -> list[int]:
    """Every PostgreSQL process that works in `data` (on Linux; elsewhere none are found)."""
    return [int(p.name) for p in Path("/proc").glob("[0-9]*") if is_postmaster_of(int(p.name), data)]


def clear_stale(folders: Folders, sockets: Path) -> None:
    """Remove what a dead server left behind. Only to be called when no process of it is alive."""
    old = read(folders.data)
    if old is not None and not is_postmaster_of(old.pid, folders.data):
        # PostgreSQL does so itself, but not if the pid is taken by another program of this user, or is a zombie.
        (folders.data / "postmaster.pid").unlink(missing_ok=True)
    for left in sockets.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def spawn(binaries: Binaries, folders: Folders, account: Account) -> int:
    """Start the server as a daemon and give its pid.

    A shell in between, which ends at once, makes it a child of init (nobody has to wait for it), in a session of its
    own: Ctrl-C and a closed terminal do not reach it.
    """
    # NOFOLLOW: the folder belongs to the server's account, and root must not be led elsewhere by it.
    lock = os.open(folders.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    log = os.open(folders.start_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        if account.is_other:
            os.fchown(lock, account.uid, account.gid)
        _take(lock)
        started = subprocess.run(
            ["/bin/sh", "-c", '"$0" -D "$1" </dev/null >&2 & echo $!', binaries.folder / "postgres", folders.data],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,
            cwd="/",
            umask=0o077,
            env=clean_environment(),
            check=True,
            **account.run_as,
        )
        return int(started.stdout)
    finally:
        os.close(lock)
        os.close(log)


def _take(lock: int) -> None:
    until = time.monotonic() + 1  # `is_locked` of another command holds it for a moment
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def wait_until_free(lock: Path, seconds: float) -> bool:
    """Wait until no process of the server is alive; False if some still is after `seconds`."""
    until = time.monotonic() + seconds
    while is_locked(lock):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "" if Path("/proc/self/cwd").exists() else _ps(pid, "stat")[:1]
    return stat.rpartition(")")[2].split()[0]


def _ps(pid: int, column: str) -> str:
    try:
        command = ["/bin/ps", "-o", f"{column}=", "-p", str(pid)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip()
