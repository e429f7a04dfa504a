"""The picture: a header, curves, procedures, statements, alerts. Pure: a View in, something that rich can print out."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tenantry.ops.alerts import RULES
from tenantry.ops.top.view import Tops, View

BARS = "▁▂▃▄▅▆▇█"
MOST_PROCEDURES = 12
MOST_STATEMENTS = 5
MOST_TENANTS = 5
COLOURS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}


def curve(values: Iterable[float], width: int) -> str:
    """The last points as bars, scaled to the largest; blanks before the first."""
    points = list(values)[-width:]
    top = max(points, default=0.0)
    if top <= 0:
        return " " * (width - len(points)) + BARS[0] * len(points)
    bars = "".join(BARS[min(len(BARS) - 1, int(point / top * (len(BARS) - 1) + 0.5))] for point in points)
    return " " * (width - len(bars)) + bars


def figure(value: float) -> str:
    """Three digits: 0, 7.25, 83.1, 1,204."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `4 d 2 h`."""
    minutes = int(seconds // 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def bar(share: float | None, width: int = 12) -> Text:
    """A share as a bar: green, from 60 % on yellow, above 80 % red (the runbook's bound)."""
    if share is None:
        return Text("not known", style="dim")
    filled = min(width, round(share * width))
    style = "red" if share > 0.8 else "yellow" if share > 0.6 else "green"
    return Text("█" * filled, style=style) + Text("░" * (width - filled), style="dim") + Text(f" {share * 100:.0f} %")


def draw(seen: View, tops: Tops, *, width: int = 100) -> RenderableType:
    """All of it, for a terminal of that width."""
    return Group(
        _head(seen),
        _beside(_traffic(seen, tops, width), _resources(seen)),
        _procedures(seen),
        *([_statements(seen)] if seen.statements else []),
        *([_noisiest(seen)] if seen.noisiest else []),
        _alerts(seen),
    )


def _beside(left: RenderableType, right: RenderableType) -> Table:
    table = Table.grid(expand=True)
    table.add_column(ratio=3)
    table.add_column(ratio=2)
    table.add_row(left, right)
    return table


def _head(seen: View) -> Text:
    status = seen.status or "not known"
    line = Text()
    line.append(f" {seen.service} ", style="bold reverse")
    line.append(f"  {status}", style=f"bold {COLOURS.get(seen.status or '', 'dim')}")
    line.append(f"   up {duration(seen.uptime_seconds)}", style="dim")
    line.append(f"   CPU {seen.cpu * 100:.0f} %", style="dim")
    return line


def _traffic(seen: View, tops: Tops, width: int) -> Panel:
    wide = max(10, width * 3 // 5 - 34)
    table = Table.grid(padding=(0, 1))
    errors = f"{seen.error_share * 100:.3g} %"
    table.add_row("requests/s", Text(figure(seen.rate), style="bold"), Text(curve(tops.rates, wide), style="cyan"))
    table.add_row(
        "p95 ms", Text(figure(seen.p95_ms), style=_late(seen.p95_ms)), Text(curve(tops.p95s, wide), style="magenta")
    )
    table.add_row("p50 / p99 ms", f"{figure(seen.p50_ms)} / {figure(seen.p99_ms)}", "")
    server = f"{figure(seen.server_errors)}/s ours"
    table.add_row("errors", Text(errors, style="red" if seen.server_errors else ""), Text(server, style="dim"))
    return Panel(table, title="requests", title_align="left", border_style="dim")


def _late(ms: float) -> str:
    return "bold red" if ms > 1000 else "bold yellow" if ms > 500 else "bold"


def _resources(seen: View) -> Panel:
    table = Table.grid(padding=(0, 1))
    pool = None if not seen.pool_size or seen.pool_active is None else seen.pool_active / seen.pool_size
    waiting = f"{seen.pool_waiting:.0f} wait" if seen.pool_waiting else ""
    table.add_row("pool", bar(pool), Text(waiting, style="red"))
    table.add_row("memory", bar(seen.memory_share), "")
    database = "not known" if seen.database_ms is None else f"{figure(seen.database_ms)} ms"
    slow = seen.database_ms is not None and seen.database_ms > 100
    table.add_row("database", Text(database, style="yellow" if slow else ""), "")
    table.add_row("loop lag", "not known" if seen.lag_ms is None else f"{figure(seen.lag_ms)} ms", "")
    return Panel(table, title="resources", title_align="left", border_style="dim")


def _procedures(seen: View) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, header_style="dim")
    table.add_column("procedure", ratio=3, no_wrap=True)
    for name in ("calls/s", "p95 ms", "errors/s", "share of time"):
        table.add_column(name, justify="right", no_wrap=True)
    whole = sum(p.load for p in seen.procedures) or 1.0
    for one in seen.procedures[:MOST_PROCEDURES]:
        errors = Text(figure(one.errors) if one.errors else "", style="red")
        table.add_row(
            one.path,
            figure(one.rate),
            Text(figure(one.p95_ms), style=_late(one.p95_ms).removeprefix("bold").strip()),
            errors,
            f"{one.load / whole * 100:.0f} %",
        )
    if not seen.procedures:
        table.add_row(Text("no request in this interval", style="dim"), "", "", "", "")
    return table


def _statements(seen: View) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, header_style="dim")
    table.add_column("slowest statements", ratio=3, no_wrap=True, overflow="ellipsis")
    for name in ("calls", "mean ms", "total s"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in seen.statements[:MOST_STATEMENTS]:
        table.add_row(" ".join(one.text.split()), figure(one.calls), figure(one.mean_ms), figure(one.total_ms / 1000))
    return table


def _noisiest(seen: View) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, header_style="dim")
    table.add_column("noisiest tenants", ratio=3, no_wrap=True)
    for name in ("calls/s", "refused/s", "connections"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in seen.noisiest[:MOST_TENANTS]:
        refused = Text(figure(one.refused) if one.refused else "", style="red")
        # Seconds of database time a second: as many connections as it keeps busy.
        table.add_row(one.tenant, figure(one.calls), refused, figure(one.load))
    return table


def _alerts(seen: View) -> RenderableType:
    severities = {rule.name: rule.severity for rule in RULES}
    lines = [
        Text(f"● {name}", style="bold red" if severities.get(name) == "critical" else "yellow") for name in seen.firing
    ]
    for incident in seen.incidents:
        who = f"{incident.acked_by} has it" if incident.acked_by else "nobody has it"
        lines.append(Text(f"  {incident.id}: {' + '.join(incident.firing) or incident.kind}, {who}", style="dim"))
    if seen.violations:
        lines.append(Text(f"  {figure(seen.violations)} RLS violations a minute", style="yellow"))
    if not lines:
        return Text("no alert fires", style="green")
    return Group(*lines)
