"""Nights with a clock of their own: desk, on-call list and outbox together. Who is paged, by which channel, at which minute."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from tenantry.ops.alerts import RULES, Verdict
from tenantry.ops.incidents import LEVELS, Desk, Level
from tenantry.ops.incidents.silence import make
from tenantry.ops.notify import Channel, Oncall, Outbox
from tenantry.ops.notify.oncall import parse
from tenantry.ops.notify.routing import route

M = 60
DOWN = "DatabaseUnavailable"


class Night:
    """From a moment on, second by second. `taken` is what became of each message: (minute, channel, why)."""

    def __init__(
        self, oncall: str = "", given: dict[Level, str] | None = None, *, begins: str = "2026-11-25T02:00:00+00:00"
    ) -> None:
        numbers = itertools.count(1)
        self.desk = Desk(RULES, service="api", new_id=lambda: f"inc-{next(numbers)}")
        self.oncall = parse(oncall, "oncall.toml") if oncall else Oncall()
        self.levels = {level: [Channel.of(url) for url in (given or {}).get(level, "").split()] for level in LEVELS}
        self.readers = [Channel.of("read://slack")]
        self.outbox = Outbox()
        self.begins = datetime.fromisoformat(begins).timestamp()
        self.second = 0
        self.firing: set[str] = {DOWN}
        self.broken: set[str] = set()
        self.names: dict[str, str] = {}
        self.taken: list[tuple[float, str, str]] = []

    def until(self, minute: float) -> Night:
        while self.second < minute * M:
            now = self.begins + self.second
            verdicts = {rule.name: Verdict("firing" if rule.name in self.firing else "inactive") for rule in RULES}
            for notice in self.desk.tick(now, verdicts):
                at = datetime.fromtimestamp(now, timezone.utc)
                found = route(
                    notice, self.readers, self.levels, self.oncall, at, {"SET": "env://set", "BAD": "nothing"}
                )
                self.names.update({channel.name: channel.url.reveal() for channel in found})
                self.outbox.add(notice, [channel.name for channel in found], now)
            for sending in self.outbox.due(now):
                url = self.names[sending.channel]
                if url not in self.broken:
                    self.taken.append((self.second // 30 / 2, url, sending.notice.why))
                self.outbox.tried(sending, is_taken=url not in self.broken, now=now)
            self.second += 1
        return self

    def pages(self) -> list[tuple[float, str, str]]:
        return [one for one in self.taken if one[1] != "read://slack"]


PEOPLE = """
[people.ann]
urls = ["page://ann"]
[people.ben]
urls = ["page://ben"]
[people.eve]
urls = ["$UNSET", "$BAD"]
[people.fay]
urls = []
[people.gil]
urls = ["$UNSET", "$SET"]
"""
LEVELS_123: dict[Level, str] = {"L1": "page://one", "L2": "page://two", "L3": "page://three"}


def level(name: str, *people: str, zone: str = "UTC", begins: str = "2026-01-05T09:00:00") -> str:
    return f"[levels.{name}]\npeople = {list(people)}\nfrom = {begins}\nzone = '{zone}'\n"


def override(person: str, begins: str, until: str, zone: str = "UTC") -> str:
    return f"[[overrides]]\nlevel = 'L1'\nperson = '{person}'\nfrom = {begins}\nuntil = {until}\nzone = '{zone}'\n"


# ------------------------------------------------------------------ the clocks


def test_each_level_is_paged_by_its_own_channel_at_its_time():
    night = Night(given=LEVELS_123).until(66)
    assert night.pages() == [
        (0, "page://one", "first"), (5, "page://one", "again"), (10, "page://one", "again"), (15, "page://two", "escalated"),
        (45, "page://three", "escalated"), (50, "page://three", "escalated"), (55, "page://three", "escalated"),
        (60, "page://three", "escalated"), (65, "page://three", "escalated"),
    ]  # fmt: skip


@pytest.mark.parametrize("minute", [1, 7, 20, 47])
def test_an_acknowledgement_stops_the_clocks_whenever_it_comes(minute: int):
    night = Night(given=LEVELS_123).until(minute)
    before = len(night.pages())
    assert night.desk.acknowledge("inc-1", "ann", night.begins + night.second)
    night.until(80)
    # The target of an hour stands, unless L2 has it already.
    after = [] if minute > 15 else [(60, "page://two", "target")]
    assert night.pages()[before:] == after


def test_what_is_given_back_goes_on_where_the_clock_is():
    night = Night(given=LEVELS_123).until(2)
    now = night.begins + night.second
    assert not night.desk.unacknowledge("inc-1", "ann", now)
    assert night.desk.acknowledge("inc-1", "ann", now)
    night.until(20)
    assert night.desk.unacknowledge("inc-1", "ann", night.begins + night.second)
    night.until(46)
    assert night.pages() == [
        (0, "page://one", "first"),
        (20, "page://two", "escalated"),
        (45, "page://three", "escalated"),
    ]
    assert night.desk.acknowledge("inc-1", "ben", night.begins + night.second)


def test_everyone_who_was_paged_hears_of_the_end_and_nobody_else():
    night = Night(given=LEVELS_123).until(16)
    night.firing = set()
    night.until(17)
    assert [url for _, url, why in night.taken if why == "resolved"] == ["page://one", "page://two", "read://slack"]


# ------------------------------------------------------------------ who


@pytest.mark.parametrize(
    ("oncall", "given", "who"),
    [
        pytest.param("", {}, [], id="nobody at all"),
        pytest.param("", {"L2": "page://two"}, ["page://two"], id="L1 is empty: the next level"),
        pytest.param("", {"L3": "page://three"}, ["page://three"], id="two levels are empty"),
        pytest.param(PEOPLE + level("L1", "ann"), LEVELS_123, ["page://ann"], id="a person comes before the level's own"),
        pytest.param(PEOPLE + level("L1", "fay"), LEVELS_123, ["page://one"], id="a person without a channel"),
        pytest.param(PEOPLE + level("L1", "eve"), LEVELS_123, ["page://one"], id="a person whose channel is not set, or no URL"),
        pytest.param(PEOPLE + level("L1", "fay"), {"L2": "page://two"}, ["page://two"], id="without a channel, and the level has none"),
        pytest.param(PEOPLE + level("L1", "gil"), {}, ["env://set"], id="a channel from the environment"),
        pytest.param(PEOPLE + "[levels.L1]\npeople = []\n", LEVELS_123, ["page://one"], id="nobody is on call"),
    ],
)  # fmt: skip
def test_who_gets_the_first_page(oncall: str, given: dict[Level, str], who: list[str]):
    night = Night(oncall, given).until(1)
    assert [url for _, url, _ in night.pages()] == who
    assert [url for _, url, _ in night.taken if url == "read://slack"] == ["read://slack"]


def test_beyond_the_last_level_the_ones_before_are_paged_rather_than_nobody():
    night = Night(given={"L1": "page://one"}).until(51)
    assert [(minute, url) for minute, url, _ in night.pages()][-3:] == [(15, "page://one"), (45, "page://one"), (50, "page://one")]  # fmt: skip


def test_where_nobody_is_on_call_at_the_moment_of_the_next_page_that_counts():
    """The list is asked at each page, not at the beginning: a hand-over in the night is one."""
    oncall = PEOPLE + level("L1", "ann", "ben", begins="2026-11-18T02:04:00")
    night = Night(oncall, {}).until(11)
    assert [url for _, url, _ in night.pages()] == ["page://ann", "page://ben", "page://ben"]


def at(oncall: str, moment: str) -> str | None:
    return parse(oncall, "oncall.toml").person("L1", datetime.fromisoformat(moment))


BERLIN = PEOPLE + level("L1", "ann", zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("begins", "until", "zone", "moments"),
    [
        # The clock jumps from 2:00 to 3:00 on 2026-03-29: what begins at 2:30 begins at 1:30 UTC, and three hours are two.
        ("2026-03-29T01:30:00", "2026-03-29T04:30:00", "Europe/Berlin", {"00:29": "ann", "00:30": "ben", "02:29": "ben", "02:30": "ann"}),
        ("2026-03-29T02:30:00", "2026-03-29T04:30:00", "Europe/Berlin", {"01:29": "ann", "01:30": "ben", "02:29": "ben", "02:30": "ann"}),
        # On 2026-10-25 the hour from 2:00 comes twice; of a moment in it the first is meant.
        ("2026-10-25T01:30:00", "2026-10-25T03:30:00", "Europe/Berlin", {"23:30": "ben", "01:30": "ben", "02:29": "ben", "02:30": "ann"}),
        ("2026-10-25T02:30:00", "2026-10-25T03:30:00", "Europe/Berlin", {"00:29": "ann", "00:30": "ben", "02:29": "ben", "02:30": "ann"}),
        # Half an hour off, and without summer time.
        ("2026-06-01T09:00:00", "2026-06-01T18:00:00", "Asia/Kolkata", {"03:29": "ann", "03:30": "ben", "12:29": "ben", "12:30": "ann"}),
        # An offset of its own stands before the zone.
        ("2026-06-01T09:00:00+02:00", "2026-06-01T18:00:00+02:00", "Asia/Kolkata", {"06:59": "ann", "07:00": "ben", "16:00": "ann"}),
    ],
)  # fmt: skip
def test_an_override_holds_by_the_clock_of_its_zone(begins: str, until: str, zone: str, moments: dict[str, str]):
    oncall = BERLIN + override("ben", begins, until, zone)
    day = begins[:10]
    for moment, who in moments.items():
        before = "2026-10-24" if moment == "23:30" else day
        assert at(oncall, f"{before}T{moment}:00+00:00") == who, moment


def test_the_last_override_that_holds_counts_and_somebody_without_a_channel_falls_to_the_level():
    oncall = BERLIN + override("ben", "2026-11-25T00:00:00", "2026-11-26T00:00:00")
    oncall += override("fay", "2026-11-25T02:06:00", "2026-11-25T02:12:00")
    night = Night(oncall, {"L1": "page://one"}).until(11)
    assert [url for _, url, _ in night.pages()] == ["page://ben", "page://ben", "page://one"]


@pytest.mark.parametrize(
    ("moment", "who"),
    [("2026-10-25T07:59:59+00:00", "ann"), ("2026-10-25T08:00:00+00:00", "ben"), ("2026-10-18T06:59:59+00:00", "ben")],
)
def test_a_hand_over_at_nine_stays_at_nine_when_summer_time_ends(moment: str, who: str):
    oncall = PEOPLE + level("L1", "ann", "ben", zone="Europe/Berlin", begins="2026-10-18T09:00:00")
    assert at(oncall, moment) == who


def test_a_beginning_with_an_offset_is_a_moment():
    oncall = PEOPLE + level("L1", "ann", "ben", zone="Europe/Berlin", begins="2026-11-23T08:00:00Z")
    assert [at(oncall, f"2026-11-{day}T08:00:00+00:00") for day in ("23", "29", "30")] == ["ann", "ann", "ben"]


def test_an_override_that_ends_before_it_begins_is_faulty():
    with pytest.raises(Exception, match="ends before it begins"):
        parse(BERLIN + override("ben", "2026-11-25T09:00:00", "2026-11-25T09:00:00"), "oncall.toml")


# ------------------------------------------------------------------ channels that fail


@pytest.mark.parametrize(
    ("broken", "reached"),
    [
        ("page://a", [(1, "page://b")]),
        ("page://a page://b", [(2, "page://two")]),
        ("page://a page://b page://two", [(3, "page://three")]),
        ("page://b page://two", [(0, "page://a")]),
    ],
)
def test_a_page_goes_from_channel_to_channel_and_then_from_level_to_level(broken: str, reached: list[tuple[int, str]]):
    night = Night(given={"L1": "page://a page://b", "L2": "page://two", "L3": "page://three"})
    night.broken = set(broken.split())
    night.until(4.9)
    assert [(minute, url) for minute, url, why in night.pages() if why == "first"] == reached


def test_slack_that_is_down_delays_no_page_and_hears_of_it_when_it_is_back():
    night = Night(given=LEVELS_123)
    night.broken = {"read://slack"}
    night.until(3)
    assert night.taken == [(0, "page://one", "first")]
    night.broken = set()
    night.until(4.9)
    assert night.taken[1:] == [(3, "read://slack", "first")]


def test_whoever_got_the_page_in_place_of_another_hears_of_the_end():
    night = Night(given={"L1": "page://a page://b"})
    night.broken = {"page://a"}
    night.until(3)
    night.firing, night.broken = set(), set()
    night.until(4)
    assert [url for _, url, why in night.pages() if why == "resolved"] == ["page://b"]


def test_a_page_that_nobody_took_is_not_sent_after_the_end():
    night = Night(given=LEVELS_123)
    night.broken = {"page://one", "page://two", "page://three"}
    night.until(2)
    night.firing = set()
    night.until(3)
    night.broken = set()
    night.until(10)
    assert [(url, why) for _, url, why in night.taken] == [("read://slack", "first"), ("read://slack", "resolved")]


def test_whoever_was_paged_hears_of_the_end_also_after_the_hand_over():
    oncall = PEOPLE + level("L1", "ann", "ben", begins="2026-11-18T02:04:00")
    night = Night(oncall).until(3)
    night.firing = set()
    night.until(4)
    night.firing = {DOWN}
    night.until(5)  # the same incident, by now with ben
    night.firing = set()
    night.until(6)
    assert [(url, why) for _, url, why in night.pages()] == [
        ("page://ann", "first"), ("page://ann", "resolved"), ("page://ben", "first"), ("page://ann", "resolved"), ("page://ben", "resolved"),
    ]  # fmt: skip


# ------------------------------------------------------------------ silences


def silenced(night: Night, begins: float, length: str, *matchers: str) -> None:
    made = make("sil-1", list(matchers) or [f"alertname={DOWN}"], length, "ann", "known", night.begins + begins * M)
    night.desk.silences["sil-1"] = made


def test_a_silence_before_the_alert_holds_its_first_page_until_it_ends():
    night = Night(given=LEVELS_123)
    silenced(night, 0, "20m")
    night.until(26)
    assert night.pages() == [(20, "page://one", "first"), (25, "page://one", "again")]


def test_a_silence_in_the_middle_stops_the_clocks_and_its_end_pages_the_first_level_anew():
    night = Night(given=LEVELS_123).until(2)
    silenced(night, 2, "2h")
    night.until(120)
    assert night.pages() == [(0, "page://one", "first")]
    night.until(138)
    assert night.pages()[1:] == [
        (122, "page://one", "first"), (127, "page://one", "again"), (132, "page://one", "again"), (137, "page://two", "escalated"),
    ]  # fmt: skip


def test_the_end_of_a_silence_pages_nobody_who_has_it():
    night = Night(given=LEVELS_123).until(2)
    night.desk.acknowledge("inc-1", "ann", night.begins + 2 * M)
    silenced(night, 2, "20m")
    night.until(50)
    assert night.pages() == [(0, "page://one", "first")]


def test_a_silence_that_outlasts_the_alert_is_never_heard_of():
    night = Night(given=LEVELS_123)
    silenced(night, 0, "20m")
    night.until(10)
    night.firing = set()
    night.until(40)
    assert night.taken == []


@pytest.mark.parametrize("act", [lambda n: n.desk.silences.pop("sil-1"), lambda n: silenced(n, 0, "5m")], ids=["ended", "shortened"])  # fmt: skip
def test_a_silence_that_is_ended_early_ends_then(act: Callable[[Night], object]):
    night = Night(given=LEVELS_123)
    silenced(night, 0, "1h")
    night.until(5)
    act(night)
    night.until(6)
    assert night.pages() == [(5, "page://one", "first")]


def test_a_silence_of_one_critical_leaves_the_others_loud():
    night = Night(given=LEVELS_123)
    silenced(night, 0, "1h")
    night.until(3)
    night.firing.add("HighErrorRate")
    night.until(4)
    assert night.pages() == [(3, "page://one", "first")]
    assert list(night.desk.incidents["inc-1"].alerts) == ["HighErrorRate"]


def test_a_silence_begins_when_it_says():
    night = Night(given=LEVELS_123)
    silenced(night, 7, "1h")
    night.until(20)
    assert [minute for minute, _, _ in night.pages()] == [0, 5]


# ------------------------------------------------------------------ inhibition


def test_an_outage_mutes_its_children_and_they_are_no_part_of_its_page():
    night = Night(given=LEVELS_123)
    night.firing = {DOWN, "HealthDegraded", "DatabaseSlow", "ConnectionPoolHigh", "MemoryHigh"}
    night.until(3)
    titles = {incident.group: sorted(incident.alerts) for incident in night.desk.incidents.values()}
    assert titles == {"critical": [DOWN], "MemoryHigh": ["MemoryHigh"]}


def test_a_child_that_was_told_of_before_is_not_told_of_again_when_its_parent_ends():
    night = Night(given=LEVELS_123)
    night.firing = {"DatabaseSlow"}
    night.until(2)
    night.firing = {"DatabaseSlow", DOWN}
    night.until(6)
    night.firing = {"DatabaseSlow"}
    night.until(12)
    told = [(minute, why) for minute, url, why in night.taken if url == "read://slack"]
    assert told == [(0.5, "first"), (2, "first"), (6, "resolved")]
