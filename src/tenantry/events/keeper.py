"""Keeps the table of events bounded: every worker asks once a minute, and PostgreSQL lets one of them do a bounded piece of work.

What that is stands in `tenantry.keep_events` (0011_events.sql): the ring moves on, and its oldest slot is emptied. Topics whose last
subscriber cannot come back to anything are forgotten (0040_watched_topics.sql).
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from tenantry.errors import TenantryError

if TYPE_CHECKING:
    from tenantry.db import Pool

log = logging.getLogger("tenantry.events")

EVERY_SECONDS = 60.0
KEEP = "select tenantry.keep_events(pg_catalog.make_interval(hours => $1::text::integer), $2::text::bigint)"
FORGET = "select tenantry.forget_watches()"


class Keeper:
    """One timer."""

    def __init__(self, accounts: Pool, retention_hours: int, most_mb: int) -> None:
        """How long events are kept, and in how much room."""
        self.accounts = accounts
        self.retention_hours = retention_hours
        self.most_mb = most_mb
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, at a moment of its own, so that workers that start together do not ask together."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def keep(self) -> str:
        """Once: what was done, in words."""
        rows = await self.accounts.fetch(KEEP, str(self.retention_hours), str(self.most_mb * 1_048_576))
        await self.accounts.fetch(FORGET)
        return str(rows[0][0])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            try:
                done = await self.keep()
            except TenantryError as error:
                log.warning("events cannot be kept in bounds now: %s", error.code)
            else:
                log.debug("events: %s", done)
