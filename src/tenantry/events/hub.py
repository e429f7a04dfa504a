"""One worker's part in the events: what is committed here is told to all, what was committed anywhere is read for who subscribes.

Three ways lead to a channel: a commit of this worker wakes it at once; a notification of another worker does, over the one LISTEN
connection; and once a second a poll asks which topics moved at all, for workers that died between their commit and telling of it.
Either way it is read from the table, so that a signal that is lost, doubled or forged changes nothing but the moment.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec

from tenantry.db.outbox import check_topic
from tenantry.errors import SubscriptionsClosed, TenantryError
from tenantry.events.channel import Channel
from tenantry.events.keeper import Keeper
from tenantry.events.listener import Listener
from tenantry.events.marks import Marks
from tenantry.events.subscription import Subscription
from tenantry.events.watch import Watch
from tenantry.events.watched import Watched
from tenantry.rpc import Tracked
from tenantry.rpc.faults import foreign

if TYPE_CHECKING:
    from tenantry.db import Entry, Pool
    from tenantry.settings import Settings

T = TypeVar("T")

log = logging.getLogger("tenantry.events")

POLL_SECONDS = 1.0
MOST_MOVED = 10_000
MOVED = "select m.horizon::text, m.key from tenantry.moved_events($1::text::bigint, $2::text::integer) m"
NOW = str(2**63 - 1)


class Hub:
    """Made and opened by `app`, beside the pools; costs one timer until somebody publishes or subscribes."""

    def __init__(self, pool: Pool, accounts: Pool, settings: Settings) -> None:
        """`pool` reads as the subscribers, `accounts` polls, keeps and checks sessions as tenantry_auth."""
        self.pool = pool
        self.accounts = accounts
        self.most_bytes = settings.max_event_bytes
        self.queue = settings.events_queue
        self.reads = asyncio.Semaphore(max(1, settings.pool_size // 4))
        """Of the pool's connections no more than a quarter read events at once; requests have the rest."""
        urls = settings.urls()
        self.listener = Listener(urls.direct.with_user("tenantry_auth", urls.auth.password), self._heard, self._listens)
        self.watch = Watch(self)
        self.watched = Watched(self)
        self.keeper = Keeper(accounts, settings.events_retention_hours, settings.events_most_mb)
        self.is_closed = False
        self.channels: dict[tuple[bytes, str], Channel] = {}
        """By tenant (16 bytes) and topic."""
        self._by_key: dict[bytes, Channel] = {}
        self._salt: bytes | None = None
        self._marks: Marks | None = None
        self._horizon = NOW
        self._polls: asyncio.Event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._decoders: dict[Any, Any] = {}

    # ------------------------------------------------------------------ opening and closing

    def open(self) -> None:
        """From now on `ctx.publish` and `ctx.subscribe` work; nothing is connected yet."""
        self.pool.outlet = self
        self.keeper.start()

    def _start(self) -> None:
        if self._task is None and not self.is_closed:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End all subscriptions, so that their clients go elsewhere; say what is still to be said."""
        if self.is_closed:
            return
        self.is_closed = True
        for channel in list(self.channels.values()):
            for member in list(channel.members):
                member.end(SubscriptionsClosed())
        self.watch.close()
        self.keeper.close()
        await self.listener.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def marks(self) -> Marks:
        """What writes and reads the ids of events. Asks the database, the first time. Raises TenantryError when it is away."""
        if self._marks is None:
            await self._learn_salt()
        assert self._marks is not None  # made with the salt
        return self._marks

    def check_open(self) -> None:
        """Raises SubscriptionsClosed while the worker stops."""
        if self.is_closed:
            raise SubscriptionsClosed

    # ------------------------------------------------------------------ what sessions ask

    def committed(self, tenant: bytes, topics: Iterable[str]) -> None:
        """Something was published here, and is committed: wake who is here, tell who is elsewhere. On the way of each such request."""
        for topic in topics:
            channel = self.channels.get((tenant, topic))
            if channel is not None:
                channel.wake()
        if self._task is None:
            self._start()
        elif self.listener.has_others:
            self.listener.tell([self._key(tenant, topic) for topic in topics])

    def subscribe(self, entry: Entry, kind: type[T], topic: str, after: str | None) -> AsyncIterator[Tracked[T]]:
        """See `Ctx.subscribe`. Raises PublishRefused for a name that is no topic."""
        check_topic(entry.procedure, topic)
        decode = self._decoders.get(kind)
        if decode is None:
            decode = self._decoders[kind] = msgspec.json.Decoder(
                Any if kind is object else kind, dec_hook=foreign
            ).decode
        if not entry.read_only:
            entry = msgspec.structs.replace(entry, read_only=True)
        self._start()
        subscription: Subscription[T] = Subscription(self, entry, kind, decode, topic, after)
        return subscription

    # ------------------------------------------------------------------ channels

    def channel(self, tenant: UUID, topic: str) -> Channel:
        """The channel of a topic; made when there is none."""
        found = self.channels.get((tenant.bytes, topic))
        if found is None:
            found = self.channels[tenant.bytes, topic] = Channel(self, tenant, topic)
            self.listener.serve(has_subscribers=True)
            if self._salt is not None:
                self._by_key[self._key(tenant.bytes, topic)] = found
        return found

    def forget(self, channel: Channel) -> None:
        """Nobody is there any more."""
        name = channel.tenant.bytes, channel.topic
        if self.channels.get(name) is channel:
            del self.channels[name]
            if self._salt is not None:
                self._by_key.pop(self._key(*name), None)
            self.listener.serve(has_subscribers=bool(self.channels))

    def _key(self, tenant: bytes, topic: str) -> bytes:
        assert self._salt is not None
        return hashlib.sha256(self._salt + tenant + topic.encode()).digest()[:8]

    # ------------------------------------------------------------------ signals

    def _heard(self, keys: list[bytes]) -> None:
        for key in keys:
            channel = self._by_key.get(key)
            if channel is not None:
                channel.wake()

    def _listens(self) -> None:
        """Connected, perhaps anew: what was said meanwhile, the poll finds."""
        self._polls.set()

    async def _run(self) -> None:
        while True:
            try:
                if self._salt is None:
                    await self._learn_salt()
                if self.channels:
                    await self._poll()
                    await self.watched.say()
                else:
                    self._horizon = NOW
            except TenantryError as error:
                log.warning("events cannot be looked for: %s", error.code)
            self._polls.clear()
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._polls.wait()
            except TimeoutError:
                pass

    async def _learn_salt(self) -> None:
        rows = await self.accounts.fetch("select tenantry.event_salt()")
        if self._salt is not None:
            return  # learned by another task meanwhile
        self._salt = rows[0][0]
        self._marks = Marks(rows[0][0])
        for (tenant, topic), channel in self.channels.items():
            self._by_key[self._key(tenant, topic)] = channel
        self.listener.start()

    async def _poll(self) -> None:
        """Which topics have anything at or above the last horizon? Those of ours are read."""
        rows = await self.accounts.fetch(MOVED, self._horizon, str(MOST_MOVED))
        was_first = self._horizon == NOW
        self._horizon = rows[0][0]
        if was_first or len(rows) >= MOST_MOVED:
            for channel in list(self.channels.values()):
                channel.wake()
        else:
            self._heard([key for _, key in rows if key is not None])
