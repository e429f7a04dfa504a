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
    "HealthCheckFailing": "everyone; the API cannot serve.",
    "DatabaseUnavailable": "everyone; no request that needs data succeeds.",
    "HighErrorRate": "every tenant; some of its requests fail.",
    "HighLatencyP95": "everyone; more than one request in twenty takes over a second.",
    "HealthDegraded": "nobody yet.",
    "DatabaseSlow": "everyone a little; the database answers late.",
    "ConnectionPoolHigh": "nobody yet; requests will wait when the pool is full.",
    "MemoryHigh": "nobody yet; a worker will be replaced at its limit.",
    "RLSViolations": "whoever is refused, again and again; no row has crossed.",
    "LatencyElevated": "everyone a little; more than one request in twenty takes over half a second.",
}
SEEN = {
    "HealthCheckFailing": "{value:.0f} health checks in a row failed",
    "DatabaseUnavailable": "the database has not answered for a minute or more",
    "HighErrorRate": "{percent} of requests failed by a fault of ours, of the last 5 minutes",
    "HighLatencyP95": "{rest} of requests took over a second, of the last 5 minutes",
    "HealthDegraded": "the health check says degraded",
    "DatabaseSlow": "the database takes {value:.0f} ms to answer its check",
    "ConnectionPoolHigh": "the fullest worker's pool is at {percent}",
    "MemoryHigh": "the biggest worker is at {percent} of its limit",
    "RLSViolations": "policies refused {value:.0f} rows in a minute",
    "LatencyElevated": "{rest} of requests took over half a second, of the last 5 minutes",
}
"""What was seen, with the value of now: `percent` of it, and of what is left of a whole."""
KINDS = {
    "corruption": ("Data may be corrupt", "everyone whose rows it touches; stop writing before you look.", "tenantry doctor"),
    "rls_breach": ("Isolation of tenants is broken", "every tenant; they may see each other's rows.", "tenantry verify"),
    "security": ("Security incident", "not known yet.", "tenantry doctor"),
    "data_breach": ("Data breach", "not known yet.", "tenantry doctor"),
}  # fmt: skip


MOST_CAUSES = 3
"""Of a message: the last ones that were found."""


MOST_CAUSE, MOST_PAGE, LAST_LINES = 220, 1000, 280
"""Characters: of one cause, of a page with its title (PagerDuty takes 1,024), and of what stands below the causes."""


def summary(rule: Rule, value: float | None) -> str:
    """One line of evidence."""
    if value is None or rule.name not in SEEN:
        return rule.words
    return SEEN[rule.name].format(value=value, percent=f"{value * 100:.3g} %", rest=f"{(1 - value) * 100:.3g} %")


def shortened(cause: str) -> str:
    """A cause that a telephone shows; of one that is too long the command at its end stays whole."""
    if len(cause) <= MOST_CAUSE:
        return cause
    head, arrow, command = cause.rpartition(" -> ")
    if not arrow or len(command) > MOST_CAUSE // 2:
        return f"{cause[: MOST_CAUSE - 1]}…"
    return f"{head[: MOST_CAUSE - len(command) - 5]}… -> {command}"


def fitting(causes: list[str], room: int) -> list[str]:
    """The last ones that there is room for, and at least the last."""
    while len(causes) > 1 and sum(len(cause) + 1 for cause in causes) > room:
        causes = causes[1:]
    return causes


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
        if incident.acked_by:
            lines.append(f"{incident.acked_by} had it.")
        lines += [
            f"{e.what}: {shortened(e.text)} ({e.by})" for e in incident.timeline if e.what in ("cause", "remedy")
        ][-5:]
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
            lines.append(shortened(incident.text))
        lines.append(f"Since {clock(incident.opened_at)} ({length(now - incident.opened_at)}).")
        if hurts:
            lines.append(f"Hurts: {hurts}")
        lines += [
            f"- {name}: {part.summary}" + ("" if part.until is None else " (over)")
            for name, part in incident.alerts.items()
        ]
        causes = [f"Cause, says {e.by}: {shortened(e.text)}" for e in incident.timeline if e.what == "cause"]
        begun = sum(len(line) + 1 for line in [title, *lines])
        lines += fitting(causes[-MOST_CAUSES:], MOST_PAGE - LAST_LINES - begun)
        if incident.acked_by:
            lines.append(f"{incident.acked_by} has it.")
        else:
            lines.append(f"Take it: tenantry incident ack {incident.id} --by YOU")
        lines.append(f"Find the cause: {command}")
        lines.append(f"Runbook: {section}")
    lines.append(f"Incident {incident.id}")
    return title, "\n".join(lines)
