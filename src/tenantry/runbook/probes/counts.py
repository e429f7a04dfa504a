"""What the processes of this installation count: out of their mapped files, so also when none of them answers."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place

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
        "violations": {"/".join(k): v for k, v in violations.items() if v},
        "errors": {"/".join(k): v for k, v in errors.items() if v},
    }  # fmt: skip
    words = f"{seen.rate:.1f} calls/s, p95 {seen.p95_ms:.0f} ms, {seen.server_errors:.2f} server errors/s, pool {_of(seen.pool_active)}/{_of(seen.pool_size)}, {_of(seen.pool_waiting)} wait"
    return Look(values, words)


def _of(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.0f}"


COUNTS = Probe("counts", "tenantry top --once", _counts, 4.0)
