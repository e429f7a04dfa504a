"""Who is paced on a busy loop, how much, and until when. Pure: the times are given."""

from __future__ import annotations

from math import inf

import pytest

from tenantry.db.pacing import LOOK_SECONDS, MOST_LAG, REFILL_SECONDS, Pacing
from tenantry.db.shares import Share

STEP = LOOK_SECONDS * 1.01
OVER_A_SECOND = int(1.2 / STEP)


class Loop:
    """A loop of which each look is told how busy it was, how late, and who asked how often."""

    def __init__(self, *, part: float = 0.5, others: int = 4) -> None:
        self.pacing = Pacing(part)
        self.noisy = Share(b"n" * 16)
        self.others = [Share(bytes([number]) * 16) for number in range(others)]
        self.strangers = Share(None)
        self.now, self.used = 100.0, 0.0
        self.pacing.look(self.now, self.used, [])

    def goes_on(self, looks: int, *, busy: float = 0.9, lag: float = 0.005, noisy: int = 1000, others: int = 2) -> None:
        for _ in range(looks):
            self.now += STEP
            self.used += busy * STEP
            self.noisy.calls += noisy
            self.noisy.left -= noisy
            for other in self.others:
                other.calls += others
            self.pacing.late(lag)
            self.pacing.look(self.now, self.used, [self.noisy, *self.others, self.strangers])


def test_who_fills_a_busy_loop_has_its_share_while_others_are_there() -> None:
    loop = Loop()
    loop.goes_on(2)
    assert loop.pacing.paced is loop.noisy
    assert loop.pacing.rate == pytest.approx(0.5 * 1000 / STEP)
    assert loop.noisy.left <= 1
    assert [other.left for other in loop.others] == [inf] * 4


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"others": 0}, id="alone"),
        pytest.param({"busy": 0.3, "lag": 0.0002}, id="the loop has time"),
        pytest.param({"noisy": 8, "others": 2}, id="no more than all others together"),
    ],
)
def test_nobody_is_paced(told: dict[str, float]) -> None:
    loop = Loop()
    loop.goes_on(30, **told)  # type: ignore[arg-type] - whole numbers where they are wanted
    assert loop.pacing.paced is None
    assert loop.noisy.left == inf


def test_a_share_of_everything_is_no_bound() -> None:
    loop = Loop(part=1.0)
    loop.goes_on(30)
    assert loop.pacing.paced is None


def test_unknown_tenants_are_many_and_are_not_paced() -> None:
    loop = Loop()
    loop.noisy.is_free = True
    loop.goes_on(30)
    assert loop.pacing.paced is None


def test_the_rate_follows_how_late_the_loop_is_within_bounds() -> None:
    loop = Loop()
    loop.goes_on(2)
    start = loop.pacing.rate
    loop.goes_on(60, lag=2 * MOST_LAG)
    assert loop.pacing.rate == pytest.approx(start / 2)
    loop.goes_on(40, lag=0.0001)
    assert loop.pacing.rate > start


def test_it_ends_when_the_others_have_gone_or_it_asks_for_less() -> None:
    loop = Loop()
    loop.goes_on(2)
    loop.goes_on(OVER_A_SECOND, others=0)
    assert (loop.pacing.paced, loop.noisy.left) == (None, inf)
    loop = Loop()
    loop.goes_on(2)
    assert loop.pacing.paced is loop.noisy
    for _ in range(OVER_A_SECOND):
        if loop.pacing.paced is not None:
            loop.noisy.left = 2.0  # it did not use up what it had
        loop.goes_on(1, noisy=0)
    assert (loop.pacing.paced, loop.noisy.left) == (None, inf)


def test_calls_are_let_in_evenly() -> None:
    loop = Loop()
    loop.goes_on(2)
    loop.noisy.left = 0.0
    let_in = 0
    for step in range(1, 501):
        loop.pacing.refill(loop.now + step * REFILL_SECONDS)
        assert loop.noisy.left <= max(1.0, 2 * REFILL_SECONDS * loop.pacing.rate)
        whole = int(loop.noisy.left)
        loop.noisy.left -= whole
        let_in += whole
    assert let_in == pytest.approx(loop.pacing.rate * 500 * REFILL_SECONDS, rel=0.01)


def test_counts_that_begin_anew_are_not_taken_for_calls() -> None:
    loop = Loop()
    loop.goes_on(1, noisy=5000)
    loop.noisy.calls = 0  # somebody has looked at the noisiest
    loop.goes_on(1, noisy=4, others=3)
    assert loop.pacing.paced is None
