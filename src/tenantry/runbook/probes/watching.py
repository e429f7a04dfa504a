"""The watcher and whom it tells: its last sign of life, messages that did not get out, levels, the heartbeat, exported rules."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place

STALE_TICKS = 8


def _is_told(place: Place) -> bool:
    settings = place.settings
    file = settings.oncall or settings.home / "oncall.toml"
    return (
        any(getattr(settings, name) is not None for name in ("notify", "notify_l1", "notify_l2", "notify_l3"))
        or file.exists()
    )


async def _watcher(place: Place) -> Look:
    """By what it wrote down last: each tick when anything changed."""
    import psutil

    from tenantry.ops.incidents.book import Book
    from tenantry.ops.watch import restored

    book = Book(place.home)
    memory = book.read()
    if memory is None:
        why = "no watcher ever ran here (tenantry serve has one; else tenantry watch)"
        raise NotApplicable(why)
    outbox = restored(bytes(memory.outbox), 1.0)
    stuck = [
        {"channel": one.channel, "tries": one.tries, "title": delivery.notice.title}
        for delivery in outbox.deliveries.values()
        for one in delivery.tries
        if one.tries > 0
    ]
    try:
        process = psutil.Process(memory.pid) if memory.pid else None
        state = None if process is None else process.status()
    except psutil.Error:
        state = None
    age = max(0.0, time.time() - book.path.stat().st_mtime)
    from tenantry.processes import status

    values: dict[str, Any] = {
        "lives": state is not None, "stopped": state == psutil.STATUS_STOPPED, "written_ago": age, "pid": memory.pid, "stuck": stuck,
        "late": age > max(10.0, STALE_TICKS * place.settings.tick), "serving": bool(status(place.settings).get("serving")),
        "firing": memory.firing, "open": [incident.id for incident in memory.incidents if incident.is_open],
    }  # fmt: skip
    words = f"pid {memory.pid} {'lives' if values['lives'] else 'is gone'}, wrote {age:.0f} s ago; {len(stuck)} tries under way; fires: {', '.join(memory.firing) or 'nothing'}"
    return Look(values, words)


async def _oncall(place: Place) -> Look:
    from tenantry.errors import TenantryError
    from tenantry.ops.notify.oncall import empty_levels, read
    from tenantry.ops.watch import given_levels, oncall_path

    if not _is_told(place):
        why = "nobody is to be told: no channel is set (TENANTRY_NOTIFY_L1), and there is no on-call list"
        raise NotApplicable(why)
    try:
        given = given_levels(place.settings)
        empty = empty_levels(read(oncall_path(place.settings)), given, datetime.now(timezone.utc), os.environ)
    except (TenantryError, ValueError) as error:
        return Look({"empty": [], "faulty": str(error)}, str(error))
    return Look(
        {"empty": empty, "faulty": None},
        f"nobody answers for {', '.join(empty)}" if empty else "each level has somebody",
    )


async def _heartbeat(place: Place) -> Look:
    if not _is_told(place):
        why = "nobody is to be told"
        raise NotApplicable(why)
    is_set = place.settings.heartbeat_url is not None
    return Look({"is_set": is_set}, "TENANTRY_HEARTBEAT_URL is set" if is_set else "TENANTRY_HEARTBEAT_URL is not set")


async def _rules(place: Place) -> Look:
    """Rules that were exported for Prometheus, against those that run here."""
    path = next(
        (p for p in (place.home / "rules.yaml", Path("rules.yaml"), Path("prometheus/rules.yaml")) if p.exists()), None
    )
    if path is None:
        why = "no rules.yaml was exported here (tenantry alerts export prometheus)"
        raise NotApplicable(why)
    import yaml

    from tenantry.ops.alerts import limits
    from tenantry.ops.alerts.export import prometheus

    loaded: Any = yaml.safe_load(path.read_text("utf-8"))
    wanted: Any = prometheus(limits.load(place.home)[0])
    found, rules = (
        {
            r["alert"]: (str(r.get("expr")).split(), r.get("for"))
            for g in one.get("groups", [])
            for r in g.get("rules", [])
            if "alert" in r
        }
        for one in (loaded, wanted)
    )
    differ = sorted(name for name, rule in rules.items() if name in found and found[name] != rule)
    missing = sorted(set(rules) - set(found))
    return Look(
        {"differ": differ, "missing": missing, "file": str(path)}, f"{path.name}: differ {differ}, missing {missing}"
    )


WATCHER = Probe("watcher", "tenantry incident list; tenantry alerts list", _watcher)
ONCALL = Probe("on-call", "tenantry oncall", _oncall)
HEARTBEAT = Probe("heartbeat", "tenantry settings | grep HEARTBEAT", _heartbeat)
RULES = Probe("exported-rules", "tenantry alerts export prometheus | diff - rules.yaml", _rules)
