"""From two samplings to the figures between them. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from msgspec import Struct, field

from tenantry.ops.incidents import Incident
from tenantry.ops.metrics import Collected, Sample
from tenantry.ops.metrics.summary import quantile
from tenantry.ops.tenants import Noisiest
from tenantry.signals import BY_NAME

HISTORY = 120
"""Points of the curves: two minutes at a second each."""
STATUS = ("healthy", "degraded", "unhealthy")


class Procedure(Struct, frozen=True):
    """One procedure between the samplings: calls a second, errors a second, p95 in ms, and seconds of work a second."""

    path: str
    rate: float
    errors: float
    p95_ms: float
    load: float


class Statement(Struct, frozen=True):
    """One statement by the server's own count: who sends it, calls, mean and total ms."""

    text: str
    calls: int
    mean_ms: float
    total_ms: float


class View(Struct, frozen=True):
    """Everything that is drawn. None is what is not known."""

    service: str
    uptime_seconds: float
    rate: float
    error_share: float
    server_errors: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    status: str | None
    database_ms: float | None
    pool_active: float | None
    pool_size: float | None
    pool_waiting: float | None
    memory_share: float | None
    lag_ms: float | None
    cpu: float
    procedures: tuple[Procedure, ...]
    statements: tuple[Statement, ...] = ()
    firing: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] = ()
    violations: float = 0.0
    noisiest: tuple[Noisiest, ...] = ()


class Tops(Struct):
    """The curves: the last points of rate and p95."""

    rates: deque[float] = field(default_factory=lambda: deque[float](maxlen=HISTORY))
    p95s: deque[float] = field(default_factory=lambda: deque[float](maxlen=HISTORY))

    def add(self, seen: View) -> None:
        """One more point."""
        self.rates.append(seen.rate)
        self.p95s.append(seen.p95_ms)


def _samples(collected: Collected, metric: str) -> dict[tuple[str, ...], Sample]:
    for family, samples in collected.families:
        if family.name == metric:
            return {sample.labels: sample for sample in samples}
    return {}


def _rises(before: Collected, after: Collected, metric: str) -> dict[tuple[str, ...], float]:
    """How much each counter rose; one that fell began anew."""
    old = _samples(before, metric)
    rises: dict[tuple[str, ...], float] = {}
    for labels, sample in _samples(after, metric).items():
        was = old[labels].value if labels in old else 0.0
        rises[labels] = sample.value - was if sample.value >= was else sample.value
    return rises


def _gauge(collected: Collected, metric: str) -> float | None:
    found = _samples(collected, metric).get(())
    return None if found is None or math.isnan(found.value) else found.value


def view(
    before: Collected,
    after: Collected,
    seconds: float,
    now: float,
    *,
    service: str,
    firing: Sequence[str] = (),
    incidents: Sequence[Incident] = (),
    statements: Sequence[Statement] = (),
    noisiest: Sequence[Noisiest] = (),
) -> View:
    """The figures of the `seconds` between two samplings; `now` is Unix time, for the uptime."""
    seconds = max(seconds, 1e-3)
    calls = _rises(before, after, "api_requests_total")
    errors = _rises(before, after, "api_request_errors_total")
    family = BY_NAME["api_request_duration_seconds"]
    buckets = len(family.bounds) + 1
    old = _samples(before, family.name)
    whole = [0.0] * buckets
    largest = 0.0
    procedures: list[Procedure] = []
    rates: dict[str, float] = {}
    for labels, rise in calls.items():
        rates[labels[0]] = rates.get(labels[0], 0.0) + rise / seconds
    failed: dict[str, float] = {}
    for labels, rise in errors.items():
        failed[labels[0]] = failed.get(labels[0], 0.0) + rise / seconds
    for labels, sample in _samples(after, family.name).items():
        was = old[labels].cells if labels in old else [0.0] * (buckets + 2)
        if was[buckets - 1] > sample.cells[buckets - 1]:
            was = [0.0] * (buckets + 2)
        rise_of = [new - one for new, one in zip(sample.cells[:buckets], was[:buckets], strict=True)]
        whole = [a + b for a, b in zip(whole, rise_of, strict=True)]
        largest = max(largest, sample.cells[buckets + 1])
        if rates.get(labels[0]):
            p95 = quantile(0.95, family.bounds, rise_of, sample.cells[buckets + 1]) * 1000
            load = (sample.cells[buckets] - was[buckets]) / seconds
            procedures.append(Procedure(labels[0], rates[labels[0]], failed.get(labels[0], 0.0), p95, load))
    rate = sum(calls.values()) / seconds
    error_rate = sum(errors.values()) / seconds
    p50, p95, p99 = (quantile(q, family.bounds, whole, largest) * 1000 for q in (0.5, 0.95, 0.99))
    status = _gauge(after, "health_status")
    lag = _gauge(after, "loop_lag_seconds")
    return View(
        service=service,
        uptime_seconds=max(0.0, now - after.started),
        rate=rate,
        error_share=error_rate / rate if rate else 0.0,
        server_errors=sum(rise for labels, rise in errors.items() if labels[2] == "server") / seconds,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        status=None if status is None else STATUS[min(2, int(status))],
        database_ms=_gauge(after, "db_response_time_ms"),
        pool_active=_gauge(after, "db_connections_active"),
        pool_size=_gauge(after, "db_connections_max"),
        pool_waiting=_gauge(after, "db_connections_waiting"),
        memory_share=_gauge(after, "process_memory_utilization_ratio"),
        lag_ms=None if lag is None else lag * 1000,
        cpu=sum(_rises(before, after, "process_cpu_seconds_total").values()) / seconds,
        procedures=tuple(sorted(procedures, key=lambda p: (-p.load, p.path))),
        statements=tuple(statements),
        firing=tuple(firing),
        incidents=tuple(incidents),
        violations=sum(_rises(before, after, "rls_violations_total").values()) / seconds * 60,
        noisiest=tuple(noisiest),
    )
