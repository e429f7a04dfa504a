"""Alerts over time: what a restart, a reboot, a suspended machine and another tick do to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.ops.alerts import RULES, Evaluator, Series, named
from tenantry.ops.alerts.judge import Verdict, judge
from tenantry.ops.alerts.rules import Reading

DOWN = {Series.of("db_up"): 0.0}
UP = {Series.of("db_up"): 1.0}


def told(evaluator: Evaluator, now: float, values: dict[Series, float | None] | None) -> list[tuple[str, str]]:
    return [(change.alert, change.to) for change in evaluator.tick(now, values)]


def test_a_restart_neither_pages_again_nor_forgets_the_end():
    first = Evaluator()
    for step in range(5):
        changes = told(first, 15.0 * step, DOWN)
    assert changes == [("DatabaseUnavailable", "firing")]
    second = Evaluator()
    assert second.load(first.dump(boot="a", monotonic=60.0, wall=1000.0), boot="a", monotonic=70.0, wall=1010.0)
    assert told(second, 75.0, DOWN) == []
    assert [told(second, 90.0 + 15 * n, UP) for n in range(3)] == [[], [], [("DatabaseUnavailable", "inactive")]]


def test_the_clocks_go_on_over_a_restart_and_over_a_reboot():
    first = Evaluator()
    assert told(first, 5000.0, DOWN) == [("DatabaseUnavailable", "pending")]
    dumped = first.dump(boot="a", monotonic=5000.0, wall=1000.0)
    rebooted = Evaluator()
    assert rebooted.load(dumped, boot="b", monotonic=30.0, wall=1060.0)
    assert told(rebooted, 30.0, DOWN) == [("DatabaseUnavailable", "firing")]


@pytest.mark.parametrize("text", [b"", b"{}", b'{"boot": 5}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_a_fresh_start(text: bytes):
    assert not Evaluator().load(text, boot="a", monotonic=1.0, wall=1.0)


def test_a_suspended_machine_evaluates_once_and_invents_nothing():
    evaluator = Evaluator()
    told(evaluator, 0.0, UP)
    assert told(evaluator, 600.0, DOWN) == [("DatabaseUnavailable", "pending")]


def test_a_sampling_that_failed_keeps_the_last_values_for_five_minutes():
    evaluator = Evaluator()
    for step in range(5):
        told(evaluator, 15.0 * step, DOWN)
    states = [told(evaluator, 60.0 + 15.0 * step, None) for step in range(1, 24)]
    assert [n for n, change in enumerate(states, 1) if change] == [23]  # 300 s, then the keep of 30 s from the next on


def test_a_series_that_ended_has_no_value_at_once():
    evaluator = Evaluator()
    for step in range(5):
        told(evaluator, 15.0 * step, DOWN)
    assert [bool(told(evaluator, 75.0 + 15 * n, {})) for n in range(3)] == [False, False, True]


def test_a_shorter_tick_shrinks_every_duration_alike():
    evaluator = Evaluator(tick_seconds=1.0)
    assert [told(evaluator, float(n), DOWN) for n in range(5)] == [
        [("DatabaseUnavailable", "pending")], [], [], [], [("DatabaseUnavailable", "firing")],
    ]  # fmt: skip


@pytest.mark.parametrize("tick", [0.1, 0.3, 0.7, 1.0, 2.5])
def test_a_tick_that_is_no_whole_number_loses_no_evaluation(tick: float):
    """Sums of 0.3 are not exact: hold, keep and windows are met all the same."""
    evaluator, now, states = Evaluator(tick_seconds=tick), 1234.5, []
    violations = Series.of("rls_violations_total")
    for step in range(20):
        values = (DOWN if step < 5 else UP) | {violations: 11.0 if step >= 4 else 0.0}
        states += [(step, *change) for change in told(evaluator, now, values)]
        now += tick
    assert states == [
        (0, "DatabaseUnavailable", "pending"),
        (4, "DatabaseUnavailable", "firing"),
        (4, "RLSViolations", "firing"),
        (7, "DatabaseUnavailable", "inactive"),
        (12, "RLSViolations", "inactive"),
    ]


def test_latency_elevated_is_warned_of_beside_the_nine():
    evaluator = Evaluator()
    bucket, count = "api_request_duration_seconds_bucket", "api_request_duration_seconds_count"
    changes: list[tuple[str, str]] = []
    for step in range(3):
        changes += told(
            evaluator,
            15.0 * step,
            {
                Series.of(bucket, {"le": "0.5"}): 50.0 * step,
                Series.of(bucket, {"le": "1"}): 100.0 * step,
                Series.of(bucket, {"le": "+Inf"}): 100.0 * step,
                Series.of(count): 100.0 * step,
            },
        )
    assert changes == [("LatencyElevated", "firing")]


def test_the_memory_is_bounded_by_the_windows():
    evaluator = Evaluator()
    for step in range(2000):
        told(evaluator, 15.0 * step, {**UP, Series.of("invented", {"n": str(step)}): 1.0})
    assert len(evaluator.dump(boot="a", monotonic=0.0, wall=0.0)) < 5_000


@given(st.lists(st.booleans(), max_size=60), st.sampled_from([rule.name for rule in RULES]))
def test_an_alert_fires_only_after_its_hold_and_ends_only_after_its_keep(readings: list[bool], name: str):
    rule = named(name)
    assert rule is not None
    verdict = Verdict()
    for step, is_true in enumerate(readings):
        now = 15.0 * step
        before, verdict = verdict, judge(rule, verdict, Reading(is_true, None), now)
        recent = readings[: step + 1]
        if verdict.state == "firing" and before.state != "firing":
            hold = int(rule.hold_seconds // 15) + 1
            assert all(recent[-hold:])
            assert len(recent) >= hold
        if before.state == "firing" and verdict.state != "firing":
            keep = int(rule.keep_seconds // 15) + 1
            assert verdict.state == "inactive"
            assert not any(recent[-keep:])
