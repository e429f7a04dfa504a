"""The same rules for those who run Prometheus, Alertmanager and Grafana: as YAML and JSON, from the entries of `rules.py`.

What is exported gives the same transitions as the watcher for the same samples; the cases are run through both.
"""

from __future__ import annotations

from typing import Any

from tenantry.ops.alerts.evaluator import TICK_SECONDS
from tenantry.ops.alerts.limits import Limits
from tenantry.ops.alerts.rules import MINUTE, RULES, WINDOW, Rule


class _Number(float):
    """A threshold in a template: `{ratio}` is 0.05, `{ratio:percent}` is 5."""

    def __format__(self, spec: str) -> str:
        return f"{self * 100:.6g}" if spec == "percent" else f"{float(self):.15g}"

    __str__ = __repr__ = lambda self: format(self, "")


def duration(seconds: float) -> str:
    """As Prometheus writes it: 30s, 1m, 1500ms."""
    if seconds >= MINUTE and seconds % MINUTE == 0:
        return f"{seconds / MINUTE:.0f}m"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"


def filled(template: str, rule: Rule, limits: Limits, *, job: str, tick_seconds: float) -> str:
    """A template of the rule with its thresholds, job and durations."""
    scale = tick_seconds / TICK_SECONDS
    numbers = {name: _Number(value) for name, value in limits[rule.name].items()}
    # So many scrapes fit between the first and the last failed one, and ten seconds of grace for the next.
    scrapes = int(numbers.get("failures", _Number(3))) + 1
    return template.format(
        job=job, window=duration(WINDOW * scale), minute=duration(MINUTE * scale), scrapes=scrapes,
        scrapes_window=duration((scrapes - 1 + 1 / 3) * TICK_SECONDS * scale), **numbers,
    )  # fmt: skip


def prometheus(
    limits: Limits, *, job: str = "platform-api", service: str = "platform-api", tick_seconds: float = TICK_SECONDS,
    with_more: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Rules for Prometheus 2.42 and later. `with_more` adds what is not of the runbook's nine."""

    def one(rule: Rule) -> dict[str, Any]:
        scale = tick_seconds / TICK_SECONDS
        made: dict[str, Any] = {
            "alert": rule.name,
            "expr": filled(rule.promql, rule, limits, job=job, tick_seconds=tick_seconds),
        }
        if rule.hold_seconds:
            made["for"] = duration(rule.hold_seconds * scale)
        if rule.keep_seconds:
            made["keep_firing_for"] = duration(rule.keep_seconds * scale)
        made["labels"] = {"severity": rule.severity, "service": service, "section": rule.section}
        made["annotations"] = {
            "summary": filled(rule.summary, rule, limits, job=job, tick_seconds=tick_seconds),
            "description": filled(rule.description, rule, limits, job=job, tick_seconds=tick_seconds),
            "runbook": rule.runbook,
        }
        return made

    every = duration(tick_seconds)
    rules = [rule for rule in RULES if rule.is_of_the_runbook]
    groups: list[dict[str, Any]] = [
        {
            "name": f"tenantry-{severity}",
            "interval": every,
            "rules": [one(rule) for rule in rules if rule.severity == severity],
        }
        for severity in ("critical", "warning")
    ]
    if with_more:
        more = [one(rule) for rule in RULES if not rule.is_of_the_runbook]
        groups.append({"name": "tenantry-more", "interval": every, "rules": more})
    watchdog = {
        "alert": "Watchdog",
        "expr": "vector(1)",
        "labels": {"severity": "none", "service": service},
        "annotations": {"summary": "The alert chain is alive"},
    }
    groups.append({"name": "tenantry-meta", "interval": every, "rules": [watchdog]})
    return {"groups": groups}


def _slack(name: str, channel: str, title: str) -> dict[str, Any]:
    text = (
        "{{ range .Alerts }}{{ .Annotations.summary }}: {{ .Annotations.description }} ({{ .Annotations.runbook }})"
        '{{ "\\n" }}{{ end }}'
    )
    return {
        "name": name,
        "slack_configs": [{"channel": channel, "send_resolved": True, "title": title, "text": text}],
    }


def alertmanager(heartbeat_url: str | None = None) -> dict[str, Any]:
    """Routing for Alertmanager 0.25 and later. Secrets come from files, never from here."""
    page = {"group_by": ["service"], "group_wait": "10s", "group_interval": "1m", "repeat_interval": "1h"}
    critical = ["severity = critical"]
    details = {"runbook": "{{ range .Alerts.Firing }}{{ .Annotations.runbook }}; {{ end }}"}
    return {
        "global": {"resolve_timeout": "5m", "slack_api_url_file": "/etc/tenantry/slack_url"},
        "route": {
            "receiver": "slack-warning",
            "group_by": ["service", "alertname"],
            "group_wait": "30s",
            "group_interval": "1m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": ["alertname = Watchdog"], "receiver": "dead-mans-switch", "group_wait": "0s",
                    "group_interval": "1m", "repeat_interval": "1m",
                },
                {"matchers": critical, "receiver": "pagerduty-l1", **page, "continue": True},
                {"matchers": critical, "receiver": "slack-critical", **page},
                {"matchers": ["severity = warning"], "receiver": "slack-warning"},
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ["alertname = DatabaseUnavailable"],
                "target_matchers": [
                    "severity = warning", 'alertname =~ "DatabaseSlow|ConnectionPoolHigh|HealthDegraded"',
                ],
                "equal": ["service"],
            },
            {
                "source_matchers": ["alertname = HealthCheckFailing"],
                "target_matchers": ["alertname = HealthDegraded"],
                "equal": ["service"],
            },
        ],
        "receivers": [
            {
                "name": "pagerduty-l1",
                "pagerduty_configs": [
                    {
                        "routing_key_file": "/etc/tenantry/pagerduty_key",
                        "send_resolved": True,
                        "severity": "critical",
                        "description": (
                            "{{ .CommonLabels.service }}: {{ range .Alerts.Firing }}{{ .Labels.alertname }} {{ end }}"
                        ),
                        "details": details,
                    }
                ],
            },
            _slack("slack-critical", "#platform-critical", "{{ .Status | toUpper }} {{ .CommonLabels.service }}"),
            _slack("slack-warning", "#platform-alerts", "{{ .Status | toUpper }} {{ .CommonLabels.alertname }}"),
            {
                "name": "dead-mans-switch",
                "webhook_configs": [
                    {"url": heartbeat_url or "https://watch.example.com/platform-api", "send_resolved": False}
                ],
            },
        ],
    }  # fmt: skip


_PANELS = (
    ("Requests per second", "reqps", 'sum by (procedure) (rate(api_requests_total{{job="{job}"}}[1m]))', "{{procedure}}"),
    ("Server errors, share of requests", "percentunit",
     'sum(rate(api_request_errors_total{{job="{job}",kind="server"}}[5m])) / sum(rate(api_requests_total{{job="{job}"}}[5m]))', ""),
    ("Response time p95", "s",
     'histogram_quantile(0.95, sum by (le) (rate(api_request_duration_seconds_bucket{{job="{job}"}}[5m])))', "p95"),
    ("Database response time", "ms", 'max(db_response_time_ms{{job="{job}"}})', "health check"),
    ("Connection pool", "percentunit", 'max(db_pool_utilization_ratio{{job="{job}"}})', "fullest worker"),
    ("Waiting for a connection", "short", 'sum(db_connections_waiting{{job="{job}"}})', "requests"),
    ("Memory, share of the limit", "percentunit", 'max(process_memory_utilization_ratio{{job="{job}"}})', "biggest process"),
    ("RLS violations a minute", "short", 'sum by (table) (increase(rls_violations_total{{job="{job}"}}[1m]))', "{{table}}"),
    ("Health (0 healthy, 1 degraded, 2 unhealthy)", "short", 'max(health_status{{job="{job}"}})', "status"),
    ("Alerts firing", "short", 'ALERTS{{job="{job}",alertstate="firing"}}', "{{alertname}}"),
)  # fmt: skip


def grafana(*, job: str = "platform-api") -> dict[str, Any]:
    """A dashboard (schema 39, Grafana 10 and later): import it, and choose the Prometheus data source."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels: list[dict[str, Any]] = [
        {
            "id": number + 1, "type": "timeseries", "title": title, "datasource": source,
            "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": "A", "datasource": source, "expr": query.format(job=job), "legendFormat": legend or "__auto"}
            ],
        }
        for number, (title, unit, query, legend) in enumerate(_PANELS)
    ]  # fmt: skip
    return {
        "title": "Tenantry", "uid": "tenantry", "schemaVersion": 39, "version": 1, "refresh": "15s", "tags": ["tenantry"],
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]},
        "panels": panels,
    }  # fmt: skip
