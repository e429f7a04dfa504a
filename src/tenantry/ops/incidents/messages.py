"""The words of a page: short enough for a telephone, whole enough to begin. Pure.

What, since when, whom it hurts, the evidence, the command that finds the cause, the section of the runbook. No tenant, person, SQL or
address: a page travels through other people's machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tenantry.ops.alerts import Rule
from tenantry.ops.incidents.model import Incident

if TYPE_CHECKING:
    from tenantry.ops.incidents.desk import Pace

HURTS = {
    "HealthCheckFailing": "Everyone: the API cannot serve.",
    "DatabaseUnavailable": "Everyone: no request that needs data succeeds.",
    "HighErrorRate": "Some requests of every tenant fail.",
    "HighLatencyP95": "Everyone waits: one request in twenty takes over a second.",
    "HealthDegraded": "Nobody yet.",
    "DatabaseSlow": "Everyone a little: the database answers late.",
    "ConnectionPoolHigh": "Nobody yet: requests will wait when the pool is full.",
    "MemoryHigh": "Nobody yet: a worker will be replaced at its limit.",
    "RLSViolations": "One tenant's request is refused again and again; no row has crossed.",
    "LatencyElevated": "Everyone a little: one request in twenty takes over half a second.",
}
KINDS = {
    "corruption": ("Data may be corrupt", "Everyone whose rows it touches. Stop writing before you look.", "tenantry doctor"),
    "rls_breach": ("Isolation of tenants is broken", "Tenants may see each other's rows.", "tenantry verify"),
    "security": ("Security incident", "Not known yet.", "tenantry doctor"),
    "data_breach": ("Data breach", "Not known yet.", "tenantry doctor"),
}  # fmt: skip


MOST_CAUSES = 3
"""Of a message: the last ones that were found."""


def amount(rule: Rule, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return "no value"
    if rule.name in ("HighLatencyP95", "LatencyElevated"):
        return f"{(1 - value) * 100:.3g} % of requests were slower"
    match rule.unit:
        case "ratio":
            return f"{value * 100:.3g} %"
        case "ms":
            return f"{value:.0f} ms"
        case _:
            return f"{value:g}"


def summary(rule: Rule, value: float | None) -> str:
    """One line of evidence."""
    return f"{rule.words}: now {amount(rule, value)}"


def clock(at: float) -> str:
    """A moment as people in several time zones read it."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%H:%M:%S UTC")


def length(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def write(incident: Incident, why: str, rules: Mapping[str, Rule], now: float, pace: Pace) -> tuple[str, str]:
    """Title and body of a message."""
    lines: list[str] = []
    names = incident.firing or list(incident.alerts)
    known = [rules[name] for name in names if name in rules]
    if incident.kind == "alerts":
        what = " + ".join(names)
        hurts = next((HURTS[name] for name in names if name in HURTS), "")
        command = known[0].runbook if known else "tenantry doctor"
        section = known[0].section if known else ""
    else:
        what, hurts, command = KINDS[incident.kind]
        section = "escalation-contacts"
    if why == "resolved":
        title = f"RESOLVED {incident.service}: {what}"
        ended = incident.resolved_at or now
        lines.append(
            f"Over after {length(ended - incident.opened_at)} ({clock(incident.opened_at)} to {clock(ended)})."
        )
        by = incident.resolved_by or "watcher"
        lines.append("By itself." if by == "watcher" else f"Resolved by {by}.")
        lines += [f"{e.what}: {e.text} ({e.by})" for e in incident.timeline if e.what in ("cause", "remedy")][-5:]
    else:
        title = f"{incident.severity.upper()} {incident.service}: {what}"
        reason = {
            "again": "Nobody has acknowledged this yet.",
            "escalated": f"L1 did not answer in {length(pace.second)}."
            if "L3" not in incident.has_it
            else f"Nobody answered in {length(pace.third)}.",
            "target": f"Not resolved: the target of {length(pace.target)} is missed.",
        }.get(why)
        if reason:
            lines.append(reason)
        if incident.text:
            lines.append(incident.text)
        lines.append(f"Since {clock(incident.opened_at)} ({length(now - incident.opened_at)}).")
        if hurts:
            lines.append(f"Hurts: {hurts}")
        lines += [
            f"- {name}: {part.summary}" + ("" if part.until is None else " (over)")
            for name, part in incident.alerts.items()
        ]
        lines += [f"Cause, says {e.by}: {e.text}" for e in incident.timeline if e.what == "cause"][-MOST_CAUSES:]
        if incident.acked_by:
            lines.append(f"{incident.acked_by} has it.")
        else:
            lines.append(f"Take it: tenantry incident ack {incident.id} --by YOU")
        lines.append(f"Find the cause: {command}")
        lines.append(f"Runbook: {section}")
    lines.append(f"Incident {incident.id}")
    return title, "\n".join(lines)
