"""Where the listening socket comes from: systemd's socket unit, the keeper of an earlier run, or a bind of our own.

A socket that was bound here is given to a keeper, so that the next start finds it still open, with the clients that came
in the meantime in its queue. Under systemd the socket unit is the keeper, and none of ours is made; nor is one made as
the first process of a container, since it would end with it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tenantry.errors import PortInUse
from tenantry.locks import is_locked
from tenantry.processes import keeper as keeper_script
from tenantry.processes.keeper import peer_uid
from tenantry.processes.rundir import RunDirectory

_ANSWER_SECONDS = 2.0
_FIRST_SYSTEMD_DESCRIPTOR = 3


class Held:
    """A listening socket, and the connection that owns it at the keeper (none under systemd)."""

    def __init__(self, listener: socket.socket, owner: socket.socket | None, keeper_pid: int | None) -> None:
        self.listener = listener
        self.owner = owner
        self.keeper_pid = keeper_pid

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.listener.getsockname()[1])


def from_systemd() -> socket.socket | None:
    """The socket of the unit's `.socket`, where systemd started us with one (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS", "0") == "0":
        return None
    listener = socket.socket(fileno=_FIRST_SYSTEMD_DESCRIPTOR)
    listener.setblocking(False)
    os.set_inheritable(_FIRST_SYSTEMD_DESCRIPTOR, False)
    return listener


def take(run: RunDirectory) -> Held | None:
    """What the keeper of this home holds, ours as long as the connection is open; None where there is no keeper."""
    connection = _call(run)
    if connection is None:
        return None
    try:
        connection.sendall(b"take\n")
        line, descriptors, _, _ = socket.recv_fds(connection, 256, 1)
    except OSError:
        connection.close()
        return None
    if not descriptors:
        connection.close()
        return None
    listener = socket.socket(fileno=descriptors[0])
    listener.setblocking(False)
    return Held(listener, connection, json.loads(line)["pid"])


def fits(held: Held, host: str, port: int | None) -> bool:
    """Tell whether it listens where it should; any port does where none is asked for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if held.listener.family != family:
        return False
    address, bound = held.listener.getsockname()[:2]
    try:
        wanted = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)[0][4][0]
    except OSError:
        return False
    return address == wanted and port in (None, 0, bound)


def keep(run: RunDirectory, listener: socket.socket, hold_seconds: float) -> Held:
    """Start a keeper for this socket, and own it there. Without one (its start failed) the socket is served all the same."""
    reader, writer = os.pipe()
    try:
        subprocess.run(
            [
                sys.executable, "-I", "-S", str(Path(keeper_script.__file__)), str(run.keeper_lock), str(run.keeper_socket),
                str(listener.fileno()), str(hold_seconds), str(writer),
            ],
            pass_fds=(listener.fileno(), writer), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/", env={}, check=False, timeout=10,
        )  # fmt: skip
        os.close(writer)
        writer = -1
        os.read(reader, 16)  # "ready", or the end of a keeper that could not start
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    held = take(run)
    if held is None:
        return Held(listener, None, None)
    held.listener.close()
    return Held(listener, held.owner, held.keeper_pid)


def end_keeper(run: RunDirectory) -> bool:
    """Tell the keeper to end, and wait until it has; False if there was none."""
    connection = _call(run)
    if connection is None:
        return False
    with connection:
        try:
            connection.sendall(b"end\n")
            connection.recv(256)
        except OSError:
            pass
    until = time.monotonic() + _ANSWER_SECONDS
    while is_locked(run.keeper_lock) and time.monotonic() < until:
        time.sleep(0.01)
    return True


def look(run: RunDirectory) -> dict[str, Any] | None:
    """What the keeper says of itself, or None."""
    connection = _call(run)
    if connection is None:
        return None
    with connection:
        try:
            connection.sendall(b"look\n")
            return json.loads(connection.recv(256))
        except (OSError, ValueError):
            return None


def bind_where_free(host: str, ports: list[int]) -> socket.socket:
    """The first of these ports that is free; with one only, PortInUse says why it is not."""
    from tenantry.http import bind

    for port in ports[:-1]:
        try:
            return bind(host, port)
        except PortInUse:
            continue
    return bind(host, ports[-1])


def _call(run: RunDirectory) -> socket.socket | None:
    if not is_locked(run.keeper_lock):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_SECONDS)
    try:
        connection.connect(str(run.keeper_socket))
        # Both ways: nobody else may hand us a socket either.
        if peer_uid(connection) in (os.geteuid(), 0):
            return connection
    except OSError:
        pass
    connection.close()
    return None
