"""Reading events: the two statements, and what comes back as plain values. No loop, no subscribers here.

A place is (place, at, n, id): the order of a topic's events, the same for every reader for ever (0011_events.sql); clients have it sealed
(`marks`). Values travel binary, so a place is compared in Python as PostgreSQL compares it.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tenantry.db import Entry, Pool, Query, Trip, error_of
from tenantry.errors import EventsGone
from tenantry.events.marks import Place

if TYPE_CHECKING:
    from tenantry.events.marks import Marks
    from tenantry.identity import Membership

PAGE = 500
"""Events of one read."""
MOST_ABOVE = 1000
_BEGINNING = (-(2**63), 0, bytes(16))

_STATE = """
select pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint as horizon,
       (select r.gone from tenantry.event_ring r) as gone
"""

# Above the horizon, and seen already: what a subscriber that begins now must not be given when the horizon has passed it.
BEGIN = Query(f"""
select h.horizon, h.gone, e.place, e.at, e.n, e.id
  from ({_STATE}) h
  left join lateral (
        select e.place, e.at, e.n, e.id
          from tenantry.events e
         where e.topic = $1::text and e.place >= h.horizon
         limit {MOST_ABOVE}
       ) e on true
""")  # noqa: S608 - constants

RESUME = Query(f"""
select h.horizon, h.gone, e.place, e.at, e.n, e.id
  from ({_STATE}) h
  left join tenantry.events e
    on e.topic = $1::text
   and (e.place, e.at, e.n, e.id) = ($2::bigint, $3::timestamptz, $4::integer, $5::uuid)
""")  # noqa: S608 - constants

READ = Query(f"""
select h.horizon, h.gone,
       exists (select from tenantry.events p where p.topic = $1::text and p.place >= h.horizon) as is_waiting,
       e.place, e.at, e.n, e.id, e.value
  from ({_STATE}) h
  left join lateral (
        select e.place, e.at, e.n, e.id, e.value
          from tenantry.events e
         where e.topic = $1::text
           and (e.place, e.at, e.n, e.id) > ($2::bigint, $3::timestamptz, $4::integer, $5::uuid)
           and e.place < h.horizon
         order by e.place, e.at, e.n, e.id
         limit {PAGE}
       ) e on true
 order by e.place, e.at, e.n, e.id
""")  # noqa: S608 - constants

LOOK = Query("select 1")

_int8 = struct.Struct(">q")
_int4 = struct.Struct(">i")


class Event:
    """One event as it lies in the table; decoded once for each type that subscribers ask for."""

    __slots__ = ("_decoded", "id", "place", "raw")

    def __init__(self, place: Place, id_: str, raw: bytes) -> None:
        """`raw` is its JSON."""
        self.place = place
        self.id = id_
        self.raw = raw
        self._decoded: dict[Any, Any] | None = None

    def value(self, kind: Any, decode: Any) -> Any:
        """What it is as this type; the same object for all who ask for the type."""
        if self._decoded is None:
            self._decoded = {}
        found = self._decoded.get(kind)
        if found is None:
            found = self._decoded[kind] = decode(self.raw)
        return found


class Page(Struct, frozen=True):
    """What one read gave: events in order, where to go on, and whether more is there or about to be."""

    events: list[Event]
    after: Place
    is_full: bool
    is_waiting: bool
    """Something is committed, and not yet below the horizon: read again soon."""


class Beginning(Struct, frozen=True):
    """Where a subscription begins, in which tenant, as what role; `seen` are places above its horizon that came before it."""

    membership: Membership
    after: Place
    seen: frozenset[Place]


def start_of(horizon: int) -> Place:
    """Before all events of that place."""
    return (horizon, *_BEGINNING)


async def begin(pool: Pool, entry: Entry, topic: str, after: str | None, marks: Marks) -> Beginning:
    """Enter, and find where to begin: now, or after an event. Raises EventsGone, and what entering raises."""
    if after is None:
        membership, rows = await _carried(pool, entry, BEGIN, [topic.encode()], [0])
        horizon = _int8.unpack(rows.get_value(0, 0))[0]
        is_empty = rows.get_value(0, 2) is None
        seen = frozenset(() if is_empty else (_place(rows, row, 2) for row in range(rows.ntuples)))
        return Beginning(membership, start_of(horizon), seen)
    last = marks.read(topic, after)
    if last is None:
        raise EventsGone
    membership, rows = await _carried(pool, entry, RESUME, _at(topic, last), _AT_FORMATS)
    if rows.get_value(0, 2) is None:
        raise EventsGone
    return Beginning(membership, last, frozenset())


async def read(pool: Pool, entry: Entry, topic: str, after: Place, marks: Marks) -> Page:
    """What came after a place, in order. Raises EventsGone when some of it is no longer kept, and what entering raises."""
    _, rows = await _carried(pool, entry, READ, _at(topic, after), _AT_FORMATS)
    get = rows.get_value
    horizon, gone = _int8.unpack(get(0, 0))[0], _int8.unpack(get(0, 1))[0]
    if gone >= after[0]:
        raise EventsGone
    events: list[Event] = []
    if get(0, 3) is not None:
        for row in range(rows.ntuples):
            place = _place(rows, row, 3)
            events.append(Event(place, marks.write(topic, place), get(row, 7)))
    is_full = len(events) == PAGE
    return Page(events, events[-1].place if is_full else max(after, start_of(horizon)), is_full, get(0, 2) == b"\x01")


_AT_FORMATS = [0, 1, 1, 1, 1]


def _at(topic: str, place: Place) -> list[bytes | None]:
    """The parameters that name a topic and a place."""
    return [topic.encode(), _int8.pack(place[0]), _int8.pack(place[1]), _int4.pack(place[2]), place[3]]


async def look(pool: Pool, entry: Entry) -> str:
    """Enter, and do nothing: the role of a credential that is good. Raises what entering raises."""
    membership, _ = await _carried(pool, entry, LOOK, [], [])
    return membership.role


async def _carried(
    pool: Pool, entry: Entry, query: Query, params: list[bytes | None], formats: list[int]
) -> tuple[Membership, Any]:
    """Who entered, and the rows: a PGresult, whose values are bytes by the types of the statement."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    trip = Trip(
        lambda _: None if over.done() else over.set_result(None),
        entry=entry, query=query, params=params, formats=formats, deadline_ms=entry.deadline_ms,
    )  # fmt: skip
    pool.submit(trip)
    try:
        await over
    except asyncio.CancelledError:
        pool.cancel(trip)
        raise
    if trip.failure is not None:
        raise error_of(trip.failure, procedure=entry.procedure, where="ctx.subscribe", read_only=True)
    membership = trip.membership
    assert membership is not None  # it has an entry, and did not fail
    return membership, trip.result


def _place(rows: Any, row: int, column: int) -> Place:
    get = rows.get_value
    return (
        _int8.unpack(get(row, column))[0],
        _int8.unpack(get(row, column + 1))[0],
        _int4.unpack(get(row, column + 2))[0],
        bytes(get(row, column + 3)),
    )
