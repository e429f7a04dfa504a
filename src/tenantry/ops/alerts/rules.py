"""The nine alerts of the runbook, and `LatencyElevated`, as data: a new alert is one entry here.

Each has its condition twice: as a function over samples, for the watcher, and in PromQL, for those who run Prometheus; the same
cases are run through both. A condition tells whether it is true and the value that it looked at. No data is false.
Thresholds can be set (`tenantry alerts set HighErrorRate.ratio=0.02`), and the export follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from tenantry.ops.alerts import promql
from tenantry.ops.alerts.history import History

Severity = Literal["critical", "warning"]
MINUTE = 60.0
WINDOW = 5 * MINUTE


class Reading(Struct, frozen=True):
    """What a condition saw: whether it is true, and the value, None without data."""

    is_true: bool
    value: float | None


NO_DATA = Reading(False, None)
Condition = Callable[[History, float, Mapping[str, float]], Reading]


class Threshold(Struct, frozen=True):
    """A number that may be set: its default, its bounds, and what it is."""

    default: float
    says: str
    least: float = 0.0
    most: float = 1e9


class Rule(Struct, frozen=True):
    """One alert. `hold_seconds` true before it fires, both ends counted; `keep_seconds` false before it is over."""

    name: str
    severity: Severity
    section: str
    """Slug of the runbook's section."""
    hold_seconds: float
    keep_seconds: float
    thresholds: dict[str, Threshold]
    condition: Condition
    promql: str
    """With {job} and the thresholds by name in braces; braces of PromQL's own are doubled."""
    words: str
    """The runbook's words."""
    summary: str
    description: str
    """Prometheus' template of the annotation."""
    runbook: str
    unit: Literal["", "ratio", "seconds", "ms"] = ""
    is_of_the_runbook: bool = True
    """One of the nine: LatencyElevated is not."""


def _above(metric: str, threshold: str) -> Condition:
    def condition(history: History, now: float, limits: Mapping[str, float]) -> Reading:
        value = history.largest(now, metric)
        return NO_DATA if value is None else Reading(value > limits[threshold], value)

    return condition


def _database_down(history: History, now: float, limits: Mapping[str, float]) -> Reading:
    value = history.smallest(now, "db_up")
    return NO_DATA if value is None else Reading(value == 0, value)


def _degraded(history: History, now: float, limits: Mapping[str, float]) -> Reading:
    value = history.largest(now, "health_status")
    return NO_DATA if value is None else Reading(value == 1, value)


def _database_slow(history: History, now: float, limits: Mapping[str, float]) -> Reading:
    value = history.largest(now, "db_response_time_ms")
    up = history.smallest(now, "db_up")
    return NO_DATA if value is None else Reading(up == 1 and value > limits["ms"], value)


def _error_rate(history: History, now: float, limits: Mapping[str, float]) -> Reading:
    requests = history.increase(now, WINDOW, "api_requests_total")
    errors = history.increase(now, WINDOW, "api_request_errors_total", kind="server")
    if requests is None or errors is None or requests == errors == 0:
        return NO_DATA
    # Errors whose requests are not counted yet: all of them, as PromQL's x / 0 is above every bound. 0 / 0 is no data.
    ratio = errors / requests if requests else 1.0
    is_true = (ratio > limits["ratio"] and requests >= limits["requests"]) or (
        ratio >= limits["trickle_ratio"] and errors >= limits["trickle_errors"]
    )
    return Reading(is_true, ratio)


def _slow_share(bound: float) -> Condition:
    """True by the quantile, as PromQL has it; the value is the share of requests within the bound, which says more."""

    def condition(history: History, now: float, limits: Mapping[str, float]) -> Reading:
        count = history.increase(now, WINDOW, "api_request_duration_seconds_count")
        within = history.increases(now, WINDOW, "api_request_duration_seconds_bucket", by="le")
        quantile = promql.quantile(limits["quantile"], within)
        if not count or quantile is None:
            return NO_DATA
        share = within.get(f"{bound:g}", 0.0) / (within.get("+Inf") or count)
        return Reading(quantile > bound and count >= limits["requests"], share)

    return condition


def _violations(history: History, now: float, limits: Mapping[str, float]) -> Reading:
    value = history.increase(now, MINUTE, "rls_violations_total")
    return NO_DATA if value is None else Reading(value > limits["count"], value)


_RATIO = Threshold(0.8, "above this share of the limit", most=1.0)
_REQUESTS = Threshold(20, "with at least so many requests in 5 minutes")
_QUANTILE = Threshold(0.95, "share of requests that must be within the bound", most=1.0)

RULES: tuple[Rule, ...] = (
    Rule(
        "HealthCheckFailing", "critical", "health-check-failures", 0, 30,
        {"failures": Threshold(3, "more than so many failed checks in a row")},
        _above("health_check_consecutive_failures", "failures"),
        """max by (job) (health_check_consecutive_failures{{job="{job}"}}) > {failures}
or
max by (job) (max_over_time(up{{job="{job}"}}[{scrapes_window}])) == 0
  and max by (job) (count_over_time(up{{job="{job}"}}[{scrapes_window}])) >= {scrapes}
""",
        "Health check fails for > 3 consecutive checks",
        "Health check failed more than {failures} times in a row",
        "{{{{ $labels.job }}}}: value {{{{ $value }}}} (failures in a row, or 0 = cannot be scraped).",
        "tenantry doctor health-check-failures",
    ),
    Rule(
        "DatabaseUnavailable", "critical", "database-connection-issues", MINUTE, 30, {}, _database_down,
        'min by (job) (db_up{{job="{job}"}}) == 0',
        "Database unavailable for > 1 minute",
        "Database unavailable for 1 minute",
        "{{{{ $labels.job }}}}: the database check has been down for at least 1 minute.",
        "tenantry doctor database-connection-issues",
    ),
    Rule(
        "HighErrorRate", "critical", "performance-degradation", 0, 2 * MINUTE,
        {
            "ratio": Threshold(0.05, "above this share of requests that failed by a fault of ours", most=1.0),
            "requests": _REQUESTS,
            "trickle_ratio": Threshold(0.5, "or from this share on, of a trickle of requests", most=1.0),
            "trickle_errors": Threshold(5, "with at least so many errors in 5 minutes"),
        },
        _error_rate,
        """(
  sum by (job) (increase(api_request_errors_total{{job="{job}",kind="server"}}[{window}]))
    / sum by (job) (increase(api_requests_total{{job="{job}"}}[{window}])) > {ratio}
  and sum by (job) (increase(api_requests_total{{job="{job}"}}[{window}])) >= {requests}
) or (
  sum by (job) (increase(api_request_errors_total{{job="{job}",kind="server"}}[{window}]))
    / sum by (job) (increase(api_requests_total{{job="{job}"}}[{window}])) >= {trickle_ratio}
  and sum by (job) (increase(api_request_errors_total{{job="{job}",kind="server"}}[{window}])) >= {trickle_errors}
)
""",
        "Error rate > 5 % over 5 minutes",
        "Error rate above {ratio:percent} % over 5 minutes",
        "{{{{ $labels.job }}}}: {{{{ $value | humanizePercentage }}}} of requests failed in the last 5 minutes.",
        "tenantry doctor --alert HighErrorRate",
        "ratio",
    ),
    Rule(
        "HighLatencyP95", "critical", "performance-degradation", 0, 2 * MINUTE,
        {"quantile": _QUANTILE, "requests": _REQUESTS},
        _slow_share(1),
        """histogram_quantile({quantile}, sum by (job, le) (increase(api_request_duration_seconds_bucket{{job="{job}"}}[{window}]))) > 1
and sum by (job) (increase(api_request_duration_seconds_count{{job="{job}"}}[{window}])) >= {requests}
""",
        "Response time P95 > 1000 ms over 5 minutes",
        "Response time P{quantile:percent} above 1000 ms over 5 minutes",
        "{{{{ $labels.job }}}}: p{quantile:percent} is {{{{ $value | humanizeDuration }}}}.",
        "tenantry doctor performance-degradation",
        "ratio",
    ),
    Rule(
        "HealthDegraded", "warning", "health-check-failures", 30, MINUTE, {}, _degraded,
        'max by (job) (health_status{{job="{job}"}}) == 1',
        "Health check degraded status",
        "Health check reports degraded",
        "{{{{ $labels.job }}}}: health.check answers degraded.",
        "tenantry doctor health-check-failures",
    ),
    Rule(
        "DatabaseSlow", "warning", "performance-degradation", MINUTE, MINUTE,
        {"ms": Threshold(100, "above this response time of the database's check, in milliseconds")},
        _database_slow,
        """max by (job) (db_response_time_ms{{job="{job}"}}) > {ms}
and min by (job) (db_up{{job="{job}"}}) == 1
""",
        "Database response time > 100ms",
        "Database response time above {ms} ms",
        "{{{{ $labels.job }}}}: the database check takes {{{{ $value }}}} ms.",
        "tenantry doctor performance-degradation",
        "ms",
    ),
    Rule(
        "ConnectionPoolHigh", "warning", "connection-pool-exhaustion", MINUTE, MINUTE, {"ratio": _RATIO},
        _above("db_pool_utilization_ratio", "ratio"),
        'max by (job) (db_pool_utilization_ratio{{job="{job}"}}) > {ratio}',
        "Connection pool > 80 % utilization",
        "Connection pool above {ratio:percent} %",
        "{{{{ $labels.job }}}}: the fullest worker's pool is at {{{{ $value | humanizePercentage }}}}.",
        "tenantry doctor connection-pool-exhaustion",
        "ratio",
    ),
    Rule(
        "MemoryHigh", "warning", "memory-leaks", 2 * MINUTE, 2 * MINUTE, {"ratio": _RATIO},
        _above("process_memory_utilization_ratio", "ratio"),
        'max by (job) (process_memory_utilization_ratio{{job="{job}"}}) > {ratio}',
        "Memory usage > 80 %",
        "Memory above {ratio:percent} % of the limit",
        "{{{{ $labels.job }}}}: the biggest worker is at {{{{ $value | humanizePercentage }}}} of its limit.",
        "tenantry doctor memory-leaks",
        "ratio",
    ),
    Rule(
        "RLSViolations", "warning", "rls-policy-violations", 0, MINUTE,
        {"count": Threshold(10, "more than so many rows that a policy refused, in a minute")},
        _violations,
        'sum by (job) (increase(rls_violations_total{{job="{job}"}}[{minute}])) > {count}',
        "RLS violations > 10/minute",
        "More than {count} RLS violations in a minute",
        "{{{{ $labels.job }}}}: {{{{ $value | humanize }}}} violations in the last minute.",
        "tenantry doctor rls-policy-violations",
    ),
    Rule(
        "LatencyElevated", "warning", "performance-degradation", 0, 2 * MINUTE,
        {"quantile": _QUANTILE, "requests": _REQUESTS},
        _slow_share(0.5),
        """histogram_quantile({quantile}, sum by (job, le) (increase(api_request_duration_seconds_bucket{{job="{job}"}}[{window}]))) > 0.5
and sum by (job) (increase(api_request_duration_seconds_count{{job="{job}"}}[{window}])) >= {requests}
""",
        "Set up alerts for response times > 500ms",
        "Response time P{quantile:percent} above 500 ms over 5 minutes",
        "{{{{ $labels.job }}}}: p{quantile:percent} is {{{{ $value | humanizeDuration }}}}.",
        "tenantry doctor performance-degradation",
        "ratio",
        is_of_the_runbook=False,
    ),
)  # fmt: skip

METRICS = (
    "health_check_consecutive_failures", "health_status", "db_up", "db_response_time_ms", "db_pool_utilization_ratio",
    "process_memory_utilization_ratio", "rls_violations_total", "api_requests_total", "api_request_errors_total",
    "api_request_duration_seconds_bucket", "api_request_duration_seconds_count",
)  # fmt: skip
"""What the rules look at: nothing else needs to be kept."""


def named(name: str) -> Rule | None:
    """The rule of that name (any case), or None."""
    return next((rule for rule in RULES if rule.name.lower() == name.lower()), None)
