"""Metrics: from the counts of all processes to what scrapers and people read.

`slots.py` keeps each process's counts in a mapped file and adds up those of the dead; `collect.py` makes samples of them;
`exposition.py` is their text, `summary.py` their JSON. What is counted, and when, is `tenantry.signals`.
"""

from __future__ import annotations

from tenantry.ops.metrics.collect import Collected, Sample, by_key, collect, gather, newest
from tenantry.ops.metrics.exposition import OPEN_METRICS, PLAIN, text, wants_open_metrics
from tenantry.ops.metrics.slots import Slots
from tenantry.ops.metrics.summary import summary

__all__ = [
    "OPEN_METRICS", "PLAIN", "Collected", "Sample", "Slots", "by_key", "collect", "gather", "newest", "summary", "text",
    "wants_open_metrics",
]  # fmt: skip
