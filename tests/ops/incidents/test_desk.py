"""From alerts to pages: tables of what is sent at which second."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tenantry.ops.alerts import RULES, Verdict
from tenantry.ops.incidents import Desk, Notice, SilenceFaulty
from tenantry.ops.incidents.silence import make


class Night:
    """A desk with a clock: what was sent, as (second, why, level)."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.desk = Desk(RULES, service="platform-api", new_id=lambda: f"i{next(numbers)}")
        self.now = 0.0
        self.firing: set[str] = set()
        self.notices: list[Notice] = []
        self.sent: list[tuple[int, str, str | None]] = []

    def until(self, second: float) -> Night:
        while self.now < second:
            verdicts = {r.name: Verdict("firing" if r.name in self.firing else "inactive", value=7.0) for r in RULES}
            for notice in self.desk.tick(self.now, verdicts):
                self.notices.append(notice)
                self.sent.append((int(self.now), notice.why, notice.level))
            self.now += 1
        return self

    def pages(self) -> list[tuple[int, str, str]]:
        return [(at, why, level) for at, why, level in self.sent if level is not None]


M = 60


def test_a_critical_that_nobody_takes_climbs_by_the_runbooks_clocks():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(62 * M)
    assert night.pages() == [
        (10, "first", "L1"),
        (5 * M + 10, "again", "L1"),
        (10 * M + 10, "again", "L1"),
        (15 * M + 10, "escalated", "L2"),
        (45 * M + 10, "escalated", "L3"),
        (50 * M + 10, "escalated", "L3"),
        (55 * M + 10, "escalated", "L3"),
        (60 * M + 10, "escalated", "L3"),
    ]


def test_an_acknowledgement_stops_all_but_the_target_of_an_hour():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(2 * M)
    assert night.desk.acknowledge("i1", "ann", night.now)
    assert not night.desk.acknowledge("i1", "ben", night.now)
    night.until(70 * M)
    assert night.pages() == [(10, "first", "L1"), (60 * M + 10, "target", "L2")]


def test_a_resolve_stops_all_clocks_and_tells_everyone_who_was_paged():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(20 * M)
    night.firing = set()
    night.until(120 * M)
    assert night.pages()[-2:] == [(15 * M + 10, "escalated", "L2"), (20 * M, "resolved", "L1")]
    assert night.notices[-1].title == "RESOLVED platform-api: DatabaseUnavailable"
    assert "Over after 20 min" in night.notices[-1].body


def test_what_is_over_before_the_first_message_is_not_told_of():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(8)
    night.firing = set()
    night.until(5 * M)
    assert night.sent == []


def test_criticals_share_an_incident_and_a_later_one_is_an_update_and_no_page():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(90)
    night.firing.add("HighErrorRate")
    night.until(4 * M)
    assert night.pages() == [(10, "first", "L1")]
    assert [(at, why) for at, why, level in night.sent if level is None] == [(10, "first"), (90, "changed")]
    assert "HighErrorRate" in night.notices[-1].body


def test_changes_are_told_at_most_once_a_minute():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(20)
    night.firing.add("HighErrorRate")
    night.until(25)
    night.firing.add("HighLatencyP95")
    night.until(200)
    assert [at for at, why, _ in night.sent if why == "changed"] == [70]


def test_a_new_critical_in_an_acknowledged_incident_pages_again():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(60)
    night.desk.acknowledge("i1", "ann", night.now)
    night.firing.add("HighErrorRate")
    night.until(6 * M + 30)
    assert night.pages() == [(10, "first", "L1"), (70, "first", "L1"), (70 + 5 * M, "again", "L1")]


def test_within_ten_minutes_it_is_the_same_incident_and_pages_again():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(60)
    night.firing = set()
    night.until(9 * M)
    night.firing = {"DatabaseUnavailable"}
    night.until(10 * M)
    assert list(night.desk.incidents) == ["i1"]
    assert [(why, level) for _, why, level in night.pages()] == [("first", "L1"), ("resolved", "L1"), ("first", "L1")]
    night.firing = set()
    night.until(21 * M)
    night.firing = {"DatabaseUnavailable"}
    night.until(22 * M)
    assert list(night.desk.incidents) == ["i1", "i2"]


def test_a_warning_is_only_read_along_once_in_twelve_hours():
    night = Night()
    night.firing = {"MemoryHigh", "HealthDegraded"}
    night.until(13 * 60 * M)
    assert night.pages() == []
    assert [(at, why) for at, why, _ in night.sent] == [(30, "first")] * 2 + [(30 + 12 * 60 * M, "again")] * 2


@pytest.mark.parametrize(
    ("loud", "quiet"),
    [("DatabaseUnavailable", n) for n in ("HealthDegraded", "DatabaseSlow", "ConnectionPoolHigh")] + [("HealthCheckFailing", "HealthDegraded")],
)  # fmt: skip
def test_an_alert_that_another_one_says_better_is_muted_and_told_of_when_it_outlasts_it(loud: str, quiet: str):
    night = Night()
    night.firing = {loud, quiet}
    night.until(5 * M)
    assert {notice.title for notice in night.notices} == {f"CRITICAL platform-api: {loud}"}
    night.firing = {quiet}
    night.until(6 * M)
    assert night.notices[-1].title == f"WARNING platform-api: {quiet}"


@pytest.mark.parametrize(("kind", "levels"), [("corruption", "L1 L2"), ("rls_breach", "L1 L2"), ("security", "L1 L2 L3"), ("data_breach", "L1 L2 L3")])  # fmt: skip
def test_kinds_that_a_person_opens_page_further_at_once(kind: Any, levels: str):
    night = Night()
    night.desk.open(kind, "ann", "a laptop was stolen", 0.0)
    night.until(1)
    assert night.pages() == [(0, "first", level) for level in levels.split()]
    assert "a laptop was stolen" in night.notices[0].body


def test_a_silence_stops_the_telling_and_what_still_fires_afterwards_is_told_of():
    night = Night()
    night.desk.silences["s"] = make("s", ["alertname=MemoryHigh"], "10m", "ann", "resizing", 0.0)
    night.firing = {"MemoryHigh"}
    night.until(10 * M)
    assert night.sent == []
    night.until(11 * M)
    assert [(at, why) for at, why, _ in night.sent] == [(10 * M + 30, "first")]


def test_a_silence_during_an_incident_stops_its_clocks():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(60)
    night.desk.silences["s"] = make("s", ["severity=critical"], "2h", "ann", "known", 60.0)
    night.until(50 * M)
    assert night.pages() == [(10, "first", "L1")]


def test_a_restart_in_between_sends_nothing_twice_and_loses_no_clock():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(7 * M)
    after = Night()
    after.desk.incidents, after.now, after.firing = night.desk.incidents, 30 * M, night.firing
    after.until(31 * M)
    assert after.pages() == [(30 * M, "escalated", "L2")]


def test_no_key_is_given_out_twice():
    night = Night()
    for minute in range(0, 200, 7):
        night.firing ^= {"DatabaseUnavailable"} if minute % 2 else {"HighErrorRate", "MemoryHigh"}
        night.until(minute * M)
    keys = [notice.key for notice in night.notices]
    assert len(keys) == len(set(keys)) > 10


def test_a_page_says_all_that_one_needs_to_begin():
    night = Night()
    night.firing = {"DatabaseUnavailable"}
    night.until(12)
    page = night.notices[0]
    assert page.title == "CRITICAL platform-api: DatabaseUnavailable"
    assert page.body.splitlines() == [
        "Since 00:00:00 UTC (10 s).",
        "Hurts: everyone; no request that needs data succeeds.",
        "- DatabaseUnavailable: the database has not answered for a minute or more",
        "Take it: tenantry incident ack i1 --by YOU",
        "Find the cause: tenantry doctor database-connection-issues",
        "Runbook: database-connection-issues",
        "Incident i1",
    ]
    assert len(page.body) < 500


@pytest.mark.parametrize(
    ("matchers", "length", "by", "why"),
    [
        ([], "1h", "ann", "x"), (["alertname"], "1h", "ann", "x"), (["color=red"], "1h", "ann", "x"), (["alertname=~("], "1h", "ann", "x"),
        (["alertname=A"], "8d", "ann", "x"), (["alertname=A"], "0s", "ann", "x"), (["alertname=A"], "soon", "ann", "x"),
        (["alertname=A"], "1h", " ", "x"), (["alertname=A"], "1h", "ann", ""),
    ],
)  # fmt: skip
def test_a_silence_has_matchers_an_end_a_person_and_a_reason(matchers: list[str], length: str, by: str, why: str):
    with pytest.raises(SilenceFaulty):
        make("s", matchers, length, by, why, 0.0)


@pytest.mark.parametrize(
    ("matchers", "is_muted"),
    [
        (["alertname=MemoryHigh"], True), (["alertname!=MemoryHigh"], False), (['alertname=~"Memory.*"'], True),
        (["alertname=~Memory"], False), (["severity=warning", "section=memory-leaks"], True), (["severity=critical"], False),
        (["alertname!~Health.*"], True),
    ],
)  # fmt: skip
def test_matchers_hold_as_alertmanagers_do(matchers: list[str], is_muted: bool):
    night = Night()
    silence = make("s", matchers, "1h", "ann", "x", 0.0)
    assert silence.mutes(night.desk.labels("MemoryHigh"), 5.0) is is_muted
    assert not silence.mutes(night.desk.labels("MemoryHigh"), 3600.0)
    assert not silence.mutes({"alertname": "Watchdog"}, 5.0)
