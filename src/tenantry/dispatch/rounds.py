"""One timer for many: "after so long without a word, do this", for ten thousand streams at the price of one.

A word from an entry costs one assignment, and is noticed when its turn comes: that is about once a period for each, whatever it
says in between. No more than `MOST_AT_ONCE` act in one go, so that a round of all of them holds nobody up.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

MOST_AT_ONCE = 200


class Turn:
    """One entry: `heard` starts its time anew, `leave` takes it out."""

    __slots__ = ("_clock", "action", "since")

    def __init__(self, action: Callable[[], None], clock: Callable[[], float]) -> None:
        self.action: Callable[[], None] | None = action
        self._clock = clock
        self.since = clock()

    def heard(self) -> None:
        """There was a word: the time begins anew."""
        self.since = self._clock()

    def leave(self) -> None:
        """Not any more."""
        self.action = None


class Rounds:
    """Entries that each act after `period_ms` of silence, again and again until they leave. None: never."""

    def __init__(self, period_ms: int | None) -> None:
        self.period = None if not period_ms else period_ms / 1000
        self._waiting: list[tuple[float, int, Turn]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, action: Callable[[], None]) -> Turn | None:
        """Take an entry in; None when there are no rounds."""
        if self.period is None:
            return None
        loop = asyncio.get_running_loop()
        turn = Turn(action, loop.time)
        heapq.heappush(self._waiting, (turn.since + self.period, next(self._numbers), turn))
        if self._timer is None:
            self._timer = loop.call_later(self.period, self._go)
        return turn

    def close(self) -> None:
        """No rounds any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()

    def _go(self) -> None:
        loop = asyncio.get_running_loop()
        period = self.period or 0.0
        now = loop.time()
        waiting = self._waiting
        acted = 0
        while waiting and waiting[0][0] <= now and acted < MOST_AT_ONCE:
            _, number, turn = heapq.heappop(waiting)
            if turn.action is None:
                continue
            due = turn.since + period
            if due <= now:
                turn.since = now
                due = now + period
                acted += 1
                turn.action()
            heapq.heappush(waiting, (due, number, turn))
        self._timer = loop.call_later(max(0.001, waiting[0][0] - now), self._go) if waiting else None
