"""What the processes of this installation count: out of their mapped files, so also when none of them answers."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place
from tenantry.signals import BY_NAME

if TYPE_CHECKING:
    from tenantry.ops.metrics import Collected

RECENT = ("rls_violations_total", "api_request_errors_total", "api_requests_total")
WINDOW_SECONDS = 300.0
"""Of counters, at a tick of 15 s: the alerts' own window for errors."""
STALE_SECONDS = 300.0
"""A file of the watcher that is older is of before."""
SECONDS = 1.5
"""Between the two samplings of rates: long enough for a rate, short enough for a run of five seconds."""


async def _counts(place: Place) -> Look:
    from tenantry.ops.metrics import Slots, collect
    from tenantry.ops.top import view

    folder = place.home / "run"
    if not folder.is_dir():
        why = "nothing was ever served here"
        raise NotApplicable(why)
    slots = Slots(folder)
    before = await asyncio.to_thread(collect, slots)
    await asyncio.sleep(SECONDS)
    after = await asyncio.to_thread(collect, slots)
    seen = view(before, after, SECONDS, time.time(), service=place.settings.service)
    slots.close()
    lately = recent(place, before, after)
    values: dict[str, Any] = {
        "rate": seen.rate, "p95_ms": seen.p95_ms, "server_errors": seen.server_errors, "pool_active": seen.pool_active,
        "pool_size": seen.pool_size, "pool_waiting": seen.pool_waiting, "memory": seen.memory_share, "lag_ms": seen.lag_ms,
        "procedures": [{"path": p.path, "rate": p.rate, "p95_ms": p.p95_ms, "errors": p.errors, "load": p.load} for p in seen.procedures[:20]],
        "restarts": _one(after, "worker_restarts_total"),
        "enter_p95_ms": _p95(before, after, "rls_context_set_duration_ms"),
        "violations": lately.of("rls_violations_total"), "errors": lately.of("api_request_errors_total"),
        "requests": sum(lately.of("api_requests_total").values()), "series_dropped": _one(after, "metrics_series_dropped_total"),
    }  # fmt: skip
    words = f"{seen.rate:.1f} calls/s, p95 {seen.p95_ms:.0f} ms, {seen.server_errors:.2f} server errors/s, pool {_of(seen.pool_active)}/{_of(seen.pool_size)}, {_of(seen.pool_waiting)} wait"
    return Look(values, words)


class Lately(Struct, frozen=True):
    """How much counters rose in the last minutes: a total says that something happened once, not that it happens."""

    rises: dict[str, dict[str, float]]

    def of(self, metric: str) -> dict[str, float]:
        """Labels → rise, those that rose."""
        return self.rises.get(metric, {})


def recent(place: Place, before: Collected, after: Collected) -> Lately:
    """From the oldest sample that the watcher keeps (five minutes) to now; without a watcher between the two samplings alone."""
    first = _kept(place)
    rises: dict[str, dict[str, float]] = {}
    for metric in RECENT:
        since, now = _values(before, metric) | first.get(metric, {}), _values(after, metric)
        # A fall is a restart from 0.
        risen = {"/".join(k): v - since.get(k, 0.0) if v >= since.get(k, 0.0) else v for k, v in now.items()}
        rises[metric] = {labels: rise for labels, rise in risen.items() if rise > 0}
    return Lately(rises)


def _values(collected: Collected, metric: str) -> dict[tuple[str, ...], float]:
    return {s.labels: s.value for family, samples in collected.families if family.name == metric for s in samples}


def _kept(place: Place) -> dict[str, dict[tuple[str, ...], float]]:
    """The oldest sample of each series in the watcher's file, if that was written lately; labels in the metric's own order.

    A series that began later than the file's oldest sample began at 0: its first event is a rise too.
    """
    from tenantry.ops.alerts.evaluator import Memory as Samples
    from tenantry.ops.incidents.book import Book
    from tenantry.ops.incidents.steady import boot_id

    memory = Book(place.home).read()
    if memory is None or time.time() - Book(place.home).path.stat().st_mtime > STALE_SECONDS:
        return {}
    try:
        kept = msgspec.json.decode(memory.evaluator, type=Samples)
    except msgspec.DecodeError:
        return {}
    wanted: list[tuple[str, dict[str, str], list[tuple[float, float]]]] = []
    since = time.monotonic() - WINDOW_SECONDS * place.settings.tick / 15.0 if kept.boot == boot_id() else -math.inf
    for metric, labels, is_over, values in kept.samples:
        if metric in RECENT and values and not is_over:
            wanted.append((metric, labels, [v for v in values if v[0] >= since] or values[-1:]))
    oldest = min((values[0][0] for _, _, values in wanted), default=0.0)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for metric, labels, values in wanted:
        key = tuple(labels[name] for name in BY_NAME[metric].labels if name in labels)
        found.setdefault(metric, {})[key] = values[0][1] if values[0][0] <= oldest + place.settings.tick / 2 else 0.0
    return found


def _one(collected: Collected, metric: str) -> float:
    """The sum of a counter."""
    return sum(s.value for family, samples in collected.families if family.name == metric for s in samples)


def _p95(before: Collected, after: Collected, metric: str) -> float | None:
    """Of a histogram without labels between the two samplings; None where nothing happened."""
    cells = [
        next((s.cells for f, samples in c.families if f.name == metric for s in samples), None) for c in (before, after)
    ]
    was, now = cells
    if now is None:
        return None
    buckets = len(BY_NAME[metric].bounds) + 1
    rises = [n - o for n, o in zip(now[:buckets], (was or [0.0] * len(now))[:buckets], strict=True)]
    if sum(rises) <= 0 or min(rises) < 0:
        return None
    from tenantry.ops.metrics.summary import quantile

    return quantile(0.95, BY_NAME[metric].bounds, rises, now[buckets + 1])


def _of(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.0f}"


async def _lately(place: Place) -> Look:
    """What rose in the last minutes, at one look: on a machine that has no time for two."""
    from tenantry.ops.metrics import Slots, collect

    folder = place.home / "run"
    if not folder.is_dir():
        why = "nothing was ever served here"
        raise NotApplicable(why)
    slots = Slots(folder)
    try:
        now = await asyncio.to_thread(collect, slots)
    finally:
        slots.close()
    lately = recent(place, now, now)
    violations, errors = lately.of("rls_violations_total"), lately.of("api_request_errors_total")
    words = [f"{name}: {n:.0f}" for name, n in sorted({**violations, **errors}.items())]
    return Look(
        {"violations": violations, "errors": errors}, "\n".join(words[:20]) or "nothing was refused, nothing failed"
    )


LATELY = Probe("recent-counts", "tenantry alerts explain RLSViolations; tenantry alerts explain HighErrorRate", _lately)
COUNTS = Probe("counts", "tenantry top --once", _counts, 3.5)
