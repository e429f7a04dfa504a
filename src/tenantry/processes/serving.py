"""`serve`, from the lock on this home to the exit code: what happens once, in order."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tenantry.errors import AlreadyServing
from tenantry.locks import take_lock
from tenantry.processes import listener as sockets
from tenantry.processes.log import end_log, start_log
from tenantry.processes.orders import Orders, settings_for
from tenantry.processes.outside import raise_descriptors, soften
from tenantry.processes.place import address, keep, kept
from tenantry.processes.reloading import Reloading
from tenantry.processes.rundir import RunDirectory
from tenantry.processes.supervisor import Limits, Supervisor, keep_listener
from tenantry.settings import Settings

OPS_PORT = 9464
_LOCK_SECONDS = 12.0
"""How long the supervisor before may still drain."""


def serve(orders: Orders, announce: Callable[[str, Settings, int], None], reloading: Reloading | None = None) -> int:
    """Serve until SIGINT or SIGTERM; gives the exit code. `announce(url, settings, port)` is called when requests are answered.

    Raises SettingsFaulty, PortInUse, AlreadyServing, RunFolderUnsafe.
    """
    soften()
    raise_descriptors()
    settings = settings_for(orders)
    start_log(settings)
    for warning in settings.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    run = RunDirectory(settings.home)
    lock = _alone(run)
    limits = Limits.of(settings)
    held = _listener(run, settings, limits)
    ops_socket = _ops_socket(settings)
    keep(settings, port=held.port, ops_port=ops_socket.getsockname()[1])
    url = address(settings.host, held.port)

    async def work() -> tuple[int, bool]:
        supervisor = Supervisor(
            orders, settings, run, held, ops_socket, lambda: announce(url, settings, held.port), reloading
        )
        code = await supervisor.run()
        return code, supervisor.must_restart

    code, must_restart = asyncio.run(work())
    if must_restart:
        _again(held)
    if sys.stdin.isatty() and held.owner is not None:
        # Ended at a terminal: nobody will start it again for the clients that would wait.
        held.owner.close()
        sockets.end_keeper(run)
    run.write_state({})
    os.close(lock)
    return code


def _alone(run: RunDirectory) -> int:
    """The lock of this home; a supervisor that drains is waited for. Raises AlreadyServing."""
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        lock = take_lock(run.supervisor_lock)
        if lock is not None:
            return lock
        state = run.read_state()
        if time.monotonic() > until or state.get("state") in ("ready", "reloading"):
            raise AlreadyServing(pid=state.get("pid", "?"), port=state.get("port", "?"), home=run.folder.parent)
        time.sleep(0.05)


def _listener(run: RunDirectory, settings: Settings, limits: Limits) -> sockets.Held:
    """The listening socket: systemd's, else what the keeper holds where that fits, else a new one."""
    from_systemd = sockets.from_systemd()
    if from_systemd is not None:
        return sockets.Held(from_systemd, None, None)
    held = sockets.take(run)
    wanted = settings.port if settings.is_given("PORT") else None
    if held is not None:
        if sockets.fits(held, settings.host, wanted):
            assert held.owner is not None
            held.owner.setblocking(False)
            return held
        held.listener.close()
        sockets.end_keeper(run)
    ports = [settings.port] if wanted is not None else [kept(settings).get("port", settings.port), settings.port, 0]
    listener = sockets.bind_where_free(settings.host, ports)
    return keep_listener(run, listener, limits)


def _ops_socket(settings: Settings) -> socket.socket:
    """For health and metrics: the port that was asked for, else the last one, 9464, or any that is free."""
    if settings.ops_port is not None:
        return sockets.bind_where_free(settings.ops_host, [settings.ops_port])
    return sockets.bind_where_free(settings.ops_host, [kept(settings).get("ops_port", OPS_PORT), OPS_PORT, 0])


def _again(held: sockets.Held) -> None:
    """The same command in the same process: its manager's pid, the new code. The keeper has the socket until then."""
    if held.keeper_pid is None:
        os.set_inheritable(held.listener.fileno(), True)
    end_log()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line


def run_demo(port: int) -> None:
    """Fill in the demo's tenants, and print its lines: a process of its own, as the driver has no place in this one."""
    command = [sys.executable, "-m", "tenantry.cli.main", "demo"]
    subprocess.run(command, env={**os.environ, "PORT": str(port)}, check=False)
