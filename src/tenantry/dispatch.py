"""The way of a request: parse → credential → transaction → handler → encode. Read it from top to bottom.

A handler that returns its statement runs here without a task, a future or a timer: the call is one object, its statement one
trip, and the answer leaves from the reader's callback. A handler that awaits runs in the one task of its call.
Nothing here knows of sockets (`http`), of the wire of PostgreSQL (`db`) or of the bytes of tRPC (`rpc`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tenantry.auth import SignIn, find_credential, is_cross_site, session_cookie
from tenantry.context import Ctx, Headers, Person, Visitor
from tenantry.db import Entry, Pool, Session, Trip
from tenantry.errors import (
    BadRequest,
    BuilderError,
    ClientClosedRequest,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    PoolFull,
    RpcError,
    TenantryError,
    Unauthorized,
)
from tenantry.http import Request, Response, Running
from tenantry.rpc import (
    CODES,
    Answer,
    Call,
    Limits,
    Procedure,
    RpcRequest,
    combine,
    failure,
    http_status,
    parse,
    shape,
    success,
)

if TYPE_CHECKING:
    from uuid import UUID

    from tenantry.logs import RequestLines
    from tenantry.signals import Signals

log = logging.getLogger("tenantry.request")

Respond = Callable[[Response], None]

RETRY_AFTER = (b"retry-after", b"1")
"""With every 503: the pool drains within a second or two, or the database is away and the client backs off anyway."""
VARY = (b"vary", b"trpc-accept, accept")
JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
"""What a tenant sees is nobody else's: no shared cache may keep it. Public procedures decide for themselves."""


class Road(Struct, frozen=True):
    """What the way of a request needs, wired once by `app`."""

    procedures: Mapping[str, Procedure[..., Any]]
    base_path: str
    limits: Limits
    pool: Pool
    accounts: Pool
    signals: Signals
    lines: RequestLines | None
    """Where each call has its line in the log; None for none."""
    resources: Any
    origins: frozenset[str]
    deadline_ms: int
    batch_share: int
    """How many calls of one batch may run at once, so that one batch never takes the whole pool."""
    is_development: bool
    auth: SignIn


class Dispatcher:
    """Answers requests: `handle` is the http room's `Handler`."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.prefix = road.base_path.rstrip("/") + "/"
        # One draw a process, then a counter: unique over workers and machines without a system call for each request.
        self.request_ids = map(f"{secrets.token_hex(6)}-{{:x}}".format, itertools.count(1))

    def handle(self, request: Request, respond: Respond) -> Running | None:
        """Answer one HTTP request; `respond` is called exactly once, at once or later. The result can be cancelled."""
        prefix = self.prefix
        path = request.path
        if path.startswith("/api/auth") and path[9:10] in ("", "/") and not path.startswith(prefix):
            self.road.auth.handle(
                request, lambda status, body, headers: respond(Response(status, body, headers)), next(self.request_ids)
            )
            return None
        exchange = Exchange(self.road, request, respond, next(self.request_ids))
        if not path.startswith(prefix):
            exchange.refuse(NotFound(f"Nothing is served at this path; procedures are under {prefix}"))
            return None
        if request.method == "HEAD":
            respond(Response(204, b"", []))
            return None
        content_type = request.header(b"content-type")
        try:
            parsed = parse(
                self.road.procedures,
                RpcRequest(request.method, path[len(prefix) :], request.query, content_type, request.body),
                self.road.limits,
            )
            exchange.begin(parsed.calls, is_batch=parsed.is_batch)
        except RpcError as error:
            exchange.refuse(error)
            return None
        return exchange


class Exchange:
    """One HTTP request with its calls, from parsed to answered."""

    __slots__ = (
        "answers",
        "believed_tenant",
        "calls",
        "credential",
        "is_batch",
        "is_done",
        "reply_headers",
        "request",
        "request_id",
        "respond",
        "road",
        "running",
        "started",
        "statuses",
        "unanswered",
        "waiting",
    )

    def __init__(self, road: Road, request: Request, respond: Respond, request_id: str) -> None:
        self.road = road
        self.request = request
        self.respond = respond
        self.request_id = request_id
        self.reply_headers: Headers = []
        self.is_done = False
        self.started = time.perf_counter()

    def begin(self, calls: list[Call], *, is_batch: bool) -> None:
        """Start the calls; of a batch no more than its share of the pool at once."""
        self.is_batch = is_batch
        self.credential = find_credential(self.request.headers)
        believed = self.request.header(b"x-tenantry-tenant")
        self.believed_tenant = None if believed is None else tenant_of_header(believed)
        if not is_batch:
            self.running: list[Run] = []
            run = Run(self, calls[0], 0)
            self.running.append(run)
            run.start()
            return
        if len(calls) > 1 and any(call.procedure is not None and call.procedure.scope == "person" for call in calls):
            message = "This procedure changes the session, so it cannot share a batch"
            raise BadRequest(message)
        self.running = []
        self.answers: list[bytes] = [b""] * len(calls)
        self.statuses: list[int] = [0] * len(calls)
        self.unanswered = len(calls)
        self.waiting: deque[Run] = deque(Run(self, call, index) for index, call in enumerate(calls))
        for _ in range(min(self.road.batch_share, len(calls))):
            self.start_next()

    def start_next(self) -> None:
        if self.waiting and not self.is_done:
            run = self.waiting.popleft()
            self.running.append(run)
            run.start()

    def answered(self, run: Run, status: int, body: bytes, retry: bool) -> None:
        """One call has its answer: the request's only one, or a place in the batch."""
        if self.is_done:
            return
        if not self.is_batch:
            headers = [JSON, VARY, (b"x-request-id", self.request_id.encode("ascii")), *self.reply_headers]
            if retry:
                headers.append(RETRY_AFTER)
            self.close(Response(status, body, headers))
            return
        self.answers[run.index] = body
        self.statuses[run.index] = status
        self.unanswered -= 1
        if self.unanswered:
            self.start_next()
            return
        status = http_status(self.statuses)
        headers = [JSON, VARY, NO_STORE, (b"x-request-id", self.request_id.encode("ascii")), *self.reply_headers]
        if status == 503:
            headers.append(RETRY_AFTER)
        self.close(Response(status, combine(self.answers), headers))

    def refuse(self, error: RpcError) -> None:
        """The whole request fails: one error object, also for a batch (tRPC's way), and without a path."""
        facts = shape(error, None, request_id=self.request_id, is_development=self.road.is_development)
        headers = [JSON, VARY, (b"x-request-id", self.request_id.encode("ascii"))]
        if isinstance(error, PoolFull):
            headers.append(RETRY_AFTER)
        allow = error.data.get("allow") if error.trpc == "METHOD_NOT_SUPPORTED" else None
        if isinstance(allow, str):
            headers.append((b"allow", allow.encode("ascii")))
        self.close(Response(CODES[error.trpc].http, failure(facts), headers))

    def close(self, response: Response) -> None:
        self.is_done = True
        self.respond(response)

    def cancel(self) -> None:
        """The client is gone: what runs is stopped, what waits never starts. A commit under way is let through."""
        if self.is_done:
            return
        self.is_done = True
        for run in self.running:
            run.cancel()


class Run:
    """One call: from its raw input to the bytes of its answer."""

    __slots__ = ("call", "ctx", "exchange", "index", "procedure", "session", "started", "task", "timed_out", "timer")

    session: Session | None
    ctx: Visitor[Any]

    def __init__(self, exchange: Exchange, call: Call, index: int) -> None:
        self.exchange = exchange
        self.call = call
        self.index = index
        self.session = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timed_out = False

    def start(self) -> None:
        """Decode the input, make the context, call the handler; whatever fails is this call's error and no other's."""
        self.started = time.perf_counter()
        call = self.call
        try:
            if call.error is not None:
                raise call.error
            procedure = call.procedure
            assert procedure is not None  # parse gives one or the other
            self.procedure = procedure
            self.enter(procedure)
            arguments = procedure.decode(call.raw)
            if procedure.is_async:
                self.run_in_task(procedure, arguments)
                return
            statement = procedure.handler(self.ctx, *arguments)
            assert self.session is not None  # only a procedure inside a tenant may be a plain def
            self.session.submit(statement, self.landed, procedure.encode)
        except Exception as error:  # the one place where a call's failure becomes its answer
            self.failed(error)

    def enter(self, procedure: Procedure[..., Any]) -> None:
        """Make the context. No credential is UNAUTHORIZED here; whether one is good, only the database knows."""
        exchange = self.exchange
        road = exchange.road
        request = exchange.request
        if procedure.scope == "public":
            self.ctx = Visitor(
                road.resources, procedure.path, exchange.request_id, request.headers, exchange.reply_headers
            )
            return
        credential = exchange.credential
        if credential is None:
            raise Unauthorized
        if procedure.type == "mutation" and is_cross_site(request.headers, credential, road.origins):
            message = "This request comes from another site"
            raise Forbidden(message)
        if procedure.scope == "person":
            self.ctx = Person(
                road.resources, procedure.path, exchange.request_id, request.headers, exchange.reply_headers,
                credential, road.accounts,
            )  # fmt: skip
            return
        if not exchange.reply_headers:
            exchange.reply_headers.append(NO_STORE)
        self.session = session = Session(
            road.pool,
            Entry(
                credential.token,
                procedure.type == "query",
                procedure.need,
                exchange.believed_tenant,
                procedure.path,
                procedure.deadline_ms or road.deadline_ms,
            ),
        )
        self.ctx = Ctx(
            road.resources, procedure.path, exchange.request_id, request.headers, exchange.reply_headers, session
        )

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

    # -------------------------------------------------------------- a handler that awaits

    def run_in_task(self, procedure: Procedure[..., Any], arguments: tuple[Any, ...]) -> None:
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(self.handle(procedure, arguments))
        deadline_ms = procedure.deadline_ms or self.exchange.road.deadline_ms
        self.timer = loop.call_later(deadline_ms / 1000, self.expire)

    async def handle(self, procedure: Procedure[..., Any], arguments: tuple[Any, ...]) -> None:
        session = self.session
        try:
            value = await procedure.handler(self.ctx, *arguments)
            # Encoded before COMMIT, so that a value with no JSON undoes what the handler wrote.
            body = value if isinstance(value, Answer) else procedure.encode(value)
            if session is not None:
                # From here on the outcome is PostgreSQL's: a client that goes away no longer stops the commit, and the
                # commit has a deadline of its own, by which its outcome is known. "Nothing was changed" must be so.
                if self.timer is not None:
                    self.timer.cancel()
                await asyncio.shield(session.finish())
            elif isinstance(self.ctx, Person):
                self.keep_session(self.ctx)
        except asyncio.CancelledError:
            self.abandon()
            self.failed(DeadlineExceeded() if self.timed_out else ClientClosedRequest())
        except Exception as error:
            self.abandon()
            self.failed(error)
        else:
            self.succeeded(body)
        finally:
            if self.timer is not None:
                self.timer.cancel()

    def keep_session(self, person: Person[Any]) -> None:
        """The session goes on under another token: the answer brings the cookie."""
        if person.new_session is not None:
            token, expires = person.new_session
            cookie = session_cookie(person.headers, token, expires)
            self.exchange.reply_headers.append((b"set-cookie", cookie.encode("ascii")))

    def expire(self) -> None:
        self.timed_out = True
        if self.task is not None:
            self.task.cancel()

    def abandon(self) -> None:
        if self.session is not None:
            self.session.abandon()

    def cancel(self) -> None:
        """The client has gone."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.abandon()

    # -------------------------------------------------------------- the answer

    def succeeded(self, body: Any) -> None:
        status = 200
        if isinstance(body, Answer):
            status, wire = body.status, body.on_wire(is_batch=self.exchange.is_batch)
        else:
            wire = success(body)
        self.over(self.procedure.path, status, None)
        self.exchange.answered(self, status, wire, retry=False)

    def failed(self, error: BaseException) -> None:
        exchange = self.exchange
        path = self.call.path
        trpc = error.trpc if isinstance(error, TenantryError) else "INTERNAL_SERVER_ERROR"
        if not isinstance(error, RpcError):
            self.note(error)
        status = CODES[trpc].http
        self.over(path, status, trpc)
        facts = shape(error, path, request_id=exchange.request_id, is_development=exchange.road.is_development)
        if trpc == "METHOD_NOT_SUPPORTED" and isinstance(error, RpcError) and "allow" in error.data:
            exchange.reply_headers.append((b"allow", str(error.data["allow"]).encode("ascii")))
        exchange.answered(self, status, failure(facts), retry=status == 503)

    def over(self, path: str, status: int, code: str | None) -> None:
        """Count the call, and write its line."""
        exchange = self.exchange
        road = exchange.road
        seconds = time.perf_counter() - self.started
        road.signals.request(path, seconds, code)
        lines = road.lines
        if lines is not None:
            session = self.session
            tenant = None if session is None else session.tenant_bytes
            lines.add(path, status, code, seconds, tenant, exchange.request_id, exchange.request.headers)

    def note(self, error: BaseException) -> None:
        """Log what the client does not hear. A builder's mistake speaks for itself; anything else needs its trace."""
        exchange = self.exchange
        trace = None if isinstance(error, BuilderError) else error
        extra = {"error": error, "request_id": exchange.request_id}
        log.error(
            "%s failed: %s (request %s)",
            self.call.path,
            summary(error),
            exchange.request_id,
            exc_info=trace,
            extra=extra,
        )


def summary(error: BaseException) -> str:
    """An error's words without its values: messages of foreign exceptions may carry a row or a secret."""
    return str(error) if isinstance(error, TenantryError) else type(error).__name__


def tenant_of_header(value: bytes) -> UUID:
    """The tenant that the caller believes to be in (`x-tenantry-tenant`), or BAD_REQUEST."""
    from uuid import UUID

    try:
        return UUID(value.decode("ascii"))
    except ValueError:
        message = "x-tenantry-tenant is not a UUID"
        raise BadRequest(message) from None
