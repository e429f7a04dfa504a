"""Which channel is tried when, and what a restart sends."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from tenantry.ops.incidents import Notice
from tenantry.ops.notify import Channel, OncallFaulty, Outbox, channels, empty_levels
from tenantry.ops.notify.channel import addressed
from tenantry.ops.notify.oncall import parse


def notice(key: str = "i1/0/first/L1/0", *, level: str | None = "L1", is_over: bool = False) -> Notice:
    return Notice(key, "i1", "first", "critical", ("memory-leaks",), level, "title", "body", is_over)  # type: ignore[arg-type]


def tries(outbox: Outbox, seconds: int, taken: dict[str, int] | None = None) -> list[tuple[int, str]]:
    """(second, channel) of every try; `taken` says from which second on a channel takes messages."""
    found: list[tuple[int, str]] = []
    for now in range(seconds):
        for sending in outbox.due(float(now)):
            found.append((now, sending.channel))
            outbox.tried(sending, is_taken=now >= (taken or {}).get(sending.channel, 10**9), now=float(now))
    return found


def test_a_failing_channel_is_tried_after_5_15_45_and_then_each_minute_for_an_hour():
    outbox = Outbox()
    outbox.add(notice(level=None), ["slack"], 0.0)
    seconds = [at for at, _ in tries(outbox, 4000)]
    assert seconds[:6] == [0, 5, 20, 65, 125, 185]
    assert 3500 < seconds[-1] <= 3600
    assert outbox.deliveries == {}
    assert outbox.dropped == 1


def test_a_page_that_is_not_out_in_60_s_goes_to_the_next_channel_and_then_to_the_next_level():
    outbox = Outbox()
    outbox.add(notice(), ["l1-a", "l1-b", "l2-a"], 0.0)
    found = tries(outbox, 130, {"l2-a": 0})
    assert [(at, channel) for at, channel in found if channel != "l1-a"] == [
        (60, "l1-b"),
        (65, "l1-b"),
        (80, "l1-b"),
        (120, "l2-a"),
    ]
    assert outbox.deliveries == {}
    assert outbox.reached == {"i1": ["l2-a"]}


def test_a_page_that_goes_out_goes_to_one_channel():
    outbox = Outbox()
    outbox.add(notice(), ["l1-a", "l1-b"], 0.0)
    assert tries(outbox, 200, {"l1-a": 0}) == [(0, "l1-a")]


def test_what_is_read_along_goes_to_each_channel_and_none_waits_for_another():
    outbox = Outbox()
    outbox.add(notice(level=None), ["dead", "alive"], 0.0)
    assert (0, "alive") in tries(outbox, 3, {"alive": 0})
    assert len(outbox.deliveries) == 1


def test_the_end_goes_to_whoever_took_the_page():
    outbox = Outbox()
    outbox.add(notice(), ["l1-a", "l1-b"], 0.0)
    tries(outbox, 70, {"l1-b": 0})
    outbox.add(notice("i1/0/resolved/L1/end", is_over=True), ["l1-a", "l1-b"], 100.0)
    assert [sending.channel for sending in outbox.due(100.0)] == ["l1-b"]


def test_the_same_message_is_not_sent_twice():
    outbox = Outbox()
    outbox.add(notice(), ["a"], 0.0)
    tries(outbox, 2, {"a": 0})
    outbox.add(notice(), ["a"], 5.0)
    assert outbox.due(5.0) == []


def test_a_channel_that_is_being_tried_is_not_tried_again_meanwhile():
    outbox = Outbox()
    outbox.add(notice(), ["a"], 0.0)
    assert len(outbox.due(0.0)) == 1
    assert outbox.due(30.0) == []
    outbox.restarted()
    assert len(outbox.due(30.0)) == 1


def test_the_outbox_is_bounded():
    outbox = Outbox()
    for number in range(1500):
        outbox.add(notice(f"k{number}"), ["a"], 0.0)
    assert len(outbox.deliveries) == 1000
    assert outbox.dropped == 500


def test_channels_are_read_with_their_filters():
    found = channels("[warning memory-leaks] json://127.0.0.1:1/a, slack://x/y/z pagerduty://k@a")
    assert [channel.only for channel in found] == [{"warning", "memory-leaks"}, frozenset(), frozenset()]
    assert found[0].takes("warning", ["memory-leaks"])
    assert not found[0].takes("critical", ["memory-leaks"])
    assert not found[0].takes("warning", ["health-check-failures"])
    assert found[1].takes("critical", [])
    assert "x/y/z" not in repr(found)


def test_pagerduty_is_told_which_incident_it_is():
    assert addressed(Channel.of("pagerduty://k@a"), "i1") == "pagerduty://k@a?action=map&dedup=i1"
    assert addressed(Channel.of("pagerduty://k@a?region=eu"), "i1") == "pagerduty://k@a?region=eu&action=map&dedup=i1"
    assert addressed(Channel.of("json://x"), "i1") == "json://x"


ONCALL = """
[people.ann]
urls = ["json://a"]
[people.ben]
urls = ["$BEN_URL"]
[levels.L1]
people = ["ann", "ben"]
from = 2026-03-23T09:00:00
zone = "Europe/Berlin"
[[overrides]]
level = "L1"
person = "ben"
from = 2026-03-24T09:00:00Z
until = 2026-03-25T09:00:00Z
"""


@pytest.mark.parametrize(
    ("at", "who"),
    [
        ("2026-03-23T08:00:00+00:00", "ann"),  # 09:00 in winter time
        ("2026-03-23T07:59:59+00:00", "ben"),  # the turn before
        ("2026-03-24T10:00:00+00:00", "ben"),  # the override
        ("2026-03-25T10:00:00+00:00", "ann"),
        ("2026-03-30T06:59:59+00:00", "ann"),  # the hand-over stays at nine in summer time
        ("2026-03-30T07:00:00+00:00", "ben"),
    ],
)
def test_a_rotation_hands_over_by_the_wall_clock_of_its_zone(at: str, who: str):
    assert parse(ONCALL, "oncall.toml").person("L1", datetime.fromisoformat(at)) == who


def test_a_persons_url_may_come_from_the_environment_and_an_empty_level_is_known():
    oncall = parse(ONCALL, "oncall.toml")
    now = datetime(2026, 3, 24, 10, tzinfo=timezone.utc)
    assert oncall.channels("L1", now, {"BEN_URL": "json://b"})[0].url.reveal() == "json://b"
    assert empty_levels(oncall, {"L3": [Channel.of("json://c")]}, now, {}) == ["L1", "L2"]


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('people = ["ann", "ben"]', 'people = ["ann", "eve"]'), ('zone = "Europe/Berlin"', 'zone = "Europe/Atlantis"'),
        ('urls = ["json://a"]', 'urls = ["nowhere"]'), ('level = "L1"', 'level = "L9"'), ("[people.ann]", "[people.ann"),
        ('zone = "Europe/Berlin"', "days = 0"), ('urls = ["json://a"]', 'url = "json://a"'),
    ],
)  # fmt: skip
def test_a_faulty_list_says_what_is_wrong(was: str, becomes: str):
    with pytest.raises(OncallFaulty):
        parse(ONCALL.replace(was, becomes), "oncall.toml")
