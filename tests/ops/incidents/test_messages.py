"""What somebody reads who was woken: every alert's line, short enough for a telephone, true at the moment it is sent."""

from __future__ import annotations

import pytest

from tenantry.ops.alerts import RULES, Verdict, named
from tenantry.ops.incidents import Desk, Entry, Notice
from tenantry.ops.incidents.messages import HURTS, SEEN, shortened, summary
from tenantry.ops.notify import Channel
from tenantry.ops.notify.channel import addressed

PAGERDUTY_TAKES = 1024
CRITICALS = [rule.name for rule in RULES if rule.severity == "critical"]


def told(seconds: int, verdicts: dict[str, Verdict], causes: list[str] | None = None) -> list[Notice]:
    desk = Desk(RULES, service="platform-api", new_id=lambda: "inc-1a2b3c4d")
    notices: list[Notice] = []
    for second in range(seconds):
        notices += desk.tick(1_764_000_000.0 + second, verdicts)
        if second == 5:
            for incident in desk.incidents.values():
                incident.timeline += [Entry(1_764_000_005.0, "doctor", "cause", cause) for cause in causes or []]
    return notices


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("HealthCheckFailing", 4.0, "4 health checks in a row failed"),
        ("DatabaseUnavailable", 0.0, "the database has not answered for a minute or more"),
        ("HighErrorRate", 0.1234, "12.3 % of requests failed by a fault of ours, of the last 5 minutes"),
        ("HighErrorRate", 1.0, "100 % of requests failed by a fault of ours, of the last 5 minutes"),
        ("HighLatencyP95", 0.88, "12 % of requests took over a second, of the last 5 minutes"),
        ("HealthDegraded", 1.0, "the health check says degraded"),
        ("DatabaseSlow", 141.2, "the database takes 141 ms to answer its check"),
        ("ConnectionPoolHigh", 0.9, "the fullest worker's pool is at 90 %"),
        ("MemoryHigh", 0.834, "the biggest worker is at 83.4 % of its limit"),
        ("RLSViolations", 14.0, "policies refused 14 rows in a minute"),
        ("LatencyElevated", 0.91, "9 % of requests took over half a second, of the last 5 minutes"),
    ],
)
def test_what_was_seen_is_a_sentence_with_the_value_of_now(name: str, value: float, line: str):
    (rule,) = [rule for rule in RULES if rule.name == name]
    assert summary(rule, value) == line
    page = told(40, {name: Verdict("firing", value=value)})[0]
    assert f"- {name}: {line}" in page.body.splitlines()
    assert page.title == f"{rule.severity.upper()} platform-api: {name}"
    assert len(page.body) < 500


def test_every_alert_says_what_and_whom():
    assert set(HURTS) == set(SEEN) == {rule.name for rule in RULES}


def test_the_longest_page_is_one_that_pagerduty_takes():
    """apprise makes the title the first line of what PagerDuty has as its summary."""
    cause = "the connection pool is held by statements that wait for a lock, " * 9 + " -> tenantry doctor --fix --approve end-blockers --by NAME"  # fmt: skip
    notices = told(16 * 60, {name: Verdict("firing", value=0.123) for name in CRITICALS}, [cause] * 3)
    for notice in notices:
        assert len(notice.title) + 1 + len(notice.body) < PAGERDUTY_TAKES, notice.body
    assert "… -> tenantry doctor --fix --approve end-blockers --by NAME" in notices[-1].body


@pytest.mark.parametrize(("cause", "whole"), [("short", True), ("x" * 220, True), ("x" * 221, False), ("x" * 200 + " -> " + "y" * 300, False)])  # fmt: skip
def test_a_cause_is_cut_where_a_telephone_ends(cause: str, whole: bool):
    assert len(shortened(cause)) <= 220
    assert (shortened(cause) == cause) is whole


def test_a_later_message_has_the_value_of_then_and_none_of_the_quiet_before_the_end():
    desk = Desk(RULES, service="platform-api", new_id=lambda: "inc-1")
    told: list[Notice] = []
    for second in range(6 * 60):
        value = 4.0 + second // 15
        told += desk.tick(float(second), {"HealthCheckFailing": Verdict("firing", value=value)})
    assert "- HealthCheckFailing: 24 health checks in a row failed" in told[-1].body  # at 310 s
    desk.tick(361.0, {"HealthCheckFailing": Verdict("firing", false_since=361.0, value=0.0)})
    assert desk.incidents["inc-1"].alerts["HealthCheckFailing"].summary == "27 health checks in a row failed"


def test_the_end_says_how_long_what_it_was_and_who_had_it():
    desk = Desk(RULES, service="platform-api", new_id=lambda: "inc-1")
    firing = {"DatabaseUnavailable": Verdict("firing", value=0.0)}
    for second in range(20):
        desk.tick(float(second), firing)
    desk.acknowledge("inc-1", "ann", 20.0)
    desk.incidents["inc-1"].timeline += [
        Entry(30.0, "doctor", "cause", "PostgreSQL is stopped -> systemctl start postgresql"),
        Entry(40.0, "ben", "remedy", "systemctl start postgresql"),
    ]
    (page, _) = desk.tick(300.0, {})
    assert (page.title, page.is_over) == ("RESOLVED platform-api: DatabaseUnavailable", True)
    assert page.body.splitlines() == [
        "Over after 5 min (00:00:00 UTC to 00:05:00 UTC).",
        "By itself.",
        "ann had it.",
        "cause: PostgreSQL is stopped -> systemctl start postgresql (doctor)",
        "remedy: systemctl start postgresql (ben)",
        "Incident inc-1",
    ]


def test_pagerduty_has_one_key_for_beginning_and_end():
    url = addressed(Channel.of("pagerduty://key@api"), "inc-1")
    assert url.endswith("?action=map&dedup=inc-1")
    assert named("highlatencyp95") is not None
