"""The pool: connections that are leased to one trip, or one transaction, at a time.

Bounded: so many connections, so many that wait, so long. One clock for all deadlines, none a request. A lost connection is
replaced in the background: one probes with growing pauses, and when it is in, four at a time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tenantry.db.connect import NotConnected, connect
from tenantry.db.connection import Connection, nobody
from tenantry.db.failures import error_of, unknown_table
from tenantry.db.fair import FairQueue, Turns
from tenantry.db.lane import DEPTH, FastLane
from tenantry.db.pacer import Pacer
from tenantry.db.shares import Limits, Noisy, Share, Shares
from tenantry.db.trip import Outcome, Query, Shape, Trip, WireError, WireFailure
from tenantry.errors import DatabaseNotReady, TenantryError, TransactionHeld

if TYPE_CHECKING:
    from tenantry.db.outbox import Outlet
    from tenantry.db.plan import Plan
    from tenantry.db.trip import Entry
    from tenantry.settings import DatabaseUrl
    from tenantry.signals import Signals

TICK_SECONDS = 0.05
LATE_SECONDS = 0.05
"""The server's own timeout strikes first; the cancel follows so much later."""
OLDEST_SECONDS = 1800.0
"""After half an hour to an hour a connection is replaced: plans and memory of a back end do not grow for ever."""
LEAST_PAUSE, MOST_PAUSE, CONFIGURATION_PAUSE = 0.05, 5.0, 30.0
AT_ONCE = 4
AWAY_SECONDS = 0.5
"""So long without any connection the server is away. A fast restart takes 0.2 s, a kill of all back ends less: both are waited for."""
MOST_ENDINGS = 16
"""How many connections an operator may end under one request before it is refused; its deadline holds beside it."""
MOST_CAUSES = 32

UNAVAILABLE = WireFailure("unavailable", Outcome.ROLLED_BACK, message="no connection")
POOL_FULL = WireFailure("pool_full", Outcome.ROLLED_BACK, message="no connection was free in time")
OVER_SHARE = WireFailure("over_share", Outcome.ROLLED_BACK, message="1")
"""Its message is the seconds after which to try again."""
DEADLINE = WireFailure("deadline", Outcome.ROLLED_BACK, message="it took too long")


_CONSTRAINTS = """
select c.conname::text,
       (select pg_catalog.string_agg(a.attname, ',' order by k.place)
          from pg_catalog.unnest(c.conkey) with ordinality as k (number, place)
          join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number)::text,
       pg_catalog.obj_description(c.oid, 'pg_constraint')::text
  from pg_catalog.pg_constraint c
 where c.connamespace in ('public'::pg_catalog.regnamespace, 'tenantry'::pg_catalog.regnamespace)
union all
-- A unique index that is no constraint (over an expression, or with a condition) is named in errors all the same.
select i.relname::text,
       (select pg_catalog.string_agg(a.attname, ',' order by k.place)
          from pg_catalog.unnest(x.indkey::int2[]) with ordinality as k (number, place)
          join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.number)::text,
       pg_catalog.obj_description(i.oid, 'pg_class')::text
  from pg_catalog.pg_index x
  join pg_catalog.pg_class i on i.oid = x.indexrelid
 where x.indisunique
   and i.relnamespace = 'public'::pg_catalog.regnamespace
   and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.oid)
union all
-- What a trigger of ours asks, because a check would cost every update more than its row does (0027_lighter_updates.sql).
select 'users_name_check', 'name', 'A name has 1 to 200 characters'
"""


class PoolStats(Struct, frozen=True):
    """A look at the pool: connections by state, requests that wait, connections lost so far by cause."""

    size: int
    open: int
    idle: int
    busy: int
    in_transaction: int
    waiting: int
    lost: dict[str, int]


class Pool:
    """Connections to one URL. `enters`: its trips enter a tenant; the accounts' pool does not."""

    log = logging.getLogger("tenantry.db")

    def __init__(
        self, url: DatabaseUrl, *, size: int, queue: int, wait_ms: int, signals: Signals, enters: bool = True,
        deadline_ms: int = 10_000, idle_ms: int = 5_000, shared: int = 0, limits: Limits | None = None,
    ) -> None:  # fmt: skip
        """`limits` are one tenant's.

        `queue` trips may wait, for `wait_ms`; a transaction may lie idle for `idle_ms`; `shared` connections are the fast lane's.
        """
        self.url = url
        self.size = size
        self.queue = queue
        self.wait_seconds = wait_ms / 1000
        self.idle_seconds = idle_ms / 1000
        self.slow_ms = float("inf")
        self.tell_slow: Callable[[Entry, Plan, Trip, float], None] = self._log_slow
        """A statement that takes longer than `slow_ms` is told to this: a line in the log, with its procedure."""
        self.told_held_seconds = float("inf")
        """A transaction that lies idle for so long has its line in the log: in development, before it costs anybody anything."""
        self.deadline_ms = deadline_ms
        self.no_table: Callable[..., TenantryError] = partial(unknown_table, file=None, others=())
        """The error of a statement on a table that is not here: `db.migrate.no_table`, where there is a folder of migrations."""
        self.signals = signals
        self.is_accounts = not enters
        self.connections: set[Connection] = set()
        self.is_away = False  # no connection has been had for a while, and the last try failed: then nobody need wait
        self.gone_at = 0.0  # since when there has been none
        self.idle: list[Connection] = []
        self.shares = Shares(size, DEPTH * shared, limits or Limits(share=1.0 if not enters else 0.5))
        self.waiting = self.new_queue()
        self.lane = FastLane(self, shared) if shared and enters else None
        """Where READ ONLY trips share connections; None when they do not."""
        self.is_closed = True
        self.causes: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop
        self._wakes: asyncio.Event
        self._timer: asyncio.TimerHandle | None = None
        self._pacer = Pacer(self)
        self._mending: asyncio.Task[None] | None = None
        self._describing: dict[int, asyncio.Future[Shape]] = {}
        self._own: dict[str, Query] = {}
        self.constraints: dict[str, tuple[list[str], str | None]] = {}
        self.outlet: Outlet | None = None
        """Who is told of events that were committed, and reads them for subscribers; set by `app`."""

    # ------------------------------------------------------------------ opening and closing

    async def open(self) -> None:
        """Connect. Raises DatabaseNotReady, with the remedy, when not one connection can be had."""
        self._loop = asyncio.get_running_loop()
        self._wakes = asyncio.Event()
        self.is_closed = False
        try:
            await self._add()
        except NotConnected as error:
            self.is_closed = True
            cure = "Look at DATABASE_URL, and whether the server runs: tenantry db status"
            raise DatabaseNotReady(why=error.why, cure=cure) from None
        except WireError as error:
            self.is_closed = True
            raise DatabaseNotReady(why=error.failure.message, cure="Run: tenantry db push") from None
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        self._wakes.set()
        self._mending = self._loop.create_task(self._mend())
        # The rest at once as well, so that the first requests find a full pool; a failure here is mended later on.
        until = self._loop.time() + 1.0
        while len(self.connections) < self.size and self._loop.time() < until:
            await asyncio.sleep(0.005)
        if not self.is_accounts:
            await self.learn_constraints()

    async def learn_constraints(self) -> None:
        """What the constraints of the application's tables are about, so that their errors can name fields."""
        rows = await self.fetch(_CONSTRAINTS)
        self.constraints = {name: (columns.split(",") if columns else [], comment) for name, columns, comment in rows}

    async def _add(self) -> None:
        opened = await connect(self.url, enters=not self.is_accounts)
        connection = Connection(opened.pg, self, self._loop, is_named=opened.is_named, is_pooled=opened.is_pooled)
        self.connections.add(connection)
        self.is_away = False
        if opened.is_pooled:
            self.lane = None  # a pooler gives each transaction another server, and has its own ways with a pipeline
        if self.is_closed:
            connection.die("the pool is closed")
        else:
            self.release(connection)

    async def _mend(self) -> None:
        """Keep as many connections as wanted."""
        pause = 0.0
        while True:
            await self._wakes.wait()
            missing = self.size - len(self.connections)
            if missing <= 0:
                self._wakes.clear()
                continue
            if pause:
                await asyncio.sleep(random.uniform(0.2 * pause, pause))  # noqa: S311 - jitter is no secret
            # While the server is away one connection asks for all.
            found = await asyncio.gather(
                *(self._add() for _ in range(1 if pause else min(missing, AT_ONCE))), return_exceptions=True
            )
            failed = [error for error in found if isinstance(error, BaseException)]
            if not failed:
                pause = 0.0
                continue
            if not pause:
                self.log.warning("no connection to the database: %s", failed[0])
            pause = _next_pause(failed[0], pause)
            if not self.connections and self._loop.time() - self.gone_at > AWAY_SECONDS:
                self.is_away = True
                self._refuse_all(UNAVAILABLE)

    async def close(self, grace_seconds: float) -> None:
        """Let what runs end within the grace, then cancel it and close. A second call does nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        self._refuse_all(UNAVAILABLE)
        await self._until(lambda: self._unused() >= len(self.connections), grace_seconds)
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.gather(self._mending, return_exceptions=True)
        for connection in list(self.connections):
            # Closing is not cancelling: what runs on a closed connection may still commit.
            connection.stop()
        await self._until(lambda: all(c.trip is None for c in self.connections), 1.0)
        if self._timer is not None:
            self._timer.cancel()
        self._pacer.close()
        for connection in list(self.connections):
            connection.die("the pool is closed")

    async def _until(self, is_so: Any, seconds: float) -> None:
        until = self._loop.time() + seconds
        while not is_so() and self._loop.time() < until:
            await asyncio.sleep(0.01)

    # ------------------------------------------------------------------ trips

    def submit(self, trip: Trip) -> None:
        """Carry a trip on a connection of its own, at once or when one is free; `trip.done` hears of it either way."""
        now = self._loop.time()
        trip.deadline = now + (trip.deadline or self.deadline_ms) / 1000
        lane, entry, query = self.lane, trip.entry, trip.query
        shares = self.shares
        share = trip.share = shares.of(entry)
        if shares.is_limited and self._is_over(trip, share, now):
            return
        if (
            lane is not None and query is not None and query.pace.is_fast and entry is not None and entry.read_only
            and not trip.verb and not self.is_closed and lane.carry(trip, share, now)
        ):  # fmt: skip
            return
        if self.idle and not self.is_closed and shares.may_hold(share, len(self.idle), now):
            self.begin(self.idle.pop(), trip)
        elif self.is_closed or self.is_away:
            self.refuse(trip, UNAVAILABLE)
        elif self.has_room() or self._make_room(trip, share, now):
            shares.waits(share, self._held_by_others(share), now)
            self.waits(trip, share, self.waiting)

    def begin(self, connection: Connection, trip: Trip) -> None:
        """Lease a connection for a trip, to its tenant's account."""
        share = trip.share
        if share is not None:
            share.busy += 1
            share.left -= 1
            connection.share = share
        connection.begin(trip)

    def waits(self, trip: Trip, share: Share, queue: FairQueue[Share, Trip]) -> None:
        """Let a trip wait for a connection, as long as it may."""
        trip.waits_until = min(self._loop.time() + self.wait_seconds, trip.deadline)
        queue.push(share, trip)

    def _held_by_others(self, share: Share) -> int:
        """Connections that other tenants hold; those of unknown ones, and shared ones, are nobody's in particular."""
        shares, lanes = self.shares, 0 if self.lane is None else len(self.lane.lanes)
        nobodys = len(self.idle) + lanes + shares.strangers.busy + shares.own.busy
        return len(self.connections) - nobodys - share.busy

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """By the pool's loop."""
        return self._loop.call_later(seconds, call)

    def new_queue(self) -> FairQueue[Share, Trip]:
        """A queue in which the tenants take turns; all that are not known yet take theirs as one."""
        strangers = self.shares.strangers
        return FairQueue(lambda share: Turns(_credential) if share is strangers else deque())

    def has_room(self) -> bool:
        """Whether one more may wait."""
        return len(self.waiting) + (0 if self.lane is None else len(self.lane.waiting)) < self.queue

    def _make_room(self, trip: Trip, share: Share, now: float) -> bool:
        """The queue is full: refuse the trip of the tenant that fills it, and say whether this one may wait instead."""
        queues = self._queues()
        own, lines = sum(queue.waiting_of(share) for queue in queues), max(queue.lines for queue in queues)
        whole = sum(map(len, queues))
        if own * max(lines, 1) < whole:
            evicted = max(queues, key=len).evict()
            if evicted is not None:
                self.turn_away(evicted[1], OVER_SHARE if not evicted[0].is_free else POOL_FULL, "queue_full")
                return True
        is_over = not share.is_free and (own * lines >= 2 * whole > 0 if lines > 1 else self.shares.is_over(share, now))
        self.turn_away(trip, OVER_SHARE if is_over else POOL_FULL, "queue_full")
        return False

    def _is_over(self, trip: Trip, share: Share, now: float) -> bool:
        """Refuse what is over its tenant's rate or budget."""
        excess = self.shares.excess(share, now)
        if excess is None:
            return False
        cause, seconds = excess
        failure = WireFailure("over_share", Outcome.ROLLED_BACK, message=str(max(1, ceil(seconds))))
        self.turn_away(trip, failure, cause)
        return True

    def turn_away(self, trip: Trip, failure: WireFailure, cause: str) -> None:
        """Refuse a trip because there is no room for it, and count why."""
        if failure.kind == "pool_full":
            self.signals.pool_timeout()
        self.signals.count("db_requests_refused_total", cause)
        if trip.share is not None:
            trip.share.refused += 1
        self.refuse(trip, failure)

    def again(self, trip: Trip) -> None:
        """Carry a trip once more, before all others and on a connection of its own: it changed nothing."""
        trip.connection = trip.entered = trip.result = None
        if self.is_closed or self.is_away:
            self.refuse(trip, UNAVAILABLE)
            return
        while self.idle:
            # What ended one back end has mostly ended its neighbours too.
            connection = self.idle.pop()
            if connection.is_whole():
                self.begin(connection, trip)
                return
        trip.waits_until = min(self._loop.time() + self.wait_seconds, trip.deadline)
        self.waiting.push_first(trip)

    def again_after_ending(self, trip: Trip) -> bool:
        """Carry a trip once more whose connection was ended under it; False when it has had its share of tries, or of time."""
        trip.endings += 1
        if trip.endings > MOST_ENDINGS or self._loop.time() >= trip.deadline:
            return False
        self.again(trip)
        return True

    def cancel(self, trip: Trip) -> None:
        """Whoever asked has gone: a waiting trip is forgotten, a running one is cancelled. Nobody is told."""
        trip.done = nobody
        connection = trip.connection
        if connection is None and trip.share is not None:
            for queue in self._queues():
                if queue.remove(trip.share, trip):
                    break
        elif connection is not None and connection.trip is trip:
            connection.stop()

    def release(self, connection: Connection) -> None:
        """A connection is free: the next that waits has it, else it is idle."""
        self._given_back(connection)
        lane = self.lane
        if not self.is_closed:
            if lane is not None and lane.waiting and lane.offer(connection):
                return
            trip = self._next(len(self.idle) + 1)
            if trip is not None:
                self.begin(connection, trip)
                return
        self.idle.append(connection)

    def _next(self, idle: int) -> Trip | None:
        """Whoever's turn it is, and may have one of the `idle` connections."""
        lane, now = self.lane, self._loop.time()
        trip = None
        if self.waiting:
            trip = self.waiting.pop(lambda share: self.shares.may_hold(share, idle, now))
        if trip is None and lane is not None and lane.waiting:
            trip = lane.waiting.pop(lambda share: self.shares.may_hold(share, idle, now))
        return trip

    def _given_back(self, connection: Connection) -> None:
        share = connection.share
        if share is not None:
            share.busy -= 1
            connection.share = None

    def lost(self, connection: Connection, why: str) -> None:
        """A connection is dead; another takes its place."""
        self._given_back(connection)
        self.connections.discard(connection)
        if not self.connections:
            self.gone_at = self._loop.time()
        if connection in self.idle:
            self.idle.remove(connection)
        if self.lane is not None:
            self.lane.lost(connection)
        cause = why if why in self.causes or len(self.causes) < MOST_CAUSES else "_other"
        self.causes[cause] = self.causes.get(cause, 0) + 1
        if not self.is_closed:
            self._wakes.set()

    def refuse(self, trip: Trip, failure: WireFailure) -> None:
        """Tell by the loop that a trip has failed: its caller may not yet have kept what it submitted."""
        trip.failure = failure
        self._loop.call_soon(self.tell, trip)

    def tell(self, trip: Trip) -> None:
        """Say that a trip is over; whatever its hearer raises stays with it."""
        try:
            trip.done(trip)
        except Exception:
            self.log.exception("a trip's end raised")

    def _refuse_all(self, failure: WireFailure) -> None:
        for queue in self._queues():
            while (trip := queue.pop(_everyone)) is not None:
                self.refuse(trip, failure)

    def _queues(self) -> tuple[FairQueue[Share, Trip], ...]:
        return (self.waiting,) if self.lane is None else (self.waiting, self.lane.waiting)

    # ------------------------------------------------------------------ the clock

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        now = self._loop.time()
        for queue in self._queues():
            for trip in [trip for trip in queue if trip.waits_until <= now]:
                share = trip.share
                assert share is not None  # submitted
                queue.remove(share, trip)
                self.turn_away(trip, OVER_SHARE if self.shares.is_over(share, now) else POOL_FULL, "waited_too_long")
        self.shares.age(now)
        self._pacer.tick(now, TICK_SECONDS)
        # Who kept to its share while others wanted theirs may go on once they no longer do.
        self.serve_waiting()
        if self.lane is not None:
            self.lane.tick(now)
        for connection in list(self.connections):
            if connection.trip is not None or connection.cancel is not None:
                self._check_busy(connection, now)
            elif connection.opened_at:
                idle = now - connection.opened_at
                if idle > self.told_held_seconds and connection.ticket_told != connection.ticket:
                    connection.ticket_told = connection.ticket
                    self.log.warning(
                        "TRANSACTION_HELD %s has held a transaction idle for %.0f ms; at %.0f ms it is ended.\n%s",
                        connection.holder, idle * 1000, self.idle_seconds * 1000, TransactionHeld.remedy,
                    )  # fmt: skip
                if idle > self.idle_seconds:
                    connection.abandon(connection.ticket, was_held=True)
            elif self.is_old(connection, now) and connection in self.idle:
                connection.die("replaced: it was old")

    def _log_slow(self, entry: Entry, plan: Plan, trip: Trip, took_ms: float) -> None:
        self.log.warning("slow statement: %s (%s) took %.0f ms", plan.procedure, plan.where, took_ms)

    def serve_waiting(self) -> None:
        """Give what is idle to those that wait, and may have it."""
        while self.idle and self.waiting and (trip := self._next(len(self.idle))) is not None:
            self.begin(self.idle.pop(), trip)

    @staticmethod
    def is_old(connection: Connection, now: float) -> bool:
        """Whether it should be replaced; each at another time."""
        return now - connection.born > OLDEST_SECONDS * (1 + hash(connection) % 97 / 97)

    def _check_busy(self, connection: Connection, now: float) -> None:
        if connection.closing_at and now > connection.closing_at:
            connection.die("it did not stop in time")
            return
        trip = connection.trip
        if trip is None or connection.closing_at or not trip.deadline or now < trip.deadline + LATE_SECONDS:
            return
        if trip.entry is not None and trip.entry.read_only:
            # Nothing can have been written, so the caller need not wait for the cancel.
            answered = Trip(trip.done)
            answered.failure = DEADLINE
            trip.done = nobody
            self._loop.call_soon(self.tell, answered)
        connection.stop()

    # ------------------------------------------------------------------ describing, and statements without a tenant

    async def describe(self, query: Query) -> Shape:
        """Ask PostgreSQL what a statement takes and gives; once, however many ask. Raises WireError."""
        if query.shape is not None:
            return query.shape
        answer = self._describing.get(query.key)
        if answer is None:
            answer = self._describing[query.key] = self._loop.create_future()
            answer.add_done_callback(_seen)
            trip = Trip(lambda trip: self._described(trip, query), query=query)
            trip.describes = True
            self.submit(trip)
        return await asyncio.shield(answer)

    def _described(self, trip: Trip, query: Query) -> None:
        answer = self._describing.pop(query.key)
        if trip.failure is not None:
            answer.set_exception(WireError(trip.failure))
        elif query.shape is not None:
            answer.set_result(query.shape)

    async def fetch(self, text: str, *params: str | bytes | None) -> list[tuple[Any, ...]]:
        """Run one statement of ours as this pool's role, and give its rows. Raises what `error_of` makes of a failure."""
        from psycopg.adapt import Transformer

        query = self._own.setdefault(text, Query(text))
        try:
            await self.describe(query)
        except WireError as error:
            raise self._error(error.failure) from None
        answer: asyncio.Future[None] = self._loop.create_future()
        trip = Trip(
            lambda _: None if answer.done() else answer.set_result(None),
            query=query,
            params=[p.encode() if isinstance(p, str) else p for p in params],
            formats=[1] * len(params),
        )
        self.submit(trip)
        try:
            await answer
        except asyncio.CancelledError:
            self.cancel(trip)
            raise
        if trip.failure is not None:
            raise self._error(trip.failure)
        transformer = Transformer()
        transformer.set_pgresult(trip.result)
        return transformer.load_rows(0, trip.result.ntuples if trip.result else 0, tuple)

    @staticmethod
    def _error(failure: WireFailure) -> TenantryError:
        return error_of(failure, procedure="A statement of ours", where="accounts", read_only=False)

    def noisiest(self, most: int) -> list[Noisy]:
        """The tenants that took most since this was asked last."""
        return self.shares.noisiest(most)

    def stats(self) -> PoolStats:
        """How it stands now."""
        open_, idle = len(self.connections), self._unused()
        in_transaction = sum(1 for c in self.connections if c.opened_at)
        waiting = sum(map(len, self._queues()))
        return PoolStats(self.size, open_, idle, open_ - idle, in_transaction, waiting, dict(self.causes))

    def _unused(self) -> int:
        return len(self.idle) + (0 if self.lane is None else self.lane.unused())


_OF_CONFIGURATION = frozenset({"28", "3D", "3F", "42", "0A", "TN"})
"""SQLSTATE classes in which only somebody's change helps. A connection that was ended while it warmed up is none of them."""


def _next_pause(error: BaseException, pause: float) -> float:
    """Seconds until the next try: a faulty configuration is not mended in milliseconds."""
    is_refused = isinstance(error, WireError) and error.failure.sqlstate[:2] in _OF_CONFIGURATION
    if is_refused or (isinstance(error, NotConnected) and error.is_configuration):
        return CONFIGURATION_PAUSE
    return min(MOST_PAUSE, max(LEAST_PAUSE, pause * 2))


def _everyone(_: Share) -> bool:
    return True


def _credential(trip: Trip) -> int:
    """Whose a trip of an unknown tenant is."""
    return 0 if trip.entry is None else hash(trip.entry.credential)


def _seen(answer: asyncio.Future[Shape]) -> None:
    """An error that nobody waits for any more is no warning."""
    if not answer.cancelled():
        answer.exception()
