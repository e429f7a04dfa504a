"""From stores to samples: counts summed over live and ended processes, gauges by their rule over live ones. Pure."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from tenantry.ops.metrics.slots import Counts, Key, Slots
from tenantry.signals import FAMILIES, Family, Store

VERSION = "0.1.0"


class Sample(Struct, frozen=True):
    """One series at one moment. `cells` are its value; of a histogram the cumulative buckets, the sum and the largest."""

    labels: tuple[str, ...]
    cells: list[float]

    @property
    def value(self) -> float:
        """A counter's or gauge's value."""
        return self.cells[0]


class Collected(Struct, frozen=True):
    """All families that have samples, in the order of `FAMILIES`, and since when was counted (Unix time)."""

    families: list[tuple[Family, list[Sample]]]
    started: float


def collect(slots: Slots) -> Collected:
    """What a scrape of this service says now."""
    counts, alive, started = slots.read()
    return gather(counts, alive, started)


def gather(counts: Counts, alive: Sequence[Store], started: float) -> Collected:
    """Put counts and gauges under their families."""
    by_family: dict[str, list[Sample]] = {}
    for key, cells in counts.items():
        by_family.setdefault(key[0], []).append(Sample(key[1:], cells))
    families: list[tuple[Family, list[Sample]]] = []
    for family in FAMILIES:
        if family.is_own:
            continue
        if family.kind == "gauge":
            samples = _gauge(family, alive, started)
        else:
            samples = by_family.get(family.name, [])
            if family.kind == "histogram":
                samples = [_cumulative(family, sample) for sample in samples]
        if samples:
            families.append((family, samples))
    return Collected(families, started)


def _gauge(family: Family, alive: Sequence[Store], started: float) -> list[Sample]:
    if family.name == "process_start_time_seconds":
        return [Sample((), [started])]
    if family.name == "build_info":
        return [Sample((VERSION, platform.python_version()), [1.0])]
    value = over(family, alive)
    return [] if math.isnan(value) else [Sample((), [value])]


def over(family: Family, alive: Sequence[Store]) -> float:
    """A gauge over the live processes by its rule; NaN when none knows it."""
    if family.rule == "newest":
        return newest(family.name, alive)
    values = [value for store in alive if not math.isnan(value := store.gauge(family.name))]
    if not values:
        return math.nan
    return sum(values) if family.rule == "sum" else max(values) if family.rule == "max" else min(values)


def newest(name: str, alive: Sequence[Store]) -> float:
    """What the process that probed last says."""
    probed = [store for store in alive if not math.isnan(store.gauge("_probe_seconds"))]
    if not probed:
        return math.nan
    return max(probed, key=lambda store: store.gauge("_probe_seconds")).gauge(name)


def _cumulative(family: Family, sample: Sample) -> Sample:
    buckets = len(family.bounds) + 1
    cells = sample.cells
    return Sample(sample.labels, [*accumulate(cells[:buckets]), *cells[buckets:]])


def by_key(collected: Collected) -> dict[Key, Sample]:
    """Samples by (metric, *label values), for those who ask for a few."""
    return {(family.name, *sample.labels): sample for family, samples in collected.families for sample in samples}
