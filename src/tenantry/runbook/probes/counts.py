"""What the processes of this installation count: out of their mapped files, so also when none of them answers."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place
from tenantry.signals import BY_NAME

if TYPE_CHECKING:
    from tenantry.ops.metrics import Collected

SECONDS = 2.0
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
    import time

    seen = view(before, after, SECONDS, time.time(), service=place.settings.service)
    slots.close()
    violations = {
        sample.labels: sample.value
        for family, samples in after.families
        if family.name == "rls_violations_total"
        for sample in samples
    }
    errors = {
        sample.labels: sample.value
        for family, samples in after.families
        if family.name == "api_request_errors_total"
        for sample in samples
    }
    values: dict[str, Any] = {
        "rate": seen.rate, "p95_ms": seen.p95_ms, "server_errors": seen.server_errors, "pool_active": seen.pool_active,
        "pool_size": seen.pool_size, "pool_waiting": seen.pool_waiting, "memory": seen.memory_share, "lag_ms": seen.lag_ms,
        "procedures": [{"path": p.path, "rate": p.rate, "p95_ms": p.p95_ms, "errors": p.errors, "load": p.load} for p in seen.procedures[:20]],
        "series_dropped": _one(after, "metrics_series_dropped_total"), "restarts": _one(after, "worker_restarts_total"),
        "enter_p95_ms": _p95(before, after, "rls_context_set_duration_ms"),
        "violations": {"/".join(k): v for k, v in violations.items() if v},
        "errors": {"/".join(k): v for k, v in errors.items() if v},
    }  # fmt: skip
    words = f"{seen.rate:.1f} calls/s, p95 {seen.p95_ms:.0f} ms, {seen.server_errors:.2f} server errors/s, pool {_of(seen.pool_active)}/{_of(seen.pool_size)}, {_of(seen.pool_waiting)} wait"
    return Look(values, words)


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


COUNTS = Probe("counts", "tenantry top --once", _counts, 3.5)
