"""Pacing's clock: notices how late a pool's loop is, and lets in what a paced tenant may have. A timer only while one is paced."""

from __future__ import annotations

from time import perf_counter, thread_time
from typing import TYPE_CHECKING

from tenantry.db.pacing import REFILL_SECONDS

if TYPE_CHECKING:
    import asyncio

    from tenantry.db.pool import Pool


class Pacer:
    """Carries out for one pool what `Pacing` decides."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._refills: asyncio.TimerHandle | None = None
        self._due = 0.0

    def tick(self, now: float, until_next: float) -> None:
        """The pool's clock has struck, and will again in so many seconds."""
        if self._refills is None:
            self._notice(until_next)
        if self._pool.shares.look(now, thread_time()) and self._refills is None:
            self._due = 0.0
            self._refill()

    def close(self) -> None:
        """The pool is closed."""
        if self._refills is not None:
            self._refills.cancel()
            self._refills = None

    def _notice(self, until_next: float) -> None:
        # The loop's own time stands still while it works.
        now = perf_counter()
        if self._due:
            self._pool.shares.pacing.late(now - self._due)
        self._due = now + until_next

    def _refill(self) -> None:
        pool = self._pool
        self._notice(REFILL_SECONDS)
        pool.shares.pacing.refill(pool.now())
        if pool.shares.pacing.paced is not None and not pool.is_closed:
            self._refills = pool.call_later(REFILL_SECONDS, self._refill)
        else:
            self._refills, self._due = None, 0.0
        if pool.lane is not None and pool.lane.waiting:
            pool.lane.refill()
        pool.serve_waiting()
