"""When a statement may share a connection, and when it may no longer."""

from __future__ import annotations

from tenantry.db.pace import LEAST_CALLS, LEAST_PAUSE, MOST_PAUSE, WINDOW, Pace


def paced(*seconds: float, now: float = 0.0) -> Pace:
    pace = Pace()
    for one in seconds:
        pace.timed(one, now)
    return pace


def test_a_statement_shares_only_after_enough_fast_calls() -> None:
    assert not paced(*[0.001] * (LEAST_CALLS - 1)).is_fast
    assert paced(*[0.001] * LEAST_CALLS).is_fast
    assert not paced(*[0.006] * LEAST_CALLS).is_fast


def test_the_first_slow_calls_are_forgotten() -> None:
    assert paced(0.2, *[0.001] * (LEAST_CALLS * 6)).is_fast


def test_one_strike_is_an_accident_and_many_are_not() -> None:
    pace = paced(*[0.001] * LEAST_CALLS)
    pace.shared()
    pace.strike(1.0)
    assert pace.is_fast
    pace.strike(1.0)
    assert not pace.is_fast


def test_a_share_of_strikes_under_the_bound_is_borne() -> None:
    pace = paced(*[0.001] * LEAST_CALLS)
    for call in range(3 * WINDOW):
        pace.shared()
        if call % 1000 == 999:
            pace.strike(1.0)
    assert pace.is_fast


def test_a_statement_that_left_comes_back_after_a_pause_that_grows() -> None:
    pace = paced(*[0.001] * LEAST_CALLS)
    now, pause = 0.0, LEAST_PAUSE
    for _ in range(6):
        pace.strike(now)
        pace.strike(now)
        for _ in range(2 * LEAST_CALLS):
            pace.timed(0.001, now + pause - 0.1)
        assert not pace.is_fast
        pace.timed(0.001, now + pause)
        assert pace.is_fast
        now, pause = now + pause, min(MOST_PAUSE, pause * 2)


def test_a_statement_that_is_slow_on_its_own_connection_stays_away() -> None:
    pace = paced(*[0.001] * LEAST_CALLS)
    for _ in range(LEAST_CALLS):
        pace.timed(0.05, 1.0)
    assert not pace.is_fast
