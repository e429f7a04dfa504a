"""Who runs the API and how often it was restarted: PM2's own list, the processes and their memory."""

from __future__ import annotations

import json
import time
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place

SERVICE = "platform-api"


async def _pm2(place: Place) -> Look:
    code, output = await place.run("pm2", "jlist", seconds=2.8)
    start = output.find("[")
    if code != 0 or start < 0:
        why = "PM2 is here and lists nothing"
        raise NotApplicable(why)
    found: list[dict[str, Any]] = json.loads(output[start:])
    mine = next((app for app in found if app.get("name") == SERVICE), None)
    if mine is None:
        why = f"PM2 runs no {SERVICE}"
        raise NotApplicable(why)
    env: dict[str, Any] = mine.get("pm2_env") or {}
    monit: dict[str, Any] = mine.get("monit") or {}
    values = {
        "status": env.get("status"), "restarts": env.get("restart_time", 0), "unstable": env.get("unstable_restarts", 0),
        "exit_code": env.get("exit_code"), "uptime_seconds": max(0.0, time.time() - (env.get("pm_uptime") or 0) / 1000),
        "memory": monit.get("memory"), "limit": env.get("max_memory_restart"), "error_log": env.get("pm_err_log_path"),
    }  # fmt: skip
    words = f"{values['status']}, {values['restarts']} restarts ({values['unstable']} unstable), up for {values['uptime_seconds']:.0f} s"
    return Look(values, words)


async def _memory(place: Place) -> Look:
    """Each process of this installation: its memory, its age."""
    import psutil

    from tenantry.processes import status

    told = status(place.settings)
    if not told.get("serving"):
        why = "nothing serves here"
        raise NotApplicable(why)
    pids = [worker["pid"] for worker in told["workers"]]
    rows: list[dict[str, Any]] = []
    for pid in (told["supervisor"], *pids):
        try:
            process = psutil.Process(pid)
            rows.append({"pid": pid, "mb": process.memory_info().rss / 1e6, "age": time.time() - process.create_time()})
        except (psutil.Error, TypeError):
            continue
    limit = place.settings.memory_limit / 1e6
    words = "; ".join(f"pid {row['pid']} {row['mb']:.0f} MB, {row['age']:.0f} s old" for row in rows)
    workers = [row for row in rows if row["pid"] in pids]
    youngest = min((row["age"] for row in workers), default=None)
    oldest = max((row["age"] for row in rows), default=None)
    return Look(
        {"processes": rows, "limit_mb": limit, "youngest": youngest, "oldest": oldest},
        f"{words}; limit {limit:.0f} MB" if limit else words,
    )


PM2 = Probe("pm2", "pm2 list; pm2 jlist", _pm2)
MEMORY = Probe("process-memory", "tenantry status; pm2 logs platform-api --lines 100 --nostream | grep Heap", _memory)
