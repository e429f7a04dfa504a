"""One tenant's part of the worker's own processor: who takes most of a busy loop is paced while others are there. Pure: times come in.

Connections are not all that tenants share. A flood of quick requests fills the event loop, and whoever else asks waits for it, with
connections free. So while the loop is busy, and others ask too, the tenant that makes most of the calls has its share of the loop's
time, and what is beyond it waits in its line. Alone, or on a loop that has time, nobody is paced. docs/explanation/fair-shares.md
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenantry.db.shares import Share

LOOK_SECONDS = 0.04
"""At most so often, in effect at each tick of the pool, it is looked who takes what; while the loop has time only how late it is."""
BUSY_PART, BUSY_LAG = 0.6, 0.0015
"""The loop is busy when its thread runs for so much of the time, or its timers are so late."""
MOST_LAG, LEAST_LAG = 0.0015, 0.00075
"""Seconds that the loop's timers are late, on average: over the one the paced tenant gets less, under the other more."""
LESS, MORE = 0.9, 1.03
LEAST_OF_START = 0.5
"""Never below this part of the rate that the tenant's share gave it at first: what else makes the loop late is not its fault."""
OTHERS_SECONDS = 1.0
"""Others are there when they have asked within so long; and a tenant that has asked for less for so long is paced no more."""
REFILL_SECONDS = 0.002
"""Calls are let in so often: the shorter, the fewer at once are before somebody else's."""
MOST_LOOKED_AT = 4096
"""Of more tenants in one look none can have most of the calls, or it is found later."""


class Pacing:
    """Who is paced in one pool, and how many calls it may make now (`Share.left`)."""

    def __init__(self, part: float) -> None:
        """`part` of the loop's time is one tenant's share; 1 is no bound."""
        self.part = part
        self.paced: Share | None = None
        self.rate = 0.0
        """Calls a second of the one that is paced."""
        self._least = 0.0
        self._looked_at = 0.0
        self._used = 0.0
        self._late = 0.0
        self._lates = 0
        self._is_counted = False
        self._others_at = -inf
        self._wanted_at = 0.0
        self._refilled_at = 0.0

    def late(self, seconds: float) -> None:
        """A timer of the loop was so late."""
        self._late += seconds
        self._lates += 1

    def look(self, now: float, used: float, active: Sequence[Share]) -> None:
        """How busy the loop was since the last look (`used`: its thread's CPU seconds so far), and who made it so."""
        elapsed = now - self._looked_at
        if elapsed < LOOK_SECONDS or self.part >= 1:
            return
        lag = self._late / max(1, self._lates)
        is_busy = used - self._used >= BUSY_PART * elapsed or lag >= BUSY_LAG
        self._used, self._looked_at, self._late, self._lates = used, now, 0.0, 0
        if self.paced is None and not is_busy:
            self._is_counted = False
            return
        top, most, total = self._count(active)
        if not self._is_counted:  # counted from now on
            self._is_counted = True
            return
        if total > most:
            self._others_at = now
        are_others_there = now - self._others_at <= OTHERS_SECONDS
        if self.paced is not None:
            if self.paced.left < 1:
                self._wanted_at = now
            if not are_others_there or now - self._wanted_at > OTHERS_SECONDS:
                self.free()
            elif lag > MOST_LAG:
                self.rate = max(self._least, self.rate * LESS)
            elif lag < LEAST_LAG:
                self.rate *= MORE
        elif are_others_there and top is not None and not top.is_free and most > self.part * total:
            self.paced, self.rate = top, self.part * most / elapsed
            self._least = self.rate * LEAST_OF_START
            self._wanted_at = self._refilled_at = now
            top.left = 1.0

    @staticmethod
    def _count(active: Sequence[Share]) -> tuple[Share | None, int, int]:
        """Who made most of the calls since the last count, how many, and how many all made."""
        top, most, total = None, 0, 0
        for share in active[:MOST_LOOKED_AT]:
            calls = share.calls - share.looked if share.calls >= share.looked else share.calls
            share.looked = share.calls
            total += calls
            if calls > most:
                top, most = share, calls
        return top, most, total

    def refill(self, now: float) -> None:
        """Let the paced tenant make the calls of the time that has passed."""
        if self.paced is not None:
            most = max(1.0, 2 * REFILL_SECONDS * self.rate)
            self.paced.left = min(most, self.paced.left + (now - self._refilled_at) * self.rate)
            self._refilled_at = now

    def free(self) -> None:
        """Nobody is paced."""
        if self.paced is not None:
            self.paced.left = inf
            self.paced = None
            self._is_counted = False
