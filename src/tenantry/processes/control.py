"""`tenantry stop`, `restart`, `reload`, `status`: how another process speaks to the supervisor of a home.

By signals, to the pid in `run/supervisor.json`, which is believed only while the supervisor's lock is held.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from tenantry.errors import StartError
from tenantry.locks import is_locked
from tenantry.processes import listener as sockets
from tenantry.processes.rundir import RunDirectory
from tenantry.settings import Settings

WAIT_SECONDS = 90.0
POLL_SECONDS = 0.05


class NotServing(StartError):
    """There is no supervisor in this TENANTRY_HOME."""

    code = "NOT_SERVING"
    says = "Nothing serves in {home}."
    remedy = "Start it: tenantry serve   (or set TENANTRY_HOME to where it runs)"


class NotReplaced(StartError):
    """The new processes did not come up; the old ones serve on."""

    code = "NOT_REPLACED"
    says = "The new processes did not start, and the old ones serve on: {why}"
    remedy = "The log has the reason; correct it, and try again."


def stop(settings: Settings) -> dict[str, Any]:
    """Drain and end the supervisor with all its processes, then the keeper; says what was there."""
    run = RunDirectory(settings.home)
    pid = _pid(run)
    if pid is not None:
        _send(pid, signal.SIGTERM)
        _until(lambda: not is_locked(run.supervisor_lock))
    return {"stopped": pid is not None, "pid": pid, "keeper_ended": sockets.end_keeper(run)}


def reload(settings: Settings) -> dict[str, Any]:
    """Replace the workers one by one, and wait until it is done. Raises NotServing, NotReplaced."""
    run = RunDirectory(settings.home)
    pid = _serving(run)
    before = run.read_state()
    _send(pid, signal.SIGHUP)
    _until(lambda: _number(run) != _reloads(before) or not is_locked(run.supervisor_lock))
    return _told(run)


def restart(settings: Settings) -> dict[str, Any]:
    """Start everything anew in the supervisor's process, and wait until it serves. Raises NotServing, NotReplaced."""
    run = RunDirectory(settings.home)
    pid = _serving(run)
    before = {worker["pid"] for worker in run.read_state().get("workers", [])}
    reloads = _number(run)
    _send(pid, signal.SIGUSR2)

    def is_done() -> bool:
        state = run.read_state()
        if state.get("reload") and _reloads(state) != reloads:
            return True  # refused
        return state.get("state") == "ready" and not before & {w["pid"] for w in state["workers"]}

    _until(is_done)
    return _told(run)


def status(settings: Settings) -> dict[str, Any]:
    """The processes of this home, as the supervisor wrote them down last; what is not alive is None."""
    run = RunDirectory(settings.home)
    keeper = sockets.look(run)
    state = run.read_state() if _pid(run) is not None else {}
    return {
        "serving": bool(state), "supervisor": state.get("pid"), "state": state.get("state"), "host": state.get("host"),
        "port": state.get("port"), "ops_port": state.get("ops_port"), "workers": state.get("workers", []), "watcher": state.get("watcher"),
        "keeper": None if keeper is None else keeper["pid"], "reload": state.get("reload") or None,
    }  # fmt: skip


def _told(run: RunDirectory) -> dict[str, Any]:
    state = run.read_state()
    last: dict[str, Any] = state.get("reload") or {}
    if last and not last["ok"]:
        raise NotReplaced(why=last["why"])
    return {"pid": state.get("pid"), "workers": [w["pid"] for w in state.get("workers", [])]}


def _number(run: RunDirectory) -> int:
    return _reloads(run.read_state())


def _reloads(state: dict[str, Any]) -> int:
    last: dict[str, Any] = state.get("reload") or {}
    return int(last.get("number", 0))


def _pid(run: RunDirectory) -> int | None:
    if not is_locked(run.supervisor_lock):
        return None
    return run.read_state().get("pid")


def _serving(run: RunDirectory) -> int:
    pid = _pid(run)
    if pid is None:
        raise NotServing(home=run.folder.parent)
    return pid


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _until(is_so: Any) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not is_so() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
