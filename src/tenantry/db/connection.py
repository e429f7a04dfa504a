"""One connection in pipeline mode: trips out, results in, one reader, no task, no timer.

A connection carries one trip at a time. When its SYNC is read the outcome is known; when then no transaction is open, and
no cancel is in the air, it goes back to its pool by itself. A trip with a BEGIN leaves it leased to whoever holds the
trip's ticket. DEAD is final: a new object connects.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from tenantry.db.cancel import Cancel
from tenantry.db.trip import Outcome, Query, Shape, Trip, WireFailure
from tenantry.db.wire import (
    BINARY,
    CLEAN,
    COMMAND_OK,
    EMPTY_QUERY,
    ENDED_IDLE,
    ENTER,
    ENTER_FORMATS,
    ENTER_NAME,
    FATAL_ERROR,
    IDLE,
    INERROR,
    INTRANS,
    PIPELINE_ABORTED,
    PIPELINE_SYNC,
    TUPLES_OK,
    VERBS,
    enter_params,
    failure_of,
    is_end,
    last_word,
)  # fmt: skip

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from psycopg.pq import abc

    from tenantry.db.pool import Pool
    from tenantry.db.shares import Share

MOST_STATEMENTS = 256
"""Prepared on one connection; each takes 10 to 20 KB in its back end (measured)."""
MOST_REPEATS = 2
CLEAN_SECONDS = 2.0
REPEATABLE = frozenset({"40001", "40P01", "26000"})
"""Known rolled back, and may go better at once: serialization, deadlock, a statement that the server has forgotten."""

# What each message of a trip was, in order, so that its results are told apart.
PARSE, DESCRIBE, CLOSE, ENTERED, VERB, STATEMENT = range(6)
_ENTER_AND_STATEMENT = (ENTERED, STATEMENT)
_STATEMENT_ONLY = (STATEMENT,)
_CLEANING = (VERB, PARSE)


def nobody(trip: Trip) -> None:
    """Whoever asked for the trip has gone."""


class Connection:
    """A live connection of a pool. Made by `connect`, and handed to `Pool.connected`."""

    __slots__ = (
        "born", "cancel", "closing_at", "fd", "holder", "is_dead", "is_ending", "is_named", "is_pooled", "is_tainted", "known", "loop",
        "names",
        "opened_at",
        "pg", "pool", "results", "share", "steps", "ticket", "ticket_held", "ticket_told", "to_close", "trip", "wrong",
    )  # fmt: skip

    def __init__(
        self, pg: abc.PGconn, pool: Pool, loop: asyncio.AbstractEventLoop, *, is_named: bool, is_pooled: bool
    ) -> None:
        self.pg = pg
        self.pool = pool
        self.loop = loop
        self.fd = pg.socket
        self.is_named = is_named
        """Whether prepared statements survive here; behind an old PgBouncer every statement is unnamed."""
        self.is_pooled = is_pooled
        self.born = loop.time()
        self.known: dict[int, bytes] = {}
        self.names = 0
        self.to_close: list[bytes] = []
        self.trip: Trip | None = None
        self.share: Share | None = None
        """Which tenant has it; kept by the pool."""
        self.steps: tuple[int, ...] = ()
        self.results: list[Any] = []
        self.wrong: Any = None
        self.cancel: Cancel | None = None
        self.closing_at = 0.0
        self.opened_at = 0.0
        """Since when a transaction is open and idle; 0 when none is."""
        self.ticket_held = 0
        """The last lease that was ended because it lay idle."""
        self.ticket_told = 0
        """The last lease of which it was said that it lies idle."""
        self.holder = ""
        """Whose transaction it is: a procedure's name."""
        self.ticket = 0
        self.is_dead = False
        self.is_ending = False
        self.is_tainted = False
        """Whether it was lent: then it is cleaned before it goes back to the pool."""
        pg.notice_handler = self.noticed
        loop.add_reader(self.fd, self.readable)

    # ------------------------------------------------------------------ out

    def begin(self, trip: Trip) -> None:
        """Carry the first trip of a lease."""
        self.ticket += 1
        trip.connection = self
        trip.ticket = self.ticket
        self.send(trip)

    def go_on(self, trip: Trip, ticket: int) -> None:
        """Carry a further trip of an open transaction; fails it when the lease is over."""
        if self.is_dead or ticket != self.ticket or self.opened_at == 0.0:
            why = "held" if ticket == self.ticket_held else "the transaction is over"
            self.loop.call_soon(self._fail, trip, WireFailure("lost", Outcome.ROLLED_BACK, message=why))
            return
        trip.connection = self
        trip.ticket = ticket
        trip.deadline = self.loop.time() + (trip.deadline or self.pool.deadline_ms) / 1000
        self.opened_at = 0.0
        self.send(trip)

    def send(self, trip: Trip) -> None:
        """Queue a trip's messages and write them in one piece."""
        self.trip = trip
        trip.sent_at = perf_counter()
        pg = self.pg
        query = trip.query
        try:
            if (query is not None and self.is_named and query.key not in self.known) or trip.describes:
                steps = self.prepare(query, trip)
            else:
                steps = ()
            if not trip.describes:
                entry = trip.entry
                if entry is not None:
                    if self.is_named:
                        pg.send_query_prepared(ENTER_NAME, enter_params(entry), ENTER_FORMATS, BINARY)
                    else:
                        pg.send_query_params(ENTER, enter_params(entry), None, ENTER_FORMATS, BINARY)
                if trip.verb:
                    pg.send_query_params(VERBS[trip.verb], None)
                if query is not None:
                    if self.is_named:
                        pg.send_query_prepared(self.known[query.key], trip.params, trip.formats, BINARY)
                    else:
                        oids = None if query.shape is None else query.shape.params
                        pg.send_query_params(query.text, trip.params, oids, trip.formats, BINARY)
                if entry is not None and query is not None and not trip.verb:
                    steps = steps + _ENTER_AND_STATEMENT if steps else _ENTER_AND_STATEMENT
                else:
                    steps += (
                        ((ENTERED,) if entry is not None else ())
                        + ((VERB,) if trip.verb else ())
                        + (_STATEMENT_ONLY if query is not None else ())
                    )
            self.steps = steps
            pg.pipeline_sync()  # writes all that was queued
            if pg.flush():
                self.loop.add_writer(self.fd, self.writable)
        except Exception as error:  # a message that cannot be queued leaves the pipeline in an unknown state
            self.die(f"{type(error).__name__} while sending", was_flushed=False)

    def prepare(self, query: Query | None, trip: Trip) -> tuple[int, ...]:
        """Close what was dropped, then Parse (and Describe): before `enter`, so that a refused credential does not cost it."""
        assert query is not None
        pg = self.pg
        known = self.known
        if len(known) >= MOST_STATEMENTS:
            oldest = next(iter(known))
            self.to_close.append(known.pop(oldest))
        steps: list[int] = []
        for name in self.to_close:
            pg.send_close_prepared(name)
            steps.append(CLOSE)
        self.to_close = []
        name = b""
        if self.is_named:
            held = known.pop(query.key, None)
            if held is None:
                self.names += 1
                held = b"s%d" % self.names
                pg.send_prepare(held, query.text)
                steps.append(PARSE)
            name = known[query.key] = held
        else:
            pg.send_prepare(name, query.text)
            steps.append(PARSE)
        if trip.describes:
            pg.send_describe_prepared(name)
            steps.append(DESCRIBE)
        return tuple(steps)

    def writable(self) -> None:
        """libpq's own buffer was full: go on until it is empty (consume_input does not flush)."""
        try:
            if not self.pg.flush():
                self.loop.remove_writer(self.fd)
        except Exception:  # any error of libpq means that the connection is lost
            self.die("lost while sending", was_flushed=False)

    def flush(self) -> None:
        """Write what was queued by others than `send`."""
        try:
            if self.pg.flush():
                self.loop.add_writer(self.fd, self.writable)
        except Exception:  # see above
            self.die("lost while sending", was_flushed=False)

    # ------------------------------------------------------------------ in

    def watch(self, readable: Callable[[], None]) -> None:
        """Let `readable` hear of what arrives from now on: the fast lane's reader, or one's own again."""
        self.loop.remove_reader(self.fd)
        self.loop.add_reader(self.fd, readable)

    def readable(self) -> None:
        """Read what is there; the trip ends at its SYNC."""
        pg = self.pg
        try:
            pg.consume_input()
        except Exception:  # any error of libpq means that the connection is lost
            self._drain()
            return
        self._read(pg)

    def _read(self, pg: abc.PGconn) -> None:
        results = self.results
        nothing = 0
        while self.trip is not None and not pg.is_busy():
            result = pg.get_result()
            if result is None:
                nothing += 1
                if nothing > 2:
                    self.die("lost: no more results")
                    return
                continue
            nothing = 0
            status = result.status
            if status == PIPELINE_SYNC:
                self.synced()
                if self.is_dead:
                    return
            elif status in (TUPLES_OK, COMMAND_OK, EMPTY_QUERY):
                results.append(result)
            elif status == FATAL_ERROR:
                if self.wrong is None:
                    self.wrong = result
                    if is_end(result):
                        self.die("ended by the server")
                        return
            elif status != PIPELINE_ABORTED:
                self.die("a result that a pipeline cannot have (COPY)")
                return
        if self.trip is None and self.fd >= 0 and not self.is_dead:
            self.look()

    def noticed(self, notice: abc.PGresult) -> None:
        """The end of an idle back end comes as a notice, while libpq's status is still good."""
        if is_end(notice):
            self.is_ending = True

    def is_whole(self) -> bool:
        """Look at what the server may have said while it lay idle; False (and dead) where that was its last word."""
        self.readable()
        return not self.is_dead

    def look(self) -> None:
        """Readable while nothing is under way: libpq has noted a FATAL notice, or the end of the connection."""
        if self.is_ending or int(self.pg.status) != 0:
            self.die("ended by the server while idle")

    def _drain(self) -> None:
        """The connection is lost, but its last answers may lie in the buffer: a SYNC among them is a commit."""
        pg = self.pg
        for _ in range(64):
            if self.trip is None:
                break
            try:
                if pg.is_busy():
                    break
                result = pg.get_result()
            except Exception:  # see above
                break
            if result is None:
                continue
            status = result.status
            if status == PIPELINE_SYNC:
                self.synced()
                break
            if status in (TUPLES_OK, COMMAND_OK):
                self.results.append(result)
            elif status == FATAL_ERROR:
                self.wrong = self.wrong or result
                break
        self.die("lost")

    def synced(self) -> None:
        """The SYNC of the trip was read: its outcome is known."""
        trip = self.trip
        assert trip is not None
        results, wrong, steps = self.results, self.wrong, self.steps
        self.results, self.wrong, self.trip = [], None, None
        self.closing_at = 0.0
        if wrong is None:
            if steps is _ENTER_AND_STATEMENT:
                trip.entered, trip.result = results
                if trip.entry.read_only:  # pyright: ignore[reportOptionalMemberAccess] - it has entered
                    trip.query.pace.timed(perf_counter() - trip.sent_at, self.loop.time())  # pyright: ignore[reportOptionalMemberAccess] - of both
            else:
                self._sort(trip, steps, results)
            if trip.verb or trip.entry is None:
                self._after_open(trip, results)
            else:
                self.over()
            self._tell(trip)
            return
        self._went_wrong(trip, wrong, steps, results)

    def _sort(self, trip: Trip, steps: tuple[int, ...], results: list[Any]) -> None:
        for step, result in zip(steps, results, strict=False):
            if step == ENTERED:
                trip.entered = result
            elif step == STATEMENT:
                trip.result = result
            elif step == DESCRIBE and trip.query is not None:
                trip.query.shape = Shape(
                    tuple(result.param_type(i) for i in range(result.nparams)),
                    tuple(((result.fname(i) or b"").decode(), result.ftype(i)) for i in range(result.nfields)),
                )

    def _after_open(self, trip: Trip, results: list[Any]) -> None:
        if trip.verb == "COMMIT" and results[-1].command_status != b"COMMIT":
            # COMMIT of an aborted transaction is no error to PostgreSQL: its tag is ROLLBACK.
            trip.failure = WireFailure(
                "server", Outcome.ROLLED_BACK, sqlstate="25P02", message="the transaction had failed"
            )
        status = int(self.pg.transaction_status)
        if status == INTRANS:
            self.opened_at = self.loop.time()
            if trip.entry is not None:
                self.holder = trip.entry.procedure
        elif status == IDLE:
            self.over()
        else:
            self._roll_back()

    def _went_wrong(self, trip: Trip, wrong: Any, steps: tuple[int, ...], results: list[Any]) -> None:
        if steps is _CLEANING:
            self.die("could not be cleaned after it was lent")
            return
        failure = failure_of(wrong, Outcome.ROLLED_BACK)
        # Who came in is known even if what they asked for failed: the log names the tenant.
        trip.entered = next((result for step, result in zip(steps, results, strict=False) if step == ENTERED), None)
        self.forget(trip, steps, results, failure)
        state = failure.sqlstate
        if state == "TN900":
            self.die("its session state was changed", keeps_trip=True)
            if trip.repeats < MOST_REPEATS:
                trip.repeats += 1
                self.pool.again(trip)
                return
        elif int(self.pg.transaction_status) == INERROR:
            self._roll_back()
        elif state in REPEATABLE and trip.entry is not None and not trip.verb and trip.repeats < MOST_REPEATS:
            trip.repeats += 1
            self.send(trip)
            return
        else:
            self.over()
        trip.failure = failure
        self._tell(trip)

    def forget(self, trip: Trip, steps: tuple[int, ...], results: list[Any], failure: WireFailure) -> None:
        """What a failed trip tells of its prepared statement: never parsed, unknown to the server, or of another shape now."""
        query = trip.query
        if query is None:
            return
        if PARSE in steps and len(results) <= steps.index(PARSE):
            self.known.pop(query.key, None)  # a Parse that failed, or stood behind an error, never happened
        state = failure.sqlstate
        if state == "26000" or (state == "0A000" and failure.source_function == "RevalidateCachedQuery"):
            name = self.known.pop(query.key, None)
            if name is not None:
                self.to_close.append(name)
            if state == "0A000":
                query.shape = None

    def _roll_back(self) -> None:
        """At once, without waiting: an aborted transaction holds its locks, and a pooler's server."""
        self.opened_at = 0.0
        self.ticket += 1
        self.send(Trip(nobody, verb="ROLLBACK"))

    def over(self) -> None:
        """Nothing is open: back to the pool, unless a cancel is still in the air."""
        self.opened_at = 0.0
        if self.trip is None and self.cancel is None and not self.is_dead:
            if self.is_tainted:
                self._clean()
            else:
                self.pool.release(self)

    # ------------------------------------------------------------------ lending

    def lend(self) -> None:
        """Leave the connection, in its open transaction, to ordinary psycopg: no pipeline, no reader of ours."""
        self.loop.remove_reader(self.fd)
        self.pg.exit_pipeline_mode()
        self.opened_at = 0.0
        self.is_tainted = True

    def taken_back(self, *, is_open: bool) -> None:
        """It is ours again; `is_open` says whether a transaction is."""
        pg = self.pg
        try:
            pg.notice_handler = self.noticed
            pg.nonblocking = 1
            pg.enter_pipeline_mode()
        except Exception:  # whatever libpq says: it is not whole
            self.die("lent, and not given back whole")
            return
        self.loop.add_reader(self.fd, self.readable)
        if is_open:
            self.opened_at = self.loop.time()
        else:
            self.ticket += 1
            self.over()

    def _clean(self) -> None:
        """DISCARD ALL, as the first message of its trip, and `enter` prepared anew: what was lent may have left anything."""
        self.is_tainted = False
        self.known.clear()
        self.to_close = []
        self.steps = _CLEANING
        self.trip = Trip(nobody)
        self.trip.deadline = self.loop.time() + CLEAN_SECONDS
        try:
            self.pg.send_query_params(CLEAN, None)
            self.pg.send_prepare(ENTER_NAME if self.is_named else b"", ENTER)
            self.pg.pipeline_sync()
            self.flush()
        except Exception as error:  # a message that cannot be queued leaves the pipeline in an unknown state
            self.die(f"{type(error).__name__} while sending", was_flushed=False)

    def _tell(self, trip: Trip) -> None:
        self.pool.tell(trip)

    def _fail(self, trip: Trip, failure: WireFailure) -> None:
        trip.failure = failure
        self._tell(trip)

    # ------------------------------------------------------------------ stopping

    def stop(self) -> None:
        """Cancel what runs. It ends by its own SYNC; the connection is whole afterwards, or closed a second later."""
        if self.cancel is None and self.trip is not None:
            self.closing_at = self.loop.time() + 1.0
            self.cancel = Cancel(self.pg, self.loop, self._cancelled)

    def _cancelled(self, is_ok: bool) -> None:
        self.cancel = None
        if not is_ok:
            self.die("a cancel could not be delivered")
        elif self.trip is None and self.opened_at == 0.0:
            self.over()

    def abandon(self, ticket: int, *, was_held: bool = False) -> None:
        """Undo the open transaction of this ticket, whatever it is doing; nobody is told."""
        if self.is_dead or ticket != self.ticket:
            return
        trip = self.trip
        if trip is not None:
            trip.done = nobody
            if trip.verb not in ("COMMIT", "ROLLBACK"):
                trip.done = self._abandoned
                self.stop()
            return
        if self.opened_at:
            self.opened_at = 0.0
            if was_held:
                self.ticket_held = ticket
            self.send(Trip(nobody, verb="ROLLBACK"))

    def _abandoned(self, trip: Trip) -> None:
        if self.opened_at:
            self._roll_back()

    def die(self, why: str, *, was_flushed: bool = True, keeps_trip: bool = False) -> None:
        """Close for good; what was under way fails with what is known of its outcome."""
        if self.is_dead:
            return
        self.is_dead = True
        self.loop.remove_reader(self.fd)  # before finish(): the next connection may get the same number
        self.loop.remove_writer(self.fd)
        if self.cancel is not None:
            self.cancel.close()
            self.cancel = None
        if not was_flushed and self.wrong is None:
            self.wrong = last_word(self.pg)
        trip, self.trip, wrong = self.trip, None, self.wrong
        if wrong is not None and not failure_of(wrong, Outcome.UNKNOWN).sqlstate:
            # libpq's own result, "server closed the connection": no server said that anything was undone.
            wrong = None
        self.pg.finish()
        self.pool.lost(self, why)
        if trip is None or keeps_trip:
            return
        outcome = self._outcome(trip, was_flushed=was_flushed, was_refused=wrong is not None)
        failure = WireFailure("lost", outcome, message=why) if wrong is None else failure_of(wrong, outcome)
        if not self._carried_again(trip, failure, was_flushed=was_flushed):
            self._fail(trip, failure)

    def _outcome(self, trip: Trip, *, was_flushed: bool, was_refused: bool) -> Outcome:
        """What is known of a trip that the connection's end has struck; `was_refused` by the server's own words."""
        if (
            not was_flushed
            or (trip.entry is not None and trip.entry.read_only)
            or (trip.entry is None and trip.verb != "COMMIT" and (not self.pool.is_accounts or trip.describes))
            or trip.verb.startswith("BEGIN")
            or (was_refused and not self.is_pooled and len(self.results) < len(self.steps))
        ):
            return Outcome.ROLLED_BACK
        return Outcome.UNKNOWN

    def _carried_again(self, trip: Trip, failure: WireFailure, *, was_flushed: bool) -> bool:
        """Run it once more on another connection where that is safe: an operator's kill of idle back ends fails no request."""
        is_first = trip.share is not None and trip.verb not in ("COMMIT", "ROLLBACK")  # nothing was done before it
        if failure.outcome is not Outcome.ROLLED_BACK or not is_first or self.closing_at:
            return False
        if failure.sqlstate in ENDED_IDLE:
            return self.pool.again_after_ending(trip)
        if trip.repeats >= MOST_REPEATS or not self._may_repeat(trip, failure, was_flushed=was_flushed):
            return False
        trip.repeats += 1
        self.pool.again(trip)
        return True

    @staticmethod
    def _may_repeat(trip: Trip, failure: WireFailure, *, was_flushed: bool) -> bool:
        """Whether it changes nothing, however far it came. FATAL words other than a pooler's are of its own doing."""
        if failure.sqlstate and failure.sqlstate[:2] != "08":
            return False
        entry = trip.entry
        if entry is None:
            return trip.describes
        return entry.read_only or trip.verb.startswith("BEGIN") or not was_flushed
