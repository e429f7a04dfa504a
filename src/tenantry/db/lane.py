"""The fast lane: connections shared by READ ONLY trips in flight, each a transaction of its own, many in one write.

PostgreSQL runs the trips of a connection one after the other, and answers in order. Rules (docs/decisions/fast-lane.md): only
trips that may be repeated, so only READ ONLY ones; only statements that are fast (`pace`); the lane's own statement timeout, never
a cancel, which would strike a neighbour. What goes wrong here and is not the statement's own fault runs again, on a connection of
its own.
"""

from __future__ import annotations

import struct
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tenantry.db.trip import Outcome, Trip, WireFailure
from tenantry.db.unflushed import queue_sync
from tenantry.db.wire import (
    BINARY,
    COMMAND_OK,
    EMPTY_QUERY,
    ENDED_IDLE,
    ENTER_FORMATS,
    ENTER_NAME,
    FATAL_ERROR,
    PIPELINE_ABORTED,
    PIPELINE_SYNC,
    TUPLES_OK,
    enter_params,
    failure_of,
    is_end,
    last_word,
)  # fmt: skip

if TYPE_CHECKING:
    from tenantry.db.connection import Connection
    from tenantry.db.pool import Pool
    from tenantry.db.shares import Share

DEPTH = 16
"""Trips in flight on one connection: more gain nothing (measured), and wait longer behind a slow one."""
LANE_MS = 20
"""The statement timeout here: a neighbour waits at most so long for a statement that turned slow."""
MOST_QUEUED_SECONDS = 0.02
"""What the trips in flight may take together, by how long one takes lately: of slower statements fewer share."""
STALLED_SECONDS = 2.0
"""No answer for so long, where the server ends everything after 20 ms: it, or the way to it, is dead."""
UNUSED_SECONDS = 1.0
"""After so long without a trip the connection is an ordinary one again."""
MOST_REPEATS = 2

LOST = WireFailure("lost", Outcome.ROLLED_BACK, message="the connection was lost, more than once")
LATE = WireFailure("deadline", Outcome.ROLLED_BACK, message="it took too long")

_LANE_MS = struct.pack(">i", LANE_MS)
_STRUCK = "57014"
# Not the statement's own fault: forgotten or changed plans, serialization, locks, a back end whose state was changed.
_AGAIN = frozenset({_STRUCK, "0A000", "26000", "40001", "40P01", "55P03", "TN900"})
_RAN = frozenset({TUPLES_OK, COMMAND_OK, EMPTY_QUERY})
_LATE_SECONDS = 0.05


def nobody(trip: Trip) -> None:
    """Whoever asked for the trip has its answer, or has gone."""


class Lane:
    """One connection while it is shared: its own reader rests, and its own `trip` is None."""

    __slots__ = (
        "clock", "connection", "flying", "heard_at", "is_gathering", "is_over", "is_retiring", "lanes", "queue_sync", "results",
        "seconds_each", "wrong",
    )  # fmt: skip

    def __init__(self, lanes: FastLane, connection: Connection) -> None:
        self.lanes = lanes
        self.connection = connection
        self.flying: deque[tuple[Trip, tuple[int, ...]]] = deque()
        """The trips sent and not yet answered, with what their messages were."""
        self.seconds_each = 0.0
        """How long a trip takes here lately, the wait behind others not counted."""
        self.heard_at = connection.loop.time()
        self.clock = perf_counter()
        self.results: list[Any] = []
        self.wrong: Any = None
        self.is_gathering = False
        self.is_retiring = False
        self.is_over = False
        self.queue_sync = queue_sync(connection.pg)
        connection.watch(self.readable)

    # ------------------------------------------------------------------ out

    def carry(self, trip: Trip) -> None:
        """Queue a trip's messages; all that are queued in one turn of the loop leave in one write."""
        connection, query, entry = self.connection, trip.query, trip.entry
        assert query is not None  # the lane takes no other: Pool.submit
        assert entry is not None
        trip.connection = connection
        share = trip.share
        if share is not None:
            share.flying += 1
            share.left -= 1
        query.pace.shared()
        trip.sent_at = perf_counter()
        if not self.flying:
            self.heard_at = connection.loop.time()
            self.clock = trip.sent_at
        pg, known = connection.pg, connection.known
        steps: tuple[int, ...] = ()
        try:
            if query.key not in known:
                steps = connection.prepare(query, trip)
            given = enter_params(entry)
            if entry.deadline_ms > LANE_MS:
                given[4] = _LANE_MS
            pg.send_query_prepared(ENTER_NAME, given, ENTER_FORMATS, BINARY)
            pg.send_query_prepared(known[query.key], trip.params, trip.formats, BINARY)
            self.queue_sync()
        except Exception as error:  # a message that cannot be queued leaves the pipeline in an unknown state
            self.flying.append((trip, steps))
            connection.die(f"{type(error).__name__} while sending", was_flushed=False)
            return
        self.flying.append((trip, steps))
        if not self.is_gathering:
            self.is_gathering = True
            connection.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all that was gathered."""
        self.is_gathering = False
        if not self.is_over:
            self.connection.flush()

    # ------------------------------------------------------------------ in

    def readable(self) -> None:
        """Read what is there; each trip ends at its own SYNC."""
        connection = self.connection
        pg = connection.pg
        self.heard_at = connection.loop.time()
        try:
            pg.consume_input()
        except Exception:  # any error of libpq means that the connection is lost
            self.wrong = self.wrong or last_word(pg)
            connection.die("lost")
            return
        flying = self.flying
        nothing = landed = 0
        while flying and not pg.is_busy():
            result = pg.get_result()
            if result is None:
                nothing += 1
                if nothing > 2:
                    connection.die("lost: no more results")
                    return
                continue
            nothing = 0
            status = result.status
            if status == PIPELINE_SYNC:
                landed += 1
                self.synced()
                if self.is_over:
                    return
            elif status in _RAN:
                self.results.append(result)
            elif status != PIPELINE_ABORTED and self._is_end(result, status):
                return
        if landed:
            since, self.clock = self.clock, perf_counter()
            self.seconds_each += ((self.clock - since) / landed - self.seconds_each) / 8
        if not flying:
            connection.look()
        if self.lanes.waiting:
            self.lanes.refill()

    def _is_end(self, result: Any, status: int) -> bool:
        """Keep the first error of a trip; close after one that is the connection's last."""
        if status != FATAL_ERROR:
            self.connection.die("a result that a pipeline cannot have (COPY)")
            return True
        if self.wrong is None:
            self.wrong = result
            if is_end(result):
                self.connection.die("ended by the server")
                return True
        return False

    def synced(self) -> None:
        """The SYNC of the first trip in flight was read: it is over."""
        trip, steps = self.flying.popleft()
        if trip.share is not None:
            trip.share.flying -= 1
        results, wrong = self.results, self.wrong
        self.results, self.wrong = [], None
        if wrong is None:
            trip.entered, trip.result = results[-2:]
            self.lanes.pool.tell(trip)
            return
        self._went_wrong(trip, steps, results, failure_of(wrong, Outcome.ROLLED_BACK))

    def _went_wrong(self, trip: Trip, steps: tuple[int, ...], results: list[Any], failure: WireFailure) -> None:
        connection, state = self.connection, failure.sqlstate
        connection.forget(trip, steps, results, failure)
        assert trip.entry is not None  # see carry
        if state == "TN900":
            self.flying.appendleft((trip, ()))  # it is repeated with the others
            if trip.share is not None:
                trip.share.flying += 1
            connection.die("its session state was changed")
        elif state in _AGAIN and (state != _STRUCK or trip.entry.deadline_ms > LANE_MS):
            if state == _STRUCK and trip.query is not None:
                trip.query.pace.strike(connection.loop.time())
            self.lanes.pool.again(trip)
        else:
            trip.failure = failure
            self.lanes.pool.tell(trip)


class FastLane:
    """The shared connections of a pool, and the trips that wait for room on one."""

    def __init__(self, pool: Pool, size: int) -> None:
        """At most `size` connections of the pool are shared at one time."""
        self.pool = pool
        self.size = size
        self.lanes: list[Lane] = []
        self.waiting = pool.new_queue()

    def carry(self, trip: Trip, share: Share, now: float) -> bool:
        """Send the trip, or let it wait for room; False when a connection of its own is to be had instead."""
        pool = self.pool
        shares = pool.shares
        may_fly = shares.may_fly(share, now)
        lane = self._room() if may_fly else None
        if lane is not None:
            lane.carry(trip)
            return True
        if (may_fly and pool.idle) or not pool.has_room():
            return False
        flying = sum(len(lane.flying) for lane in self.lanes) - shares.strangers.flying
        shares.waits_to_fly(share, flying - share.flying, now)
        pool.waits(trip, share, self.waiting)
        return True

    def _room(self) -> Lane | None:
        # The first that has room: as long as one back end keeps up, it is always awake, and the next one need not be woken.
        for lane in self.lanes:
            if (
                not lane.is_retiring
                and len(lane.flying) < DEPTH
                and len(lane.flying) * lane.seconds_each < MOST_QUEUED_SECONDS
            ):
                return lane
        if len(self.lanes) < self.size and self.pool.idle:
            return self._open(self.pool.idle.pop())
        return None

    def _open(self, connection: Connection) -> Lane:
        lane = Lane(self, connection)
        self.lanes.append(lane)
        return lane

    def offer(self, connection: Connection) -> bool:
        """A connection is free and trips wait here: share it, if one more may be."""
        if len(self.lanes) >= self.size:
            return False
        self._open(connection)
        self.refill()
        return True

    def refill(self) -> None:
        """Send what waits, as far as there is room."""
        shares, now = self.pool.shares, self.pool.now()
        while self.waiting:
            lane = self._room()
            trip = None if lane is None else self.waiting.pop(lambda share: shares.may_fly(share, now))
            if lane is None or trip is None:
                return
            lane.carry(trip)

    def lost(self, connection: Connection) -> None:
        """A shared connection is dead: its trips changed nothing, so each runs again, on a connection of its own."""
        for lane in self.lanes:
            if lane.connection is connection:
                break
        else:
            return
        self.lanes.remove(lane)
        lane.is_over = True
        flying, lane.flying = lane.flying, deque()
        wrong = lane.wrong or connection.wrong
        was_ended = wrong is not None and failure_of(wrong, Outcome.ROLLED_BACK).sqlstate in ENDED_IDLE
        for trip, _ in reversed(flying):
            if trip.share is not None:
                trip.share.flying -= 1
            if trip.done is nobody:
                continue
            if was_ended:
                is_carried = self.pool.again_after_ending(trip)
            else:
                trip.repeats += 1
                is_carried = trip.repeats <= MOST_REPEATS
                if is_carried:
                    self.pool.again(trip)
            if not is_carried:
                self.pool.refuse(trip, LOST)

    def tick(self, now: float) -> None:
        """End what stalls, answer what is late, replace what is old, give back what is unused."""
        for lane in list(self.lanes):
            connection = lane.connection
            if lane.flying:
                if now - lane.heard_at > STALLED_SECONDS:
                    connection.die("it did not answer in time")
                    continue
                lane.is_retiring = self.pool.is_old(connection, now)
                for trip, _ in lane.flying:
                    if now > trip.deadline + _LATE_SECONDS and trip.done is not nobody:
                        self._late(trip)
            elif self.pool.is_old(connection, now):
                connection.die("replaced: it was old")
            elif now - lane.heard_at > UNUSED_SECONDS:
                self.lanes.remove(lane)
                lane.is_over = True
                connection.watch(connection.readable)
                self.pool.release(connection)

    def _late(self, trip: Trip) -> None:
        # Nothing can have been written, so the caller need not wait; no cancel, which could strike another.
        answered = Trip(trip.done)
        trip.done = nobody
        self.pool.refuse(answered, LATE)

    def unused(self) -> int:
        """How many shared connections carry nothing at this moment."""
        return sum(1 for lane in self.lanes if not lane.flying)
