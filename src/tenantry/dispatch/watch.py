"""Whether sessions of open streams and sockets are still live: asked of PostgreSQL for all of them at once, every two seconds.

A stream may stay open for days, and its session may end meanwhile. One statement a round asks about every credential that has
something open (in slices), so that ten thousand streams cost a statement, and not ten thousand. Who is no longer in is told, once.
While the database does not answer nobody is put out: nothing is known, and a stream that reads from the database ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec

from tenantry.errors import TenantryError

if TYPE_CHECKING:
    from tenantry.db import Pool

log = logging.getLogger("tenantry.request")

EVERY_SECONDS = 2.0
"""A session's end is noticed within this and the statement's own time: the promise is five seconds."""
SLICE = 2000
"""Credentials in one statement."""

NO_LONGER_IN = "select number from tenantry.no_longer_in($1)"


class Holder(NamedTuple):
    """Who has something open: the credential, the right that it needs, and the tenant that it was let into."""

    credential: bytes
    need: str
    tenant: UUID | None


class SessionWatch:
    """The holders of open streams and sockets."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._held: dict[Holder, set[Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, holder: Holder, ended: Callable[[], None]) -> Callable[[], None]:
        """Call `ended` once when the holder is no longer in; gives what takes it back."""
        self._held.setdefault(holder, set()).add(ended)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._rounds())

        def leave() -> None:
            hearers = self._held.get(holder)
            if hearers is not None:
                hearers.discard(ended)
                if not hearers:
                    self._held.pop(holder, None)

        return leave

    async def close(self) -> None:
        """Stop asking."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            holders = list(self._held)
            for start in range(0, len(holders), SLICE):
                try:
                    await self._ask(holders[start : start + SLICE])
                except TenantryError as error:
                    log.warning("sessions of open streams could not be checked: %s", type(error).__name__)
                    break

    async def _ask(self, holders: list[Holder]) -> None:
        asked = [[h.credential.hex(), h.need, None if h.tenant is None else str(h.tenant)] for h in holders]
        rows = await self.pool.fetch(NO_LONGER_IN, msgspec.json.encode(asked).decode())
        for (number,) in rows:
            for ended in self._held.pop(holders[int(number) - 1], set[Callable[[], None]]()):
                ended()
