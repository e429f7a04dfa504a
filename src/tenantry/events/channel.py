"""One topic of one tenant in this worker: who listens, how far all of them are, and the one read that serves them together.

Sharing a read between members of different roles is right, because a topic is the whole tenant's: row security gives every
member the same events. What only some may see belongs under a topic that a procedure with `role=` or `can=` subscribes to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING
from uuid import UUID

from tenantry.errors import EventsGone, Forbidden, OtherTenant, SlowConsumer, TenantryError, Unauthorized
from tenantry.events.places import Event, Place, read

if TYPE_CHECKING:
    from tenantry.db import Entry
    from tenantry.events.hub import Hub

log = logging.getLogger("tenantry.events")

LEAST_PAUSE, MOST_PAUSE = 0.002, 0.25
"""Between reads while something is committed that is not yet below the horizon."""
OUTAGE_PAUSE = 1.0
REFUSED = (Unauthorized, Forbidden, OtherTenant)
"""A credential that no longer lets in: its subscriptions end, the others' go on."""


class Member:
    """One subscription among a channel's: its queue, its end."""

    __slots__ = ("channel", "entry", "error", "floor", "most", "queue", "role", "seen", "waiting")

    def __init__(self, channel: Channel, entry: Entry, role: str, most: int) -> None:
        """`most` events may wait."""
        self.channel = channel
        self.entry = entry
        self.role = role
        self.most = most
        self.floor: Place | None = None
        """What lies up to here it has had; None once the channel has passed it."""
        self.seen: frozenset[Place] = frozenset()
        """Places that came before it began and are passed by the horizon only now."""
        self.queue: deque[Event] = deque()
        self.waiting: asyncio.Future[None] | None = None
        self.error: TenantryError | None = None

    def take(self, events: list[Event]) -> None:
        """Queue what is new; one that takes too slowly is told, and holds nobody."""
        if self.floor is not None or self.seen:
            floor, seen = self.floor, self.seen
            events = [e for e in events if (floor is None or e.place > floor) and e.place not in seen]
            at = self.channel.after
            if at is not None and floor is not None and at > floor:
                self.floor = None
            if at is not None and seen and at > max(seen):
                self.seen = frozenset()
        if len(self.queue) + len(events) > self.most:
            self.end(SlowConsumer())
            return
        self.queue.extend(events)
        if events:
            self.wake()

    def end(self, error: TenantryError) -> None:
        """The subscription raises this next; what still waits is dropped, since its client goes on after its last id."""
        if self.error is None:
            self.error = error
        self.queue.clear()
        self.channel.leave(self)
        self.wake()

    def wake(self) -> None:
        """Whoever waits for the next event looks again."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def next(self) -> Event:
        """The next event. Raises what the subscription ended with."""
        while True:
            if self.error is not None:
                raise self.error
            if self.queue:
                return self.queue.popleft()
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting


class Channel:
    """Made by the hub for the first member, forgotten after the last."""

    __slots__ = ("after", "hub", "is_moved", "members", "task", "tenant", "topic")

    def __init__(self, hub: Hub, tenant: UUID, topic: str) -> None:
        """`after` is how far all members are; None while nobody is live."""
        self.hub = hub
        self.tenant = tenant
        self.topic = topic
        self.members: dict[Member, None] = {}
        self.after: Place | None = None
        self.is_moved = False
        self.task: asyncio.Task[None] | None = None

    def join(self, member: Member, after: Place) -> bool:
        """Become live from this place on; False when the others are further already, and it must read up to them first."""
        if self.after is None or not self.members:
            self.after = after
        elif after < self.after:
            return False
        else:
            member.floor = after
        self.members[member] = None
        self.hub.watch.add(member)
        # What was committed between its read and now has been signalled before it was here.
        self.wake()
        return True

    def leave(self, member: Member) -> None:
        """The member is gone."""
        if self.members.pop(member, 0) is None:
            self.hub.watch.remove(member)
            if not self.members:
                self.hub.forget(self)

    def wake(self) -> None:
        """Something may be there to read."""
        self.is_moved = True
        if self.task is None and self.members:
            self.task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        pause = LEAST_PAUSE
        try:
            while self.is_moved and self.members:
                self.is_moved = False
                is_waiting = await self._read()
                if is_waiting:
                    self.is_moved = True
                    await asyncio.sleep(pause)
                    pause = min(MOST_PAUSE, pause * 2)
                else:
                    pause = LEAST_PAUSE
        finally:
            self.task = None

    async def _read(self) -> bool:
        """One page to all; True when more is on its way, though not to be read yet."""
        member = next(iter(self.members))
        assert self.after is not None  # somebody is live
        try:
            async with self.hub.reads:
                page = await read(self.hub.pool, member.entry, self.topic, self.after, await self.hub.marks())
        except REFUSED as error:
            self.hub.watch.refuse(member, error)
            self.is_moved = True
            return False
        except EventsGone as error:
            self._end_all(error)
            return False
        except TenantryError as error:
            # The database is away, or has no connection for us: nobody is told, all go on where they were.
            log.warning("events of a topic cannot be read yet: %s", error.code)
            self.is_moved = True
            await asyncio.sleep(OUTAGE_PAUSE)
            return False
        self.after = page.after
        if page.events:
            for one in list(self.members):
                one.take(page.events)
        if page.is_full:
            self.is_moved = True
            return False
        return page.is_waiting

    def _end_all(self, error: TenantryError) -> None:
        for member in list(self.members):
            member.end(error)
