"""What the rules look at, out of the counts of all processes: from the mapped files, so also of workers that hang or are dead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tenantry.ops.alerts import Series
from tenantry.ops.alerts.rules import METRICS
from tenantry.ops.metrics import Collected, Slots, collect
from tenantry.ops.metrics.exposition import number

BOUNDS = frozenset({"0.5", "1", "2.5", "+Inf"})
"""Of a histogram: the bounds that rules ask about, one above, and all. Whether a quantile is above 1 s is the same by these as by
all sixteen, and it is a quarter of the memory."""


def series_of(collected: Collected) -> dict[Series, float | None]:
    """Every series of the metrics that rules name; a histogram as its cumulative buckets and its count."""
    found: dict[Series, float | None] = {}
    for family, samples in collected.families:
        if family.kind != "histogram":
            if family.name in METRICS:
                for sample in samples:
                    found[Series.of(family.name, dict(zip(family.labels, sample.labels, strict=True)))] = sample.value
            continue
        if f"{family.name}_count" not in METRICS:
            continue
        bounds = [*(number(bound, is_open=False) for bound in family.bounds), "+Inf"]
        for sample in samples:
            labels = dict(zip(family.labels, sample.labels, strict=True))
            for bound, value in zip(bounds, sample.cells, strict=False):
                if bound in BOUNDS:
                    found[Series.of(f"{family.name}_bucket", {**labels, "le": bound})] = value
            found[Series.of(f"{family.name}_count", labels)] = sample.cells[len(bounds) - 1]
    return found


class Sampler:
    """Reads the run directory each time it is called; off the loop, since files may be slow."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    async def __call__(self) -> Mapping[Series, float | None]:
        """The samples of now; of a process that is gone there are its counts, and no gauges."""
        return series_of(await asyncio.to_thread(collect, self.slots))
