"""The API, from outside: on its own port, and on the port for operations, which answers while the loops are blocked."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from datetime import datetime
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Answer, Place


async def _health(place: Place, base: str) -> Look:
    try:
        answer = await place.get(f"{base}/health.check", seconds=2.5)
    except (OSError, TimeoutError) as error:
        return Look({"reached": False, "why": _why(error)}, f"no answer: {_why(error)}")
    return Look({"reached": True, **_told(answer)}, answer.body.decode("utf-8", "replace")[:1500])


def _told(answer: Answer) -> dict[str, Any]:
    fields = answer.json()
    checks: dict[str, Any] = fields.get("checks") or {}
    uptime = fields.get("uptime")
    return {
        "uptime_seconds": uptime / 1000 if isinstance(uptime, int | float) else None,
        "http": answer.status, "status": fields.get("status"), "ms": round(answer.took_ms),
        "checks": {name: check.get("status") for name, check in checks.items()},
        "messages": {name: check.get("message") for name, check in checks.items()},
        "failures": fields.get("consecutiveFailures"), "skew_seconds": _skew(fields),
    }  # fmt: skip


def _skew(fields: dict[str, Any]) -> float | None:
    """How far the API's clock is from ours, by its own timestamp."""
    try:
        told = datetime.fromisoformat(str(fields["timestamp"]).replace("Z", "+00:00")).timestamp()
        return round(told + float(fields.get("ageMs") or 0) / 1000 - time.time(), 1)
    except (KeyError, ValueError, TypeError):
        return None


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "silent"
    if isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED:
        return "refused"
    return "broken off" if isinstance(error, ConnectionError) else type(error).__name__


async def _main(place: Place) -> Look:
    return await _health(place, place.api_url + place.settings.base_path.rstrip("/"))


async def _liveness(place: Place) -> Look:
    base = place.api_url + place.settings.base_path.rstrip("/")
    try:
        answer = await place.get(f"{base}/health.liveness", seconds=2.0)
    except (OSError, TimeoutError) as error:
        return Look({"reached": False, "why": _why(error)}, f"no answer: {_why(error)}")
    fields = answer.json()
    values = {
        "reached": True,
        "alive": fields.get("alive"),
        "lag_ms": fields.get("loopLagMs"),
        "ms": round(answer.took_ms),
    }
    return Look(values, answer.body.decode("utf-8", "replace")[:500])


def _ops(place: Place) -> str:
    port = getattr(place.settings, "ops_port", None) or place.kept.get("ops_port")
    if not port:
        why = "no port for operations is set, or was ever used (TENANTRY_OPS_PORT)"
        raise NotApplicable(why)
    return f"http://127.0.0.1:{port}{place.settings.base_path.rstrip('/')}"


async def _ops_liveness(place: Place) -> Look:
    base = _ops(place)
    try:
        answer = await place.get(f"{base}/health.liveness", seconds=2.0)
    except (OSError, TimeoutError) as error:
        return Look({"reached": False, "why": _why(error)}, f"no answer: {_why(error)}")
    fields = answer.json()
    values = {"reached": True, "alive": fields.get("alive"), "lag_ms": fields.get("loopLagMs")}
    return Look(values, answer.body.decode("utf-8", "replace")[:500])


async def _processes(place: Place) -> Look:
    """Who serves here, by the supervisor's own state and lock."""
    from tenantry.processes import status

    found: dict[str, Any] = dict(status(place.settings))
    found["stopped"] = await asyncio.to_thread(_stopped, found)
    found["silent_seconds"] = await asyncio.to_thread(_heartbeat, place)
    return Look(
        found,
        ", ".join(f"{name}={value}" for name, value in found.items() if value not in (None, [])) or "nothing serves",
    )


def _heartbeat(place: Place) -> float | None:
    """For how long the quietest worker's loop has not beaten, by its mapped file; None without one."""
    from tenantry.ops.health.figures import workers
    from tenantry.ops.metrics import Slots

    folder = place.home / "run"
    if not folder.is_dir():
        return None
    slots = Slots(folder)
    try:
        return max((round(one.silent_seconds, 1) for one in workers(slots.live(), time.monotonic())), default=None)
    finally:
        slots.close()


def _stopped(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Processes of this installation that somebody stopped (SIGSTOP, a debugger)."""
    import psutil

    wanted: list[tuple[str, Any]] = [("supervisor", found.get("supervisor")), ("watcher", found.get("watcher"))]
    workers: list[dict[str, Any]] = found.get("workers") or []
    wanted += [("worker", worker.get("pid")) for worker in workers]
    rows: list[dict[str, Any]] = []
    for role, pid in wanted:
        with contextlib.suppress(psutil.Error):
            if pid and psutil.Process(int(pid)).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
                rows.append({"role": role, "pid": int(pid)})
    return rows


HEALTH = Probe("api-health", "curl -s $API/health.check | jq", _main)
LIVENESS = Probe("api-liveness", "curl -s $API/health.liveness | jq", _liveness)
OPS_LIVENESS = Probe("ops-liveness", "curl -s http://127.0.0.1:9464/trpc/health.liveness | jq", _ops_liveness)
PROCESSES = Probe("processes", "tenantry status", _processes)
