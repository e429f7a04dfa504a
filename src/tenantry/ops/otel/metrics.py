"""This process's counts in OTLP's form (semantic conventions for HTTP and database clients). Pure but for the library's classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tenantry.ops.otel.requests import Requests
from tenantry.signals import BY_NAME, REQUEST_SECONDS, Store

CUMULATIVE = AggregationTemporality.CUMULATIVE
Attributes = Mapping[str, str | int]


def data(resource: Resource, store: Store, requests: Requests, began_ns: int, now_ns: int) -> MetricsData:
    """Everything, cumulative since `began_ns`."""
    made = [
        _histograms("http.server.request.duration", "s", _of_requests(requests), REQUEST_SECONDS, began_ns, now_ns),
        _sum("http.server.active_requests", "{request}", [({}, requests.active)], began_ns, now_ns, is_monotonic=False),
        _histograms("db.client.operation.duration", "s", _of_statements(store), _statement_bounds(), began_ns, now_ns),
        *_of_pool(store, began_ns, now_ns),
    ]
    scope = ScopeMetrics(InstrumentationScope("tenantry"), [metric for metric in made if metric is not None], "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _statement_bounds() -> tuple[float, ...]:
    return tuple(bound / 1000 for bound in BY_NAME["db_query_duration_ms"].bounds)


def _of_requests(requests: Requests) -> Iterable[tuple[Attributes, Sequence[int], float]]:
    for (method, route, status), (buckets, total) in list(requests.histograms.items()):
        attributes: dict[str, str | int] = {
            "http.request.method": method, "http.route": route, "http.response.status_code": status,
        }  # fmt: skip
        if status >= 500:
            attributes["error.type"] = str(status)
        yield attributes, buckets, total[0]


def _of_statements(store: Store) -> Iterable[tuple[Attributes, Sequence[int], float]]:
    family = BY_NAME["db_query_duration_ms"]
    buckets = len(family.bounds) + 1
    for place in store:
        if place.metric != family.name:
            continue
        cells = store.cells[place.at : place.at + place.width]
        counts = [int(cell) for cell in cells[:buckets]]
        if sum(counts):
            operation, outcome = place.labels
            attributes: dict[str, str | int] = {"db.system.name": "postgresql", "db.operation.name": operation}
            if outcome != "ok":
                attributes["error.type"] = outcome
            yield attributes, counts, cells[buckets] / 1000


def _of_pool(store: Store, began_ns: int, now_ns: int) -> list[Metric | None]:
    def known(metric: str) -> float | None:
        value = store.gauge(metric)
        return None if value != value else value  # noqa: PLR0124 - NaN: not known

    pool = {"db.client.connection.pool.name": "requests"}
    states = [
        ({**pool, "db.client.connection.state": state}, value)
        for state, metric in (("used", "db_connections_active"), ("idle", "db_connections_idle"))
        if (value := known(metric)) is not None
    ]
    made: list[Metric | None] = [
        _sum("db.client.connection.count", "{connection}", states, began_ns, now_ns, is_monotonic=False)
    ]
    for name, unit, metric in (
        ("db.client.connection.max", "{connection}", "db_connections_max"),
        ("db.client.connection.pending_requests", "{request}", "db_connections_waiting"),
    ):
        value = known(metric)
        made.append(_sum(name, unit, [] if value is None else [(pool, value)], began_ns, now_ns, is_monotonic=False))
    timeouts = store.gauge("db_pool_timeouts_total")
    made.append(
        _sum("db.client.connection.timeouts", "{timeout}", [(pool, timeouts)], began_ns, now_ns, is_monotonic=True)
    )
    return made


def _sum(
    name: str, unit: str, points: Sequence[tuple[Attributes, float]], began_ns: int, now_ns: int, *, is_monotonic: bool
) -> Metric | None:
    if not points:
        return None
    made = [NumberDataPoint(dict(attributes), began_ns, now_ns, int(value)) for attributes, value in points]
    return Metric(name, "", unit, Sum(made, CUMULATIVE, is_monotonic))


def _histograms(
    name: str,
    unit: str,
    series: Iterable[tuple[Attributes, Sequence[int], float]],
    bounds: Sequence[float],
    began_ns: int,
    now_ns: int,
) -> Metric | None:
    made: list[Any] = [
        HistogramDataPoint(dict(attributes), began_ns, now_ns, sum(counts), total, list(counts), list(bounds), 0.0, 0.0)
        for attributes, counts, total in series
    ]
    return Metric(name, "", unit, Histogram(made, CUMULATIVE)) if made else None
