"""Topics that are written only where somebody watches: the subscriber's part of it.

Of Tenantry's own topics the changes of most tenants have no reader, and an event costs its transaction as much as the change. So who
subscribes registers the tenant's topic first (0040_watched_topics.sql), and begins when no transaction is left that may not have seen
that: nothing above such a transaction could be delivered anyway, since events come below the horizon. Topics of applications are
always written, and cost nothing here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenantry.events.places import look

if TYPE_CHECKING:
    from uuid import UUID

    from tenantry.db import Entry
    from tenantry.events.hub import Hub

TOPICS = frozenset({"users.changed"})
"""As the trigger on memberships names it."""
WATCH = "select tenantry.watch_topic($1::text::uuid, $2::text)"
STILL = """
select pg_catalog.count(tenantry.watch_topic(t.id, $2::text))::text
  from unnest(pg_catalog.string_to_array($1::text, ',')::uuid[]) t (id)
"""
SAY_SECONDS = 3600.0
"""How often it is said that subscribers are there; without it for three hours a registration is closed."""
LEAST_PAUSE, MOST_PAUSE = 0.005, 0.5


class Watched:
    """One hub's registrations."""

    def __init__(self, hub: Hub) -> None:
        """Nothing is asked for before the first subscriber."""
        self.hub = hub
        self._said_at = 0.0

    async def register(self, tenant: UUID, topic: str, entry: Entry) -> bool:
        """See to it that every change from now on is published; True when that was not so before, and the subscriber must begin anew.

        It waits for the transactions that were under way. Raises what entering raises, when the session ends meanwhile.
        """
        hub = self.hub
        if topic not in TOPICS or (tenant.bytes, topic) in hub.channels:
            return False
        was_new, pause = False, LEAST_PAUSE
        while not (await hub.accounts.fetch(WATCH, str(tenant), topic))[0][0]:
            was_new = True
            await asyncio.sleep(pause)
            hub.check_open()
            if pause == MOST_PAUSE:
                await look(hub.pool, entry)
            pause = min(MOST_PAUSE, pause * 2)
        return was_new

    async def say(self) -> None:
        """Once an hour: whose subscribers are still here. Raises TenantryError when the database is away; it is said next time then."""
        now = asyncio.get_running_loop().time()
        if now < self._said_at + SAY_SECONDS:
            return
        for topic in TOPICS:
            tenants = [str(channel.tenant) for channel in self.hub.channels.values() if channel.topic == topic]
            for first in range(0, len(tenants), 1000):
                await self.hub.accounts.fetch(STILL, ",".join(tenants[first : first + 1000]), topic)
        self._said_at = now
