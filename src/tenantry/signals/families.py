"""Every metric: one line each, with its name, labels and meaning. This is the only place to add one.

Names are the runbook's and OpenTelemetry's words; label values come from closed sets, never a tenant, user, address, path or
SQL. `docs/reference/metrics.md` is written from this table. A family whose name begins with `_` is this house's own note from
one process to the others (a heartbeat, say) and is not exported.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Literal, get_args

from msgspec import Struct

from tenantry.errors import TrpcCode

OTHER = "_other"
"""The label of everything that has no series of its own."""

NOT_TIMED = "subscription"
"""The type of procedure whose calls are counted, and whose durations are not."""

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the request histogram: OpenTelemetry's, and 0.2 for those who alert at 200 ms; beyond is +Inf."""

STATEMENT_MS = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 10000.0)
"""Upper bounds of the database's histograms; beyond is +Inf."""

OPERATIONS = ("select", "insert", "update", "delete", "merge", "with", "values", "table")
"""The first keyword of a statement: all that a handler's SQL may begin with."""
OUTCOMES = ("ok", "error", "timeout", "lost")
"""Of a statement: answered; refused by PostgreSQL; stopped by its deadline or cancelled; its connection went."""
REFUSALS = ("queue_full", "waited_too_long", "tenant_rate", "tenant_budget")
"""Why a request was turned away before it had a connection."""
CODES: frozenset[str] = frozenset(get_args(TrpcCode))
SERVER_CODES = frozenset(
    {"INTERNAL_SERVER_ERROR", "NOT_IMPLEMENTED", "BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT", "TIMEOUT"}
)
"""5xx, and TIMEOUT, which is a deadline of ours: what counts as the server's fault (`kind="server"`)."""

Kind = Literal["counter", "gauge", "histogram"]
Rule = Literal["sum", "max", "min", "newest"]


class Family(Struct, frozen=True):
    """One metric. `rule` says what a gauge is over the processes; `fixed` are the label values that exist at 0 from the start."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    rule: Rule = "sum"
    bounds: tuple[float, ...] = ()
    fixed: tuple[tuple[str, ...], ...] = ()
    counts: str = ""
    """Of a counter: the histogram with the same first label, whose observations it counts beside its own."""

    @property
    def width(self) -> int:
        """Cells that one series takes: of a histogram a count for each bucket (not cumulative), the sum and the largest."""
        return len(self.bounds) + 3 if self.kind == "histogram" else 1

    @property
    def is_own(self) -> bool:
        """Whether it is a note between processes, and not exported."""
        return self.name.startswith("_")


_ONE: tuple[tuple[str, ...], ...] = ((),)


def _counter(
    name: str, says: str, *labels: str, unit: str = "", fixed: Iterable[tuple[str, ...]] | None = None, counts: str = ""
) -> Family:
    return Family(
        name,
        "counter",
        says,
        labels,
        unit,
        fixed=_ONE if not labels else tuple(fixed or ((OTHER,) * len(labels),)),
        counts=counts,
    )


def _gauge(name: str, says: str, rule: Rule, unit: str = "") -> Family:
    return Family(name, "gauge", says, (), unit, rule, fixed=_ONE)


def _histogram(
    name: str, says: str, unit: str, bounds: tuple[float, ...], *labels: str, fixed: Iterable[tuple[str, ...]] = _ONE
) -> Family:
    return Family(name, "histogram", says, labels, unit, bounds=bounds, fixed=tuple(fixed))


FAMILIES: tuple[Family, ...] = (
    _counter("api_requests_total", "Finished calls; each call of a batch is one; health.* is not counted.", "procedure", "type",
             counts="api_request_duration_seconds"),
    _histogram(
        "api_request_duration_seconds", "Time of a call from parsed to answered; subscriptions are not in it.", "seconds",
        REQUEST_SECONDS, "procedure", fixed=[(OTHER,)],
    ),
    _counter(
        "api_request_errors_total", "Calls that failed, by tRPC code; kind is server for 5xx and TIMEOUT, else client.",
        "procedure", "code", "kind", fixed=[(OTHER, OTHER, "client"), (OTHER, OTHER, "server")],
    ),
    _histogram(
        "db_query_duration_ms", "Time of a statement's trip to PostgreSQL and back, as the worker sees it.", "ms",
        STATEMENT_MS, "operation", "outcome", fixed=product(OPERATIONS, OUTCOMES),
    ),
    _histogram(
        "rls_context_set_duration_ms", "Time that PostgreSQL takes to enter the tenant, by its own clock; of one entering in eight.",
        "ms", STATEMENT_MS,
    ),
    _gauge("db_connections_active", "Connections of the requests' pools in use.", "sum"),
    _gauge("db_connections_idle", "Connections of the requests' pools that are open and free.", "sum"),
    _gauge("db_connections_max", "Connections that the requests' pools may open.", "sum"),
    _gauge("db_connections_waiting", "Requests that wait for a connection.", "sum"),
    _gauge(
        "db_pool_utilization_ratio", "Part of a pool in use, sampled each second, mean of the last tick; the fullest worker.",
        "max", "ratio",
    ),
    _counter("db_pool_timeouts_total", "Requests that gave up waiting for a connection, or found the queue full."),
    _counter(
        "db_requests_refused_total",
        "Requests turned away before they reached the database: no room in the queue, waited too long, or over their tenant's bounds.",
        "cause", fixed=[(cause,) for cause in REFUSALS],
    ),
    _counter(
        "rls_violations_total", "Rows that a policy refused, by table and the statement's first keyword.", "table", "operation"
    ),
    _counter("error_total", "Errors logged, by the room that logged them and their stable code.", "module", "code"),
    _gauge("health_status", "The last probe: 0 healthy, 1 degraded, 2 unhealthy.", "newest"),
    _gauge("health_check_consecutive_failures", "Probes in a row that were unhealthy or failed.", "newest"),
    _gauge("db_up", "Whether the last probe found the database well: 0 or 1.", "newest"),
    _gauge("db_response_time_ms", "How long the database took to answer the last probe, or the deadline.", "newest", "ms"),
    _gauge("loop_lag_seconds", "How late the event loop was at its last beat; the latest worker.", "max", "seconds"),
    _gauge("process_memory_utilization_ratio", "Resident memory over its limit; the biggest process.", "max", "ratio"),
    _counter("worker_restarts_total", "Workers that were replaced because they had died, hung or grown too big."),
    _gauge("alerts_firing", "Alerts that fire, muted and silenced ones too.", "max"),
    _counter(
        "notifications_total", "Tries to give a message to a channel; outcome is sent or failed.", "channel", "outcome",
        fixed=[(OTHER, "sent"), (OTHER, "failed")],
    ),
    _counter("heartbeat_sent_total", "Beats that the dead man's switch took."),
    _counter("metrics_series_dropped_total", "Events counted as _other because there was no room for one more series."),
    _counter("log_lines_dropped_total", "Lines of the log that were given up because their reader was too slow."),
    _counter("process_cpu_seconds_total", "CPU time of all processes.", unit="seconds"),
    _gauge("process_resident_memory_bytes", "Resident memory of all processes.", "sum", "bytes"),
    _gauge("process_virtual_memory_bytes", "Virtual memory of all processes.", "sum", "bytes"),
    _gauge("process_open_fds", "Open file descriptors of all processes.", "sum"),
    _gauge("process_max_fds", "File descriptors that one process may open.", "min"),
    Family("process_start_time_seconds", "gauge", "When counting began, in Unix time.", unit="seconds", rule="max"),
    Family("build_info", "gauge", "Always 1; the labels say what runs.", ("version", "python"), rule="max"),
    Family(
        "auth_provider_up", "gauge", "Whether a sign-in provider answered well when it was last asked: 0 or 1; by its id.",
        ("provider",), rule="min",
    ),
    # Notes between processes. Times are CLOCK_MONOTONIC, which all processes of a machine share.
    _gauge("_heartbeat_ns", "When the event loop of a worker last turned.", "min"),
    _gauge("_probe_seconds", "When this process last probed.", "max"),
    _gauge("_given_up_seconds", "When a request last gave up waiting for a connection.", "max"),
    _gauge("_pool_used_ratio", "Part of the pool in use, mean of the last second.", "max"),
    _gauge("_worst_lag_ms", "The latest that a beat was in the last tick.", "max"),
    _gauge("_is_draining", "Whether this worker takes no new requests.", "min"),
    _gauge("_memory_limit_bytes", "The limit that the process is measured by.", "min"),
)  # fmt: skip

BY_NAME = {family.name: family for family in FAMILIES}
