"""`ctx.subscribe`: one subscriber's way from what it has missed to what happens now.

Missed events are read page by page, when the subscriber asks for more, so that they never pile up here; once it has caught up it
joins its topic's channel. It holds no connection while it waits, and leaves the channel when nobody holds it any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tenantry.errors import EventShape, TenantryError
from tenantry.events.channel import Member
from tenantry.events.places import Event, Place, begin, read
from tenantry.rpc import Tracked

if TYPE_CHECKING:
    from uuid import UUID

    from tenantry.db import Entry
    from tenantry.events.hub import Hub

T = TypeVar("T")


class Subscription(Generic[T]):
    """An async iterator of `Tracked[T]`; `aclose` (or dropping it) ends it."""

    __slots__ = (
        "_after", "_decode", "_entry", "_hub", "_kind", "_last", "_member", "_missed", "_place", "_role", "_seen", "_tenant", "_topic",
    )  # fmt: skip

    def __init__(self, hub: Hub, entry: Entry, kind: Any, decode: Any, topic: str, after: str | None) -> None:
        """Nothing is asked for before the first `anext`."""
        self._hub = hub
        self._entry = entry
        self._kind = kind
        self._decode = decode
        self._topic = topic
        self._after = after
        self._place: Place | None = None
        self._tenant: UUID | None = None
        self._role = ""
        self._seen: frozenset[Place] = frozenset()
        self._member: Member | None = None
        self._missed: deque[Event] = deque()
        self._last: TenantryError | None = None

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> Tracked[T]:
        """The next event. Raises Unauthorized or Forbidden (5 s after the session's end), EventsGone, SlowConsumer, SubscriptionsClosed."""
        if self._last is not None:
            raise StopAsyncIteration
        try:
            event = await self._next()
            return Tracked(event.id, event.value(self._kind, self._decode))
        except asyncio.CancelledError:
            # Whoever listened is gone, most likely; if not, it goes on by reading what it misses from now.
            self._leave()
            raise
        except TenantryError as error:
            self._end(error)
            raise
        except (msgspec.DecodeError, ValueError, TypeError, NotImplementedError) as error:  # Pydantic's is a ValueError
            wrong = EventShape(
                topic=self._topic,
                type=getattr(self._kind, "__name__", str(self._kind)),
                procedure=self._entry.procedure,
            )
            self._end(wrong)
            raise wrong from error

    async def _next(self) -> Event:
        if self._place is None:
            await self._begin()
        while self._member is None and not self._missed:
            await self._catch_up()
        member = self._member
        if self._missed and (member is None or member.error is None):
            return self._missed.popleft()
        assert member is not None  # the loop above ends with one or the other
        event = await member.next()
        self._place = event.place
        return event

    async def _begin(self) -> None:
        hub = self._hub
        hub.check_open()
        marks = await hub.marks()
        async with hub.reads:
            began = await begin(hub.pool, self._entry, self._topic, self._after, marks)
        tenant = began.membership.tenant_id
        # From here on in this tenant only, whatever becomes of the session.
        self._entry = msgspec.structs.replace(self._entry, tenant=tenant)
        if await hub.watched.register(tenant, self._topic, self._entry):
            async with hub.reads:
                began = await begin(hub.pool, self._entry, self._topic, self._after, marks)
        self._tenant, self._role = tenant, began.membership.role
        self._place, self._seen = began.after, began.seen
        if self._after is None:
            self._join(began.after)

    async def _catch_up(self) -> None:
        """One page of what was missed; after the last one, live."""
        hub = self._hub
        hub.check_open()
        assert self._place is not None  # begun
        marks = await hub.marks()
        async with hub.reads:
            page = await read(hub.pool, self._entry, self._topic, self._place, marks)
        self._place = page.after
        self._missed.extend(event for event in page.events if event.place not in self._seen)
        if not page.is_full:
            self._join(page.after)

    def _join(self, after: Place) -> None:
        """Live from here on, unless the others are further already: then there is more to read first."""
        assert self._tenant is not None  # begun
        member = Member(self._hub.channel(self._tenant, self._topic), self._entry, self._role, self._hub.queue)
        member.seen = self._seen
        if member.channel.join(member, after):
            self._member = member

    def _end(self, error: TenantryError) -> None:
        self._last = error
        self._leave()

    def _leave(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            member.channel.leave(member)

    async def aclose(self) -> None:
        """Take no more."""
        if self._last is None:
            self._last = TenantryError()
        self._leave()

    def __del__(self) -> None:
        self._leave()
