"""A call's way into its tenant: one statement in one trip, or several in a transaction.

`submit` runs a returned statement without a task or a future. Awaited statements share one connection: the first trip carries
enter and BEGIN, `finish` commits. Whatever fails undoes all of it, and nothing of a session is used after that.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Any, LiteralString, Protocol, TypeVar
from uuid import UUID

import msgspec

from tenantry.db.failures import error_of, table_of
from tenantry.db.outbox import PUBLISH, Outbox
from tenantry.db.plan import PagePlan, cursor_values, page_plan_of, plan_of
from tenantry.db.scan import first_keyword
from tenantry.db.statement import Prepared
from tenantry.db.trip import Entry, Query, Shape, Trip, WireError, membership_of
from tenantry.db.wire import entered_ms
from tenantry.errors import (
    BuilderError,
    ConnectionLent,
    DeadlineExceeded,
    SqlRefused,
    StatementNotRun,
    TenantryError,
    TransactionFailed,
    TransactionMixed,
)
from tenantry.rpc import Page

if TYPE_CHECKING:
    from psycopg.pq import abc

    from tenantry.db.connection import Connection
    from tenantry.db.plan import Plan
    from tenantry.db.pool import Pool
    from tenantry.db.sql import Sql
    from tenantry.db.statement import Statement
    from tenantry.db.trip import WireFailure
    from tenantry.identity import Membership

T = TypeVar("T")
Encode = Callable[[Any], bytes]
Done = Callable[[Trip], None]
LOCK = "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(public.get_current_tenant_id()::text || ':' || $1, 0))"
MOST_TRIES = 2
"""A statement whose table changed under it is described and sent once more."""


class _WirePage(msgspec.Struct, rename="camel"):
    items: list[Any]
    next_cursor: str | None


class Statements:
    """What makes statements: `ctx.db`, and the `tx` of `ctx.transaction()`."""

    __slots__ = (
        "_membership", "_turn", "blocks", "broken", "connection", "entered", "entry", "is_lent", "made", "outbox", "pool", "task", "ticket",
        "trip",
    )  # fmt: skip

    def __init__(self, pool: Pool, entry: Entry) -> None:
        """Costs nothing: the first statement takes a connection."""
        self.pool = pool
        self.entry = entry
        self.made: list[Prepared] = []
        self.blocks = 0
        self.is_lent = False
        """Whether ordinary psycopg has the connection just now."""
        self.broken: TenantryError | None = None
        self.connection: Connection | None = None
        self.ticket = 0
        self._membership: tuple[abc.PGresult, Membership] | None = None
        """The answer that was decoded last, and what it says."""
        self.outbox: Outbox | None = None
        self.entered: abc.PGresult | None = None
        self.trip: Trip | None = None
        self.task: asyncio.Task[None] | None = None
        self._turn: asyncio.Lock | None = None

    # ------------------------------------------------------------------ what a handler says

    def one(self, type_: type[T], text: LiteralString | Sql, *values: object) -> Statement[T]:
        """Exactly one row. None is NOT_FOUND ("No such note"), two are a mistake (TOO_MANY_ROWS); either changes nothing."""
        return self._made("one", type_, text, values)

    def maybe(self, type_: type[T], text: LiteralString | Sql, *values: object) -> Statement[T | None]:
        """One row, or None."""
        return self._made("maybe", type_, text, values)

    def all(self, type_: type[T], text: LiteralString | Sql, *values: object) -> Statement[list[T]]:
        """Every row, in order."""
        return self._made("all", type_, text, values)

    def run(self, text: LiteralString | Sql, *values: object) -> Statement[int]:
        """No rows; how many were changed."""
        return self._made("run", int, text, values)

    def page(
        self,
        type_: type[T],
        text: LiteralString | Sql,
        *values: object,
        by: LiteralString,
        after: str | None,
        limit: int,
    ) -> Statement[Page[T]]:
        """One page in the order of `by` (columns of the row, together unique); `after` is the last page's cursor."""
        if self.blocks:
            raise TransactionMixed(procedure=self.entry.procedure)
        plan, own = page_plan_of(
            type_, text, values, by, after, limit, procedure=self.entry.procedure, read_only=self.entry.read_only,
            frame=sys._getframe(1),  # pyright: ignore[reportPrivateUsage]
        )  # fmt: skip
        if own and values:
            raise _given_twice(plan)
        statement = Prepared(self, plan, (own or values, after, limit))  # pyright: ignore[reportArgumentType] - a Session is one
        self.made.append(statement)
        return statement

    def _made(self, kind: Any, type_: Any, text: str | Sql, values: tuple[object, ...]) -> Any:
        if self.blocks:
            raise TransactionMixed(procedure=self.entry.procedure)
        entry = self.entry
        plan, own = plan_of(
            kind, type_, text, values, procedure=entry.procedure, read_only=entry.read_only,
            frame=sys._getframe(2),  # pyright: ignore[reportPrivateUsage]
        )  # fmt: skip
        if own and values:
            raise _given_twice(plan)
        statement = Prepared(self, plan, own or values)  # pyright: ignore[reportArgumentType] - a Session is one
        self.made.append(statement)
        return statement

    async def lock(self, name: str) -> None:
        """Wait for the tenant's lock of that name; it is held to the transaction's end."""
        await self.run(LOCK, name)

    async def publish(self, topic: str, value: object) -> None:
        """Publish a value under a topic of the tenant: subscribers see it when this transaction has committed, else never.

        Costs no trip of its own until the commit. Raises PublishRefused (in a query), PayloadTooLarge, TransactionMixed.
        """
        if self.blocks:
            raise TransactionMixed(procedure=self.entry.procedure)
        if self.outbox is None:
            self.outbox = Outbox()
        self.outbox.add(self.entry, topic, value, self.pool.outlet)

    def announce(self, statement: Statement[T], *topics: str) -> Statement[T]:
        """Say that a statement publishes by itself (`tenantry.publish(…)` in its SQL, or a trigger), for a handler that returns it.

        Subscribers hear of it at once; without this they do within a second.
        """
        assert isinstance(statement, Prepared)  # what it is at run time
        statement.topics = topics
        return statement

    # ------------------------------------------------------------------ awaited statements

    async def execute(self, statement: Prepared) -> Any:
        """Run an awaited statement; of several at once each waits its turn. Raises TransactionFailed after a failure."""
        statement.is_run = True
        if self.is_lent:
            raise ConnectionLent(why=f"{self.entry.procedure} used ctx.db inside ctx.psycopg()")
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            if self.broken is not None:
                raise TransactionFailed(procedure=self.entry.procedure, first=type(self.broken).__name__)
            plan = statement.plan
            await self._prepare(plan)
            result = await self._carry(plan, parameters(plan, statement.values))
        try:
            return value_of(plan, statement.values, result, for_wire=False)
        except BuilderError as error:
            # Two rows where one was meant: what it wrote must not be committed, even if the handler looks away.
            self.broken = error
            raise

    async def _prepare(self, plan: Plan) -> None:
        if self.connection is None:
            await plan.prepare(self.pool)
            return
        try:
            await plan.prepare(self.pool, self._describe)
        except TenantryError as error:
            self.broken = error  # it failed inside the transaction
            raise

    async def _describe(self, query: Query) -> Shape:
        """Ask over the connection that is held, inside its transaction. Raises WireError; then all of it is undone."""
        if query.shape is None:
            trip = self._trip(query=query, describes=True)
            await self._over(trip)
            if trip.failure is not None:
                raise WireError(trip.failure)
        assert query.shape is not None  # it was described
        return query.shape

    async def _carry(self, plan: Plan, params: list[bytes | None]) -> Any:
        assert plan.dumper is not None  # prepared
        trip = self._trip(query=plan.raw, params=params, formats=plan.dumper.formats, begins=True)
        await self._over(trip)
        self._count(plan, trip)
        if trip.failure is not None:
            self.broken = self._error(plan, trip.failure)
            raise self.broken
        if self.connection is None:
            self._keep(trip)
        return trip.result

    def _keep(self, trip: Trip) -> None:
        """Hold the connection on which this trip began the transaction."""
        self.connection, self.ticket, self.entered = trip.connection, trip.ticket, trip.entered

    async def raw(self, query: Query, params: list[bytes | None], formats: list[Any], *, where: str) -> abc.PGresult:
        """Run a text of Tenantry's own in this transaction, with values as they go over the wire. For `/_dev`, never for a handler."""
        trip = self._trip(query=query, params=params, formats=formats, begins=True)
        await self._over(trip)
        if trip.failure is not None:
            self.broken = error_of(
                trip.failure, procedure=self.entry.procedure, where=where, read_only=self.entry.read_only
            )
            raise self.broken
        if self.connection is None:
            self._keep(trip)
        assert trip.result is not None  # it succeeded
        return trip.result

    def _trip(self, *, begins: bool = False, entry: Entry | None = None, describes: bool = False, **rest: Any) -> Trip:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_first = begins and self.connection is None
        trip = Trip(
            lambda _: None if over.done() else over.set_result(None),
            entry=self.entry if is_first else entry,
            verb=rest.pop("verb", "BEGIN" if is_first else ""),
            deadline_ms=self.entry.deadline_ms,
            **rest,
        )
        trip.value = over
        trip.describes = describes
        self.trip = trip
        if self.connection is None:
            self.pool.submit(trip)
        else:
            self.connection.go_on(trip, self.ticket)
        return trip

    async def _over(self, trip: Trip) -> None:
        try:
            await trip.value
        except asyncio.CancelledError:
            # A handler may catch this (asyncio.timeout): what it wrote before is undone as well, so it must not go on.
            self.broken = DeadlineExceeded()
            self.abandon()
            raise
        if self.trip is trip:
            self.trip = None

    def _count(self, plan: Plan, trip: Trip) -> None:
        """Tell how long the statement's trip took, and how long entering the tenant."""
        if not trip.sent_at:
            return
        signals = self.pool.signals
        failure = trip.failure
        outcome = 0 if failure is None else outcome_of(failure)
        took = perf_counter() - trip.sent_at
        took_ms = took * 1000
        shares, share = self.pool.shares, trip.share
        if share is None and self.connection is not None:
            share = self.connection.share  # a further statement of an open transaction
        if share is not None:
            share.seconds += took
            share.budget -= took
            if share is shares.strangers and trip.entered is not None:
                shares.learn(self.entry.credential, trip.entered.get_value(0, 0))
        times_entering = signals.statement(plan.operation, outcome, took_ms)
        if took_ms > self.pool.slow_ms:
            self.pool.tell_slow(self.entry, plan, trip, took_ms)
        if trip.entered is not None:
            self.entered = trip.entered
            if times_entering:
                signals.entered(entered_ms(trip.entered))

    @property
    def tenant_bytes(self) -> bytes | None:
        """The id of the tenant that was entered, for the log; None where nobody came in. Costs one read of a result."""
        if self.entered is not None:
            return self.entered.get_value(0, 0)
        return None

    @property
    def membership(self) -> Membership | None:
        """Who entered; None before the first answer. Decoded when asked."""
        entered = self.entered
        if entered is None:
            return None
        if self._membership is None or self._membership[0] is not entered:
            self._membership = entered, membership_of(entered)
        return self._membership[1]

    def _error(self, plan: Plan, failure: WireFailure) -> TenantryError:
        """The error of a failed trip; a row that a policy refused is counted."""
        if failure.source_function == "ExecWithCheckOptions" and failure.sqlstate == "42501":
            self._violated(plan, table_of(failure))
        return plan.error(failure, self.pool)

    def _violated(self, plan: Plan, table: str) -> None:
        """A policy refused a row: counted, and named in the log only: who, where, and which statement, by its fingerprint."""
        operation = first_keyword(plan.text).lower()
        self.pool.signals.rls_violation(table, operation)
        tenant = self.tenant_bytes
        self.pool.log.warning(
            "rls_violation: %s (%s), %s on %s, statement %s, tenant %s", plan.procedure, plan.where, operation, table,
            sha256(plan.text.encode()).hexdigest()[:12], "not known" if tenant is None else UUID(bytes=tenant),
        )  # fmt: skip

    # ------------------------------------------------------------------ the end

    async def finish(self) -> None:
        """Commit. Returns when it is acknowledged; a read-only transaction is not waited for.

        Raises StatementNotRun, TransactionFailed, UnknownOutcome, and what the commit itself raises.
        """
        for statement in self.made:
            if not statement.is_run:
                self.abandon()
                raise StatementNotRun(procedure=self.entry.procedure, where=statement.plan.where)
        if self.broken is not None:
            raise TransactionFailed(procedure=self.entry.procedure, first=type(self.broken).__name__)
        outbox = self.outbox
        if outbox is not None and outbox.topics:
            await self._put(outbox)
        if self.connection is None:
            return
        trip = self._trip(verb="COMMIT")
        # It is let through: from here on `abandon` finds nothing to stop, and this waits until the outcome is known.
        self.connection = self.trip = None
        if self.entry.read_only:
            return
        await trip.value
        if trip.failure is not None:
            raise error_of(
                trip.failure, procedure=self.entry.procedure, where=self.made[-1].plan.where if self.made else "its commit",
                read_only=False, constraints=self.pool.constraints,
            )  # fmt: skip
        self._tell_subscribers(outbox)

    async def _put(self, outbox: Outbox) -> None:
        """Write what was published, as the last statement: the nearer to the commit, the truer is the order of events."""
        trip = self._trip(query=PUBLISH, params=outbox.parameters(), formats=[0, 0], begins=True)
        connection, ticket, self.connection = self.connection, self.ticket, None
        # As the commit itself: whoever gives up now no longer stops it.
        self.trip = None
        await trip.value
        if trip.failure is not None:
            raise error_of(trip.failure, procedure=self.entry.procedure, where="ctx.publish", read_only=False)
        if connection is None:
            connection, ticket, self.entered = trip.connection, trip.ticket, trip.entered
        self.connection, self.ticket = connection, ticket

    def _tell_subscribers(self, outbox: Outbox | None) -> None:
        topics = {topic for statement in self.made for topic in statement.topics}
        if outbox is not None:
            topics.update(outbox.topics)
        tenant = self.tenant_bytes
        if topics and self.pool.outlet is not None and tenant is not None:
            self.pool.outlet.committed(tenant, topics)

    def abandon(self) -> None:
        """Undo everything, whatever is under way; nobody is told. A commit that was sent is let through."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
        trip, self.trip = self.trip, None
        if trip is not None:
            connection = trip.connection
            if connection is None or (trip.entry is not None and not trip.verb):
                self.pool.cancel(trip)
            else:
                connection.abandon(trip.ticket)
        elif self.connection is not None:
            self.connection.abandon(self.ticket)
        self.connection = None


class Rider(Protocol):
    """Who has something to write in a call's first transaction, whichever that is."""

    async def enter(self, block: Transaction, *, is_handed: bool) -> None:
        """A block begins; `is_handed`: in the transaction that the rider wrote in."""

    def left(self, block: Transaction, *, is_kept: bool) -> None:
        """The block is over: committed, or not."""


class Session(Statements):
    """`ctx.db`: a tenant's database for one call."""

    __slots__ = ("is_loose", "rider")

    def __init__(self, pool: Pool, entry: Entry) -> None:
        super().__init__(pool, entry)
        self.is_loose = False
        self.rider: Rider | None = None

    # ------------------------------------------------------------------ a returned statement

    def submit(self, statement: Any, done: Done, encode: Encode, *, for_wire: bool = True) -> None:
        """Run the statement that a handler returned, in one trip, and call `done(trip)` once.

        Then `trip.error` is what failed, or `trip.value` the encoded result. Raises what is wrong before anything is sent.
        Without `for_wire` it is what an awaited statement gives that is encoded, and not a like of it.
        """
        made = self.made
        if not isinstance(statement, Prepared) or statement.session is not self:
            message = (
                f"{self.entry.procedure} returned {type(statement).__name__}, and not a statement of its own ctx.db"
            )
            raise TypeError(message)
        statement.is_run = True
        if len(made) > 1:
            for other in made:
                if not other.is_run:
                    raise StatementNotRun(procedure=self.entry.procedure, where=other.plan.where)
        plan = statement.plan
        if plan.dumper is None or not plan.is_sure:
            self.task = asyncio.get_running_loop().create_task(self._slowly(statement, done, encode, for_wire))
            return
        self._send(statement, plan, done, encode, for_wire, MOST_TRIES)

    def _send(
        self, statement: Prepared, plan: Plan, done: Done, encode: Encode, for_wire: bool, tries: int
    ) -> None:  # fmt: skip
        values = statement.values

        def landed(trip: Trip) -> None:
            self.trip = None
            self.made.clear()  # statement and session hold each other: without this the garbage collector had to find them
            self._count(plan, trip)
            failure = trip.failure
            if failure is None:
                if statement.topics and self.pool.outlet is not None and trip.entered is not None:
                    self.pool.outlet.committed(trip.entered.get_value(0, 0) or b"", statement.topics)
                try:
                    trip.value = encode(value_of(plan, values, trip.result, for_wire=for_wire))
                except Exception as error:
                    trip.error = error  # pyright: ignore[reportAttributeAccessIssue] - told as it is
            elif failure.sqlstate in ("0A000", "26000") and tries > 1:
                # Undone as a whole, and curable: the table was changed, or the statement forgotten.
                plan.forget()
                self.task = asyncio.get_running_loop().create_task(
                    self._slowly(statement, done, encode, for_wire, tries - 1)
                )
                return
            else:
                trip.error = self._error(plan, failure)
            done(trip)

        trip = Trip(
            landed, entry=self.entry, query=plan.query, params=parameters(plan, values), formats=plan.dumper.formats,  # pyright: ignore[reportOptionalMemberAccess] - prepared
            deadline_ms=self.entry.deadline_ms,
        )  # fmt: skip
        self.trip = trip
        self.pool.submit(trip)

    async def _slowly(
        self, statement: Prepared, done: Done, encode: Encode, for_wire: bool, tries: int = MOST_TRIES
    ) -> None:  # fmt: skip
        """The first time in this process, or a statement whose rows Python must see before the commit."""
        told = Trip(done)
        plan = statement.plan
        try:
            await plan.prepare(self.pool)
            if plan.is_sure:
                self.task = None
                self._send(statement, plan, done, encode, for_wire, tries)
                return
            value = await self.execute(statement)
            told.value = encode(value)
            self.task = None  # from here on a client that goes away no longer stops the commit
            await self.finish()
        except asyncio.CancelledError:
            self.abandon()
            raise
        except Exception as error:
            self.abandon()
            told.error = error  # pyright: ignore[reportAttributeAccessIssue] - told as it is
        done(told)

    async def hold(self) -> Connection:
        """The connection of this transaction, which is begun if it was not; nothing is under way on it."""
        if self.connection is None:
            trip = self._trip(begins=True)
            await self._over(trip)
            if trip.failure is not None:
                self.broken = error_of(
                    trip.failure, procedure=self.entry.procedure, where="", read_only=self.entry.read_only
                )
                raise self.broken
            self._keep(trip)
        assert self.connection is not None  # just begun, or held
        return self.connection

    async def check_in(self) -> None:
        """Enter, and nothing else: what a statement would be refused for is refused now. `membership` is known after it.

        Nothing to do where a statement before it has entered, a middleware's for one: its transaction goes on.
        """
        if self.entered is not None:
            return
        trip = self._trip(begins=False, entry=self.entry)
        await self._over(trip)
        if trip.failure is not None:
            raise error_of(
                trip.failure, procedure=self.entry.procedure, where="", read_only=self.entry.read_only
            )  # fmt: skip
        self.entered = trip.entered

    async def settle(self) -> None:
        """Commit what a middleware has begun: nothing is held while a stream waits."""
        if self.connection is not None:
            await super().finish()
            self.outbox = None

    def loosen(self) -> None:
        """From here on each statement is a transaction of its own: for what comes later, and for streams."""
        self.is_loose = True

    async def finish(self) -> None:
        """Commit; see `Statements`. A handler that ran no statement has let nobody decide on its caller: that is done now."""
        if self.entered is None and self.broken is None and not self.made and self.outbox is None:
            await self.check_in()
            return
        await super().finish()

    async def execute(self, statement: Prepared) -> Any:
        """Run an awaited statement; see `Statements`."""
        if not self.is_loose:
            return await super().execute(statement)
        self.made.clear()
        block = Transaction(self.pool, self.entry)
        try:
            value = await block.execute(statement)
            block.made.append(statement)
            await asyncio.shield(block.finish())
        except BaseException:
            block.abandon()
            raise
        self.entered = block.entered or self.entered
        return value

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A short transaction of its own, committed where the block ends. Raises TransactionMixed after bare statements."""
        if self.made or self.outbox is not None:
            raise TransactionMixed(procedure=self.entry.procedure)
        return self._block()

    @asynccontextmanager
    async def _block(self) -> AsyncGenerator[Transaction]:
        self.blocks += 1
        block = Transaction(self.pool, self.entry)
        rider, is_kept = self.rider, False
        try:
            if rider is not None:
                is_handed = self._hand_over(block)
                await rider.enter(block, is_handed=is_handed)
            yield block
            await asyncio.shield(block.finish())
            is_kept = True
        except BaseException:
            block.abandon()
            raise
        finally:
            if rider is not None:
                rider.left(block, is_kept=is_kept)
            self.entered = block.entered or self.entered

    def _hand_over(self, block: Transaction) -> bool:
        """The transaction that is open already goes on as this block."""
        if self.connection is None:
            return False
        block.connection, block.ticket = self.connection, self.ticket
        block.entered = self.entered
        self.connection = None
        return True


class Transaction(Statements):
    """`async with ctx.transaction() as tx`: `one`, `maybe`, `all`, `run`, `page`, `lock`."""

    __slots__ = ()


def outcome_of(failure: WireFailure) -> int:
    """The place of a failed statement in `signals.OUTCOMES`."""
    if failure.kind == "server":
        return 2 if failure.sqlstate == "57014" else 1
    return 2 if failure.kind in ("deadline", "cancelled") else 3


def parameters(plan: Plan, values: tuple[Any, ...]) -> list[bytes | None]:
    """As libpq takes them; of a page also the cursor's values, and one row more than its limit."""
    if isinstance(plan, PagePlan):
        own, after, limit = values
        if after is not None:
            own = (*own, *cursor_values(plan, after, len(own)))
        return plan.dump(own if plan.has_limit else (*own, limit + 1))
    return plan.dump(values)


def _given_twice(plan: Plan) -> SqlRefused:
    why = "the sql has values of its own, and others were given as well"
    return SqlRefused(procedure=plan.procedure, where=plan.where, why=why, cure="Put all of them into sql(…).")


def value_of(plan: Plan, values: tuple[Any, ...], result: Any, *, for_wire: bool) -> Any:
    """What the statement promised, or for the encoder alone a like of it."""
    rows = plan.rows
    make: Any = None if rows is None else rows.wire if for_wire else rows.make
    if not isinstance(plan, PagePlan):
        return plan.load(result, make)  # pyright: ignore[reportArgumentType] - only `run` has no rows, and makes none
    limit: int = values[2]
    items: list[Any] = plan.load(result, make)  # pyright: ignore[reportArgumentType] - a page has rows
    raw: list[Any] = plan.load(result, tuple) if len(items) > limit else []
    items, cursor = plan.finish_page(items, raw, limit)
    return _WirePage(items, cursor) if for_wire else Page(items=items, next_cursor=cursor)
