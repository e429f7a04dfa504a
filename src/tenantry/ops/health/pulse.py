"""The heartbeat of a worker: four times a second it looks at the loop's lateness and at the pool.

A single look would be chance: at full load every connection is in use at one moment in two. So checks read what the last
second, or the last tick, was like. A beat costs some microseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

BEAT_SECONDS = 0.25
TICK_SECONDS = 15.0
"""The step in which operations count time: "in the last tick" is in the last 15 s."""


class PoolStats(Protocol):
    """What a look at the pool gives."""

    @property
    def size(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...


class WatchedPool(Protocol):
    """A pool that can be looked at."""

    def stats(self) -> PoolStats: ...


class GivenUp(Protocol):
    """Counts the requests that gave up waiting for a connection."""

    @property
    def pool_timeouts(self) -> int: ...


class Pulse:
    """Started in the worker's loop; everything that it says is of that loop."""

    def __init__(self, pool: WatchedPool, signals: GivenUp) -> None:
        self._pool = pool
        self._signals = signals
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._late: deque[float] = deque([0.0], maxlen=round(TICK_SECONDS / BEAT_SECONDS))
        self._busy: deque[float] = deque([0.0], maxlen=round(1 / BEAT_SECONDS))
        self._given_up = signals.pool_timeouts
        self._given_up_at = float("-inf")

    def start(self) -> None:
        """Begin to beat."""
        self._due = time.monotonic() + BEAT_SECONDS
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        now = time.monotonic()
        self._late.append(max(0.0, now - self._due))
        stats = self._pool.stats()
        self._busy.append(stats.busy / max(1, stats.size))
        self._count_given_up(now)
        self._due = now + BEAT_SECONDS
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def _count_given_up(self, now: float) -> None:
        given_up = self._signals.pool_timeouts
        if given_up != self._given_up:
            self._given_up = given_up
            self._given_up_at = now

    @property
    def used(self) -> float:
        """Part of the connections in use, the mean of the last second; 0 to 1."""
        return sum(self._busy) / len(self._busy)

    @property
    def size(self) -> int:
        """Connections that the pool has now."""
        return self._pool.stats().size

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection now."""
        return self._pool.stats().waiting

    @property
    def is_full(self) -> bool:
        """Whether every connection is in use now."""
        stats = self._pool.stats()
        return stats.busy >= stats.size

    def seconds_since_given_up(self) -> float:
        """Since a request last gave up waiting for a connection; infinite if none has."""
        now = time.monotonic()
        self._count_given_up(now)
        return now - self._given_up_at

    @property
    def lag_ms(self) -> float:
        """How late the loop is: the last beat's lateness, or how overdue the next one is by now."""
        return max(self._late[-1], time.monotonic() - self._due) * 1000

    @property
    def worst_lag_ms(self) -> float:
        """The latest that a beat was in the last tick."""
        return max(max(self._late) * 1000, self.lag_ms)

    @property
    def silent_seconds(self) -> float:
        """Since the last beat; for who looks from another thread, where the loop may be blocked."""
        return max(0.0, time.monotonic() - self._due + BEAT_SECONDS)
