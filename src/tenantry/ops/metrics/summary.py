"""Samples as JSON for people and `jq`: `health.metrics`. No raw values; what a histogram says in figures stands beside it. Pure."""

from __future__ import annotations

from typing import Any

from tenantry.ops.metrics.collect import Collected, Sample
from tenantry.ops.metrics.exposition import key_of, number
from tenantry.signals import Family


def summary(collected: Collected) -> dict[str, dict[str, Any]]:
    """Every series by `name` or `name{a="x"}`: `{type, value, labels}`, or a histogram's own shape."""
    return {
        key_of(family, sample): _histogram(family, sample) if family.kind == "histogram" else _simple(family, sample)
        for family, samples in collected.families
        for sample in samples
    }


def _simple(family: Family, sample: Sample) -> dict[str, Any]:
    value = sample.value
    return {
        "type": family.kind,
        "value": int(value) if value.is_integer() else value,
        "labels": dict(zip(family.labels, sample.labels, strict=True)),
    }


def _histogram(family: Family, sample: Sample) -> dict[str, Any]:
    buckets = len(family.bounds) + 1
    cumulative, total, largest = sample.cells[:buckets], sample.cells[buckets], sample.cells[buckets + 1]
    count = int(cumulative[-1])
    bounds = [*(number(bound, is_open=False) for bound in family.bounds), "+Inf"]
    quantiles = {f"p{q}": quantile(q / 100, family.bounds, cumulative, largest) for q in (50, 95, 99)}
    return {
        "type": "histogram",
        "labels": dict(zip(family.labels, sample.labels, strict=True)),
        "count": count,
        "sum": total,
        "buckets": dict(zip(bounds, map(int, cumulative), strict=True)),
        "stats": {"count": count, "sum": total, "mean": total / count if count else 0.0, **quantiles, "max": largest},
    }


def quantile(q: float, bounds: tuple[float, ...], cumulative: list[float], largest: float) -> float:
    """Estimated within its bucket, evenly spread as Prometheus does; never above the largest value seen."""
    wanted = q * cumulative[-1]
    if not cumulative[-1]:
        return 0.0
    below, before = 0.0, 0.0
    for bound, count in zip(bounds, cumulative, strict=False):
        if count >= wanted and count > before:
            return min(largest, below + (bound - below) * (wanted - before) / (count - before))
        below, before = bound, count
    return largest
