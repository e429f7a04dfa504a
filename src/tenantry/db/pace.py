"""Whether a statement is fast enough to share a connection: one running mean, one count, one pause. Pure: the time comes in.

A statement starts on connections of its own. There it is timed; when its mean is short it may share, and goes on sharing until
too many of its calls are struck by the lane's statement timeout. Then it leaves for some seconds, twice as long each time.
Figures: docs/decisions/fast-lane.md.
"""

from __future__ import annotations

FAST_SECONDS = 0.005
"""A mean below this may share: with a slower one, those behind it would wait longer than they save."""
LEAST_CALLS = 16
"""So many calls are timed before the mean is believed; the first of them also carry the Parse."""
MOST_STRUCK = 0.002
"""More than this share of its calls struck, and the statement leaves."""
WINDOW = 4096
"""Calls after which older ones count half."""
LEAST_PAUSE, MOST_PAUSE = 5.0, 60.0


class Pace:
    """What is known of one statement's speed in this process."""

    __slots__ = ("calls", "is_fast", "mean", "pause", "struck", "timed_calls", "until")

    def __init__(self) -> None:
        self.is_fast = False
        """Whether its READ ONLY calls may share a connection now."""
        self.mean = 0.0
        """Seconds, of the calls on connections of their own."""
        self.timed_calls = 0
        self.calls = 0
        self.struck = 0
        self.pause = LEAST_PAUSE
        self.until = 0.0

    def timed(self, seconds: float, now: float) -> None:
        """A call on a connection of its own took so long, from its write to its answer."""
        count = self.timed_calls = self.timed_calls + 1
        self.mean += (seconds - self.mean) / min(count, LEAST_CALLS)
        self.is_fast = count >= LEAST_CALLS and self.mean < FAST_SECONDS and now >= self.until

    def shared(self) -> None:
        """A call was sent on a shared connection."""
        self.calls += 1
        if self.calls >= WINDOW:
            self.calls //= 2
            self.struck //= 2
            if not self.struck:
                self.pause = LEAST_PAUSE

    def strike(self, now: float) -> None:
        """A call on a shared connection was ended by the lane's timeout. One alone is an accident."""
        self.struck += 1
        if self.is_fast and self.struck > 1 and self.struck > self.calls * MOST_STRUCK:
            self.is_fast = False
            self.until = now + self.pause
            self.pause = min(MOST_PAUSE, self.pause * 2)
            self.calls = self.struck = self.timed_calls = 0
