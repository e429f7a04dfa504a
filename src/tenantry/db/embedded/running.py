"""Is it running? Start it; stop it: the life of one server's process, told from what `postmaster.py` can see.

A start may fail because a port was taken between the look and the bind (another is tried), because the children of a
killed postmaster are not gone yet (they are waited for, then ended), or for a reason that the server's own log tells
(it is quoted).
"""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

from tenantry.db.embedded import cluster, folders, postmaster
from tenantry.db.embedded.account import Account
from tenantry.db.embedded.binaries import Binaries
from tenantry.db.embedded.folders import Chosen, Folders
from tenantry.errors import DatabaseNotReady
from tenantry.locks import is_locked

_USUAL_PORT = 5432
_START_SECONDS = 60.0
_PORT_TRIES = 5
_ORPHAN_SECONDS = 2.0
_TAIL_BYTES = 20_000
_FATAL = re.compile(r"(?:FATAL|PANIC|ERROR|HINT): +(.*)")


def is_running(where: Folders, *, wait_seconds: float = _START_SECONDS) -> bool:
    """Tell whether a server is alive; one that is starting is waited for, and so are the last children of a dead one.

    Raises DatabaseNotReady when one is alive and does not become ready. With `wait_seconds=0` this only looks.
    """
    until = time.monotonic() + wait_seconds
    orphaned_since: float | None = None
    while True:
        found = postmaster.read(where.data)
        is_alive = found is not None and postmaster.is_postmaster_of(found.pid, where.data)
        if found is not None and is_alive and (found.is_ready or wait_seconds == 0):
            return True
        if not is_alive and (wait_seconds == 0 or not is_locked(where.lock)):
            return False
        if not is_alive:
            # The postmaster was killed. Its children notice, but one that computes does so only when it is done.
            orphaned_since = orphaned_since or time.monotonic()
            if time.monotonic() - orphaned_since > _ORPHAN_SECONDS:
                end_orphans(where)
        if time.monotonic() > until:
            raise DatabaseNotReady(
                why=f"a server is alive on {where.data} and does not become ready",
                cure=f"Read {where.log}; to end it: tenantry db stop",
            )
        time.sleep(postmaster.POLL_SECONDS)


def start(
    chosen: Chosen, where: Folders, account: Account, binaries: Binaries, *, wanted_port: int | None, slow_ms: int
) -> None:
    """Start the server and wait until it is ready; `chosen` learns port and socket. Raises DatabaseNotReady."""
    sockets = folders.socket_folder(where, account, chosen.socket_folder)
    chosen.socket_folder = str(sockets)
    for _ in range(_PORT_TRIES):
        postmaster.clear_stale(where, sockets)
        chosen.port = _choose_port(wanted_port, chosen.port)
        cluster.configure(where, account, port=chosen.port, sockets=str(sockets), slow_ms=slow_ms)
        # Before the start: whatever happens next, the way in is known.
        folders.write_chosen(where, chosen)
        sizes = _log_sizes(where)
        if _becomes_ready(postmaster.spawn(binaries, where, account), where):
            return
        said = _said_since(where, sizes)
        if "Address already in use" not in said:
            reasons = "; ".join(dict.fromkeys(m.strip() for m in _FATAL.findall(said)))
            raise DatabaseNotReady(
                why="PostgreSQL did not start" + (f": {reasons}" if reasons else ""),
                cure=f"Read the newest file of {where.log}, and {where.start_log}",
            )
    raise DatabaseNotReady(
        why="no free port was found for PostgreSQL", cure="Set TENANTRY_POSTGRES_PORT to a free port."
    )


def stop(where: Folders) -> bool:
    """Stop the server: transactions are rolled back, a checkpoint is written; False if it was not running."""
    found = postmaster.read(where.data)
    if found is None or not postmaster.is_postmaster_of(found.pid, where.data):
        is_left = is_locked(where.lock)
        if is_left:
            end_orphans(where)
        return is_left
    # SIGINT is the fast stop, SIGQUIT the immediate one: then the next start recovers, as after a crash.
    for number, seconds in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)):
        postmaster.send(found.pid, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not postmaster.is_alive(found.pid) and not is_locked(where.lock):
                return True
            time.sleep(postmaster.POLL_SECONDS)
    end_orphans(where)
    return True


def end_orphans(where: Folders) -> None:
    """End the children that a killed postmaster left; the next start recovers in any case."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in postmaster.processes_in(where.data):
            postmaster.send(pid, number)
        if postmaster.wait_until_free(where.lock, 3):
            return


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port: nobody answers there, and it can be bound."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does: TIME_WAIT is no hindrance
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _choose_port(wanted: int | None, remembered: int | None) -> int:
    if wanted is not None:
        if not is_free(wanted):
            raise DatabaseNotReady(
                why=f"port {wanted} of TENANTRY_POSTGRES_PORT is in use by another program",
                cure="Give it another number, or leave it out: a free one is chosen.",
            )
        return wanted
    for port in (remembered, _USUAL_PORT):
        if port is not None and is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _becomes_ready(pid: int, where: Folders) -> bool:
    """Wait for a server that was just started; False if it ended."""
    until = time.monotonic() + _START_SECONDS
    while postmaster.is_alive(pid):
        found = postmaster.read(where.data)
        if found is not None and found.pid == pid and found.is_ready:
            return True
        if time.monotonic() > until:
            raise DatabaseNotReady(
                why=f"PostgreSQL is still starting after {_START_SECONDS:.0f} s",
                cure=f"Recovery of many changes takes long: wait, and read {where.log}",
            )
        time.sleep(postmaster.POLL_SECONDS)
    return False


def _logs(where: Folders) -> list[Path]:
    return [where.start_log, *sorted(where.log.glob("postgresql-*.log"))]


def _log_sizes(where: Folders) -> dict[Path, int]:
    return {p: p.stat().st_size for p in _logs(where)[1:]}


def _said_since(where: Folders, sizes: dict[Path, int]) -> str:
    """What the server wrote since: first to the file of its start, then to that of the day."""
    said: list[str] = []
    for path in _logs(where):
        with path.open("rb") as log:
            log.seek(sizes.get(path, 0))
            said.append(log.read(_TAIL_BYTES).decode(errors="replace"))
    return "\n".join(said)
