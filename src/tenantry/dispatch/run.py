"""One call, whatever carries it: from its raw input to its result.

A handler that returns its statement runs here without a task, a future or a timer: the call is one object, its statement one
trip, and the answer leaves from the reader's callback. A handler that awaits runs in the one task of its call; so does
whatever has a middleware, an upload, a stream or an idempotency key around it. A failure is this call's and no other's.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tenantry.auth import is_cross_site, presents_credential, session_cookie
from tenantry.context import Call as CallInfo
from tenantry.context import Ctx, Person, Visitor
from tenantry.db import Entry, Session, Trip
from tenantry.dispatch import idempotency
from tenantry.errors import (
    BuilderError,
    ClientClosedRequest,
    CredentialRefused,
    DeadlineExceeded,
    Forbidden,
    RpcError,
    TenantryError,
    TooManyGuesses,
    Unauthorized,
)
from tenantry.rpc import CODES, Answer, code_of
from tenantry.rpc.later import StreamLike, discard, split

if TYPE_CHECKING:
    from tenantry.dispatch.visit import Visit
    from tenantry.rpc import Call, Procedure

log = logging.getLogger("tenantry.request")

UPLOAD_SECONDS = 600.0
"""An upload takes as long as its client's line; one that stalls is ended sooner, by `http`."""


class Host(Protocol):
    """Who asked for a call, and carries its answer."""

    encodes_plainly: bool
    """Whether results go out as `procedure.encode` makes them."""

    def arguments(self, run: Run) -> tuple[Any, ...] | Awaitable[tuple[Any, ...]]:
        """The handler's arguments after its context; awaitable for an upload. Raises InvalidInput."""
        ...

    def encode(self, procedure: Procedure[..., Any], value: Any) -> Any:
        """A result as `succeeded` wants it. Raises StreamLike where a part of it comes later."""
        ...

    def succeeded(self, run: Run, body: Any) -> None:
        """The call has its result."""
        ...

    def failed(self, run: Run, error: BaseException, facts: dict[str, Any]) -> None:
        """The call has failed; `facts` is the error shape."""
        ...

    async def deliver(self, run: Run, value: Any) -> None:
        """Carry a result of which something comes later, to its end. Raises what stops it."""
        ...


class Run:
    """One call."""

    __slots__ = (
        "body", "call", "ctx", "host", "index", "is_begun", "is_later", "procedure", "session", "started", "task", "timed_out", "timer",
        "value", "visit",
    )  # fmt: skip

    session: Session | None
    ctx: Visitor[Any]
    procedure: Procedure[..., Any]

    def __init__(self, host: Host, visit: Visit, call: Call, index: int) -> None:
        self.host = host
        self.visit = visit
        self.call = call
        self.index = index
        self.session = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timed_out = False

    def start(self) -> None:
        """Make the context, decode the input, call the handler."""
        self.started = time.perf_counter()
        call = self.call
        try:
            if call.error is not None:
                raise call.error
            procedure = call.procedure
            assert procedure is not None  # parse gives one or the other
            self.procedure = procedure
            self.enter(procedure)
            if not procedure.is_simple or self.visit.is_special:
                self.in_task(self.around)
                return
            if call.fault is not None:
                raise call.fault
            host = self.host
            arguments: Any = host.arguments(self)
            if procedure.never_waits:
                self.at_once(procedure, arguments)
                return
            if procedure.is_async:
                self.in_task(self.invoke, arguments)
                return
            statement = procedure.handler(self.ctx, *arguments)
            assert self.session is not None  # only a procedure inside a tenant may be a plain def
            encode = procedure.encode if host.encodes_plainly else partial(host.encode, procedure)
            self.session.submit(statement, self.landed, encode, for_wire=self.visit.place.is_plain)
        except Exception as error:  # the one place where a call's failure becomes its answer
            self.failed(error)

    def enter(self, procedure: Procedure[..., Any]) -> None:
        """Make the context. No credential is UNAUTHORIZED here; whether one is good, only the database knows."""
        visit = self.visit
        road = visit.road
        if procedure.scope == "public":
            self.ctx = Visitor(road.resources, procedure.path, visit)
            return
        visit.is_private = True
        credential = visit.credential
        if credential is None:
            raise CredentialRefused if presents_credential(visit.headers) else Unauthorized
        if procedure.type != "query" and is_cross_site(visit.headers, credential, road.asking_origins, road.own_origin):
            message = "This request comes from another site"
            raise Forbidden(message)
        if procedure.scope == "person":
            self.ctx = Person(road.resources, procedure.path, visit, credential, road.accounts)
            return
        self.session = session = Session(
            road.pool,
            Entry(
                credential.token,
                procedure.type != "mutation",
                procedure.need if credential.source != "api_key" else self.need_of_key(procedure, credential.token),
                visit.believed_tenant,
                procedure.path,
                procedure.deadline_ms or road.deadline_ms,
            ),
        )
        self.ctx = Ctx(road.resources, procedure.path, visit, session)

    def need_of_key(self, procedure: Procedure[..., Any], key: bytes) -> str:
        """A key's scopes name procedures, so that enter() must hear which one it is; and its use is noted, beside the request."""
        self.visit.road.auth.upkeep.used(key)
        return f"{procedure.path} {procedure.need or ''}"

    # -------------------------------------------------------------- a handler that returned its statement

    def landed(self, trip: Trip) -> None:
        """The statement's trip is over, committed or undone: called by the connection's reader."""
        error = trip.error
        if error is not None:
            self.failed(error)
            return
        try:
            self.succeeded(trip.value)
        except Exception as wrong:  # the rows are committed: this is our bug, and it is logged as one
            self.failed(wrong)

    # -------------------------------------------------------------- a handler that awaits nothing

    def at_once(self, procedure: Procedure[..., Any], arguments: tuple[Any, ...]) -> None:
        """Run a handler that has no `await` to its end, in a context of its own as a task would have."""
        coroutine = procedure.handler(self.ctx, *arguments)
        try:
            contextvars.copy_context().run(coroutine.send, None)
        except StopIteration as over:
            value = over.value
        except asyncio.CancelledError:
            self.failed(ClientClosedRequest())
            return
        else:
            coroutine.close()
            message = f"{procedure.path} awaited, and its code says that it does not"
            raise RuntimeError(message)
        self.is_later = False
        self.encode(value)
        if self.is_later:  # it made something that comes later, and that has to be waited for
            self.in_task(self.given, value)
        else:
            self.succeeded(self.body)

    async def given(self, procedure: Procedure[..., Any], value: Any) -> Any:
        """A value that is here already."""
        return value

    # -------------------------------------------------------------- whatever needs a task

    def in_task(self, way: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Go `way` in the call's own task, with the call's own deadline."""
        loop = asyncio.get_running_loop()
        self.is_begun = False
        self.task = loop.create_task(self.carry(way, *arguments))
        procedure = self.procedure
        seconds = (procedure.deadline_ms or self.visit.road.deadline_ms) / 1000
        if procedure.input.stream is not None and procedure.deadline_ms is None:
            seconds = UPLOAD_SECONDS
        self.timer = loop.call_later(seconds, self.expire)

    async def carry(self, way: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Wait for the result and hand it on: at once, or bit by bit where a part of it comes later."""
        self.is_begun = True
        self.value = self.body = None
        self.is_later = False
        try:
            value = await way(self.procedure, *arguments)
            if value is not self.value or self.body is None:
                self.encode(value)
            if self.is_later:
                if self.timer is not None:
                    self.timer.cancel()
                await self.host.deliver(self, value)
                self.over(self.procedure.path, 200, None)
                return
        except asyncio.CancelledError:
            self.abandon()
            self.failed(DeadlineExceeded() if self.timed_out else ClientClosedRequest())
        except Exception as error:
            self.abandon()
            self.failed(error)
        else:
            self.succeeded(self.body)
        finally:
            if self.timer is not None:
                self.timer.cancel()

    def encode(self, value: Any) -> None:
        """Make the result's bytes, or find that a part of it comes later."""
        self.value = value
        if isinstance(value, (Answer, idempotency.Stored)):
            self.body = value
            return
        try:
            self.body = self.host.encode(self.procedure, value)
        except StreamLike:
            self.is_later = True

    async def around(self, procedure: Procedure[..., Any]) -> Any:
        """Admission, the router's own context, and every middleware, in the order of their declaration; then the call itself."""
        await self.visit.admit(self.ctx)
        if procedure.extend is not None:
            made = procedure.extend(self.ctx)
            self.ctx = await made if isinstance(made, Awaitable) else made
        steps = procedure.middleware
        info = CallInfo(procedure.path, procedure.type, procedure.docs)

        async def go_on(place: int) -> object:
            if place == len(steps):
                return await self.reach(procedure)
            is_called = False

            async def following() -> object:
                nonlocal is_called
                if is_called:
                    message = "a middleware called next() twice"
                    raise RuntimeError(message)
                is_called = True
                return await go_on(place + 1)

            return await steps[place](self.ctx, info, following)

        return await go_on(0)

    async def reach(self, procedure: Procedure[..., Any]) -> Any:
        """Decode the input and call the handler. Who may not is refused before an upload is read."""
        if procedure.input.stream is not None or procedure.is_generator:
            await self.check_in()
        if self.call.fault is not None:
            raise self.call.fault
        given = self.host.arguments(self)
        arguments = await given if isinstance(given, Awaitable) else given
        key = self.visit.idempotency_key
        if key is not None and procedure.type == "mutation" and self.session is not None:
            return await self.once(procedure, arguments, key)
        if procedure.is_generator:
            if self.session is not None:
                await self.session.settle()
                self.session.loosen()
            return procedure.handler(self.ctx, *arguments)
        return await self.invoke(procedure, arguments)

    async def check_in(self) -> None:
        """Let the database decide on the caller before anything else is done, in a trip of its own."""
        if self.session is not None:
            await self.session.check_in()

    async def invoke(self, procedure: Procedure[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call the handler; its transaction is committed when this returns, and undone when it raises."""
        if procedure.is_async:
            value = await procedure.handler(self.ctx, *arguments)
            # Encoded before COMMIT, so that a value with no JSON undoes what the handler wrote.
            self.encode(value)
            await self.commit()
            return value
        session = self.session
        assert session is not None  # only a procedure inside a tenant may be a plain def
        over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def landed(trip: Trip) -> None:
            if over.done():
                return
            if trip.error is not None:
                over.set_exception(trip.error)
            else:
                over.set_result(trip.value)

        session.submit(procedure.handler(self.ctx, *arguments), landed, _as_it_is, for_wire=False)
        return await over

    async def once(self, procedure: Procedure[..., Any], arguments: tuple[Any, ...], key: str) -> Any:
        """The same, with the caller's key in the same transaction: the second time the first answer is given again."""
        session = self.session
        assert session is not None  # the caller looked
        keeper = idempotency.Keeper(session, key, self.visit, self.call, self.index)
        stored = await keeper.begin()
        if stored is not None:
            await self.commit()
            return stored
        value = await procedure.handler(self.ctx, *arguments)
        self.encode(value)
        if session.blocks and self.timer is not None:  # it is done: what is left to do is to keep its answer
            self.timer.cancel()
        if self.is_later or isinstance(value, Answer):
            await keeper.end(None)
        else:
            await keeper.end(self.visit.place.codec.data(procedure, value))
        await self.commit()
        return value

    async def commit(self) -> None:
        session = self.session
        if session is not None:
            # From here on the outcome is PostgreSQL's: a client that goes away no longer stops the commit, and the
            # commit has a deadline of its own, by which its outcome is known. "Nothing was changed" must be so.
            if self.timer is not None:
                self.timer.cancel()
            await asyncio.shield(session.finish())
            if self.is_later:
                session.loosen()
        elif isinstance(self.ctx, Person):
            self.keep_session(self.ctx)

    def keep_session(self, person: Person[Any]) -> None:
        """The session goes on under another token: the answer brings the cookie."""
        if person.new_session is not None:
            token, expires = person.new_session
            cookie = session_cookie(person.headers, token, expires)
            self.visit.reply_headers.append((b"set-cookie", cookie.encode("ascii")))

    def expire(self) -> None:
        self.timed_out = True
        if self.task is not None:
            self.task.cancel()

    def abandon(self) -> None:
        if self.session is not None:
            self.session.abandon()

    def cancel(self) -> None:
        """The client has gone, or wants it no longer."""
        if self.task is None:
            self.abandon()
            return
        self.task.cancel()
        if not self.is_begun:
            # A task that is cancelled before its first step runs none of its lines.
            if self.timer is not None:
                self.timer.cancel()
            for part in split(getattr(self, "value", None))[1]:
                discard(part.source)
            self.failed(ClientClosedRequest())

    # -------------------------------------------------------------- the answer

    def succeeded(self, body: Any) -> None:
        self.over(self.procedure.path, body.status if isinstance(body, Answer) else 200, None)
        self.host.succeeded(self, body)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, CredentialRefused):
            self.visit.refused(partial(self.refused, error))
            return
        self.tell(error)

    def refused(self, error: CredentialRefused, wait: int) -> None:
        """The credential opens nothing, and the sender was counted."""
        self.tell(TooManyGuesses(retry_after=wait) if wait else error)

    def tell(self, error: BaseException) -> None:
        """Answer with the error."""
        try:
            facts = self.facts(error)
        except Exception:  # an error whose own words fail: the caller is answered all the same
            log.exception("the error of %s could not be told", self.call.path)
            error = RuntimeError()
            facts = self.visit.road.facts(error, self.call.path, self.visit.request_id, self.visit.place)
        trpc = code_of(error)
        self.over(self.call.path, CODES[trpc].http, trpc)
        self.host.failed(self, error, facts)

    def over(self, path: str, status: int, code: str | None) -> None:
        """Count the call, and write its line; a stream is one call, when it ends."""
        visit = self.visit
        road = visit.road
        ended = time.perf_counter()
        road.signals.request(path, ended - self.started, code)
        lines = road.lines
        if lines is not None:
            lines.add(path, status, code, self.started, ended, self.session, visit.request_id, visit.headers)
        if road.spans is not None:
            road.spans.add(path, status, code, self.started, ended, visit.request_id, visit.headers)

    def facts(self, error: BaseException) -> dict[str, Any]:
        """The error shape; what the client does not hear is logged."""
        visit = self.visit
        if not isinstance(error, RpcError):
            self.note(error)
        return visit.road.facts(error, self.call.path, visit.request_id, visit.place)

    def note(self, error: BaseException) -> None:
        """Log what the client does not hear. A builder's mistake speaks for itself; anything else needs its trace."""
        trace = None if isinstance(error, BuilderError) else error
        if isinstance(error, BuilderError) and error.fields.get("procedure") == "A handler":
            error.fields["procedure"] = self.call.path  # sql(…) does not know whose it is
        request_id = self.visit.request_id
        extra = {"error": error, "request_id": request_id}
        log.error(
            "%s failed: %s (request %s)", self.call.path, summary(error), request_id, exc_info=trace, extra=extra
        )  # fmt: skip


def _as_it_is(value: Any) -> Any:
    return value


def summary(error: BaseException) -> str:
    """An error's words without its values: messages of foreign exceptions may carry a row or a secret."""
    return str(error) if isinstance(error, TenantryError) else type(error).__name__
