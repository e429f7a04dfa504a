"""Increases and quantiles of counters: as the watcher reckons them, and as Prometheus does, operation for operation. Pure.

The watcher counts what it saw (`rises`): the sum of rises between the samples in a window, nothing reckoned beyond them. PromQL's
`increase` carries the rise on to the window's edges where samples are missing or a series has just begun, by `extrapolatedRate` (here
`increase`; promql/functions.go and promql/quantile.go of Prometheus 2.42): eight violations and one missed scrape are 10.67 there,
and a share of exactly 5 % may come out above it in the last bit. With a sample at each tick since before the window both are the same.
`tenantry alerts replay --prometheus` tells what Prometheus would say; the sums are made in its order for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

Increase = Callable[[Sequence[tuple[float, float]], float, float], float | None]
"""Of a counter's samples in a window, its start and its end."""
NEAR = 1.1
"""Mean distances between samples: an edge that is nearer than this is one that the series goes on to."""


def rises(samples: Sequence[tuple[float, float]], start: float, end: float) -> float | None:
    """How much a counter rose between the first and the last of its samples; None with fewer than two.

    A fall counts as a restart from 0.
    """
    if len(samples) < 2:
        return None
    rise = 0.0
    before = samples[0][1]
    for _, value in samples[1:]:
        rise += value - before if value >= before else value
        before = value
    return rise


def increase(samples: Sequence[tuple[float, float]], start: float, end: float) -> float | None:
    """PromQL's `increase` over [start, end], of the (time, value) there, oldest first; None with fewer than two.

    No counter is carried back to before it was 0.
    """
    if len(samples) < 2:
        return None
    first, last = samples[0], samples[-1]
    rise = last[1] - first[1]
    before = first[1]
    for _, value in samples[1:]:
        if value < before:
            rise += before
        before = value
    to_start, to_end = max(0.0, first[0] - start), max(0.0, end - last[0])
    sampled = last[0] - first[0]
    mean = sampled / (len(samples) - 1)
    if rise > 0 and first[1] >= 0:
        to_start = min(to_start, sampled * (first[1] / rise))
    covered = sampled
    covered += to_start if to_start < mean * NEAR else mean / 2
    covered += to_end if to_end < mean * NEAR else mean / 2
    return rise * (covered / sampled)


def total(values: Iterable[float]) -> float:
    """A sum, one after the other: `sum` of Python 3.12 and later rounds better, and so otherwise than Prometheus."""
    whole = 0.0
    for value in values:
        whole += value
    return whole


def quantile(q: float, buckets: Mapping[str, float]) -> float | None:
    """The quantile of cumulative counts by upper bound (`le`); None where there is no data, or no bucket `+Inf`.

    Within a bucket it lies where an even spread would have it; beyond the last finite bound it is that bound.
    """
    merged: dict[float, float] = {}
    for le, count in buckets.items():
        try:
            bound = float(le)
        except ValueError:
            continue
        merged[bound] = merged.get(bound, 0.0) + count
    bounds = sorted(merged)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return None
    counts: list[float] = []
    for bound in bounds:
        counts.append(max(merged[bound], counts[-1]) if counts else merged[bound])
    if counts[-1] == 0:
        return None
    rank = q * counts[-1]
    place = next((n for n, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if place == len(counts) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    below, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return below + (bounds[place] - below) * ((rank - before) / (counts[place] - before))
