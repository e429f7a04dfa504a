"""What drills found, kept as JSON and written as a page: `docs/drills.md` is this, generated, with its date and machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec
from msgspec import Struct, field

from tenantry.drills.model import Drill, Outcome
from tenantry.errors import StartError

NOT_DRILLED: dict[int, str] = {}
"""Lines of the table of faults that no drill covers, and why."""


class NoReport(StartError):
    """There is nothing to report."""

    code = "NO_DRILL_REPORT"
    says = "No drill was run yet: {path} is not there, or cannot be read."
    remedy = "Run: tenantry drill run"


class Report(Struct):
    """The outcomes of one run."""

    at: str
    machine: str
    tick: int
    outcomes: list[Outcome] = field(default_factory=list[Outcome])


def fresh(tick: int) -> Report:
    """An empty one, of now and here."""
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    return Report(at, f"{os.cpu_count()} CPUs ({load}), {platform.system()}, Python {platform.python_version()}", tick)


def read(path: Path) -> Report:
    """What was written last. Raises NoReport."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise NoReport(path=path) from error


def write(path: Path, report: Report) -> None:
    """Keep it. A drill that was run again replaces its earlier outcome."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        earlier = read(path).outcomes
    except NoReport:
        earlier = []
    again = {outcome.number for outcome in report.outcomes}
    whole = sorted([*(o for o in earlier if o.number not in again), *report.outcomes], key=lambda o: o.number)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(Report(report.at, report.machine, report.tick, whole))))


def page(report: Report, known: Sequence[Drill]) -> str:
    """Markdown. Pure."""
    scale = report.tick / 15
    bounds = {drill.number: drill for drill in known}
    lines = [
        "# Fault drills",
        "",
        "Written by `tenantry drill report`; what a drill is and does: [guide](guides/drills.md).",
        "",
        f"Run {report.at} on {report.machine}, with a tick of {report.tick} s instead of 15: every time of an alert is {15 / report.tick:g} times",
        "shorter than in production, and stands with its bound (first the measured seconds, then the bound at this tick). Load of two tenants",
        "throughout. The doctor's place is that of the right cause among what it found; its seconds are its own count. A failure is a thing that",
        "did not happen; times are printed, since this machine may be busy.",
        "",
        "| # | fault | health sees it | alert (bound) | page | doctor's first cause | doctor | repaired by | healthy after | lost: met / other tenant | well |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in report.outcomes:
        if one.skipped:
            continue
        drill = bounds.get(one.number)
        limits: Mapping[str, float] = {} if drill is None else drill.alerts
        alerts = ", ".join(
            f"{name} {seconds} s" + (f" ({limits[name] * scale:.0f})" if name in limits else "")
            for name, seconds in one.alert_seconds.items()
        )
        cause = "none wanted" if drill is not None and not drill.causes else f"{one.cause} (place {one.rank or '-'})"
        well = "yes" if one.is_well else "**no**: " + "; ".join(one.faults)
        lines.append(
            f"| {one.number} | {one.says} | {_s(one.seen_seconds)} | {alerts or '-'} | {_s(one.page_seconds)} | {cause} | {_s(one.doctor_seconds)} | "
            f"{one.repaired_by} | {_s(one.healed_seconds)} | {one.lost} of {one.requests} / {one.others_lost} of {one.others_requests} | {well} |"
        )
    run = {one.number for one in report.outcomes}
    waiting = [drill for drill in known if drill.number not in run]
    if NOT_DRILLED or waiting or any(one.skipped for one in report.outcomes):
        lines += ["", "## Not drilled", ""]
    lines += [f"- {number}: {why}." for number, why in sorted(NOT_DRILLED.items())]
    lines += [f"- {one.number} (`{one.name}`): {one.skipped}." for one in report.outcomes if one.skipped]
    lines += [f"- {drill.number} (`{drill.name}`): there is a drill, and this run left it out." for drill in waiting]
    return "\n".join(lines) + "\n"


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds} s"
