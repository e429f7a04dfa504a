"""One HTTP request that is answered in one piece: a call, or a batch. From parsed to answered."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from tenantry.auth import lacks_origin
from tenantry.dispatch.hooks import ResponseInfo
from tenantry.dispatch.idempotency import Stored
from tenantry.dispatch.road import add_meta
from tenantry.dispatch.run import Run
from tenantry.dispatch.uploads import uploaded
from tenantry.dispatch.visit import Visit
from tenantry.errors import BadRequest, DeadlineExceeded, Forbidden, PoolFull, RpcError, TooManyRequests
from tenantry.http import Request, Respond, Response
from tenantry.rpc import CODES, Answer, code_of, combine, http_status
from tenantry.rpc.later import StreamLike, refuse, split

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tenantry.context import Headers
    from tenantry.dispatch.road import Place, Road
    from tenantry.rpc import Call, Parsed, Procedure

RETRY_AFTER = (b"retry-after", b"1")
"""With every 503: the pool drains within a second or two, or the database is away and the client backs off anyway."""
VARY = (b"vary", b"trpc-accept, accept")
VARY_ORIGIN = (b"vary", b"trpc-accept, accept, origin")
JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
"""What a tenant sees is nobody else's: no shared cache may keep it. Public procedures decide for themselves."""
REPLAYED = (b"idempotency-replayed", b"true")


class Exchange(Visit):
    """A request with its calls."""

    __slots__ = (
        "answers", "cors", "encodes_plainly", "errors", "is_batch", "is_done", "late", "media", "paths", "request", "respond",
        "running", "statuses", "type", "unanswered", "waiting",
    )  # fmt: skip

    def __init__(
        self, road: Road, place: Place, request: Request, respond: Respond, request_id: str, cors: Headers
    ) -> None:
        super().__init__(road, place, request.headers, request_id)
        self.request = request
        self.respond = respond
        self.cors = cors
        self.is_done = False
        self.is_batch = False
        self.encodes_plainly = place.is_plain
        self.running: list[Run] = []
        self.errors: list[BaseException] = []
        self.paths: list[str] = []
        self.type: str | None = None
        self.late: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> str | None:
        return self.request.peer

    def begin(self, parsed: Parsed, known: dict[bytes, bytes]) -> None:
        """Start the calls; of a batch no more than its share of the pool at once."""
        calls = parsed.calls
        self.params = parsed.params
        self.media = parsed.media
        self.identify(known)
        if self.road.hooks.response_meta is not None:
            self.paths = [call.path for call in calls]
            self.type = next((call.procedure.type for call in calls if call.procedure is not None), None)
        if not parsed.is_batch:
            run = Run(self, self, calls[0], 0)
            self.running.append(run)
            run.start()
            return
        self.is_batch = True
        if len(calls) > 1 and any(call.procedure is not None and call.procedure.scope == "person" for call in calls):
            message = "This procedure changes the session, so it cannot share a batch"
            raise BadRequest(message)
        self.begin_batch(calls)

    def prepare(self, calls: list[Call]) -> None:
        """Make room for the answers of a batch."""
        self.answers: list[bytes] = [b""] * len(calls)
        self.statuses: list[int] = [0] * len(calls)
        self.unanswered = len(calls)

    def begin_batch(self, calls: list[Call]) -> None:
        self.prepare(calls)
        runs = [Run(self, self, call, index) for index, call in enumerate(calls)]
        # Who needs no connection waits for none.
        free = [run for run in runs if run.call.procedure is None or run.call.procedure.scope == "public"]
        self.waiting: deque[Run] = deque(run for run in runs if run not in free)
        for run in free:
            self.start(run)
        # Each of those that were begun begins the next when it is answered; so does each that ended at once.
        for _ in range(min(self.road.batch_share, len(self.waiting))):
            self.start_next()
        if self.waiting:
            loop = asyncio.get_running_loop()
            self.late = loop.call_later(self.road.deadline_ms / 1000, self.give_up)

    def start(self, run: Run) -> None:
        self.running.append(run)
        run.start()

    def start_next(self) -> None:
        if self.waiting and not self.is_done:
            self.start(self.waiting.popleft())

    def give_up(self) -> None:
        """The batch has taken its time: what has not begun fails, and what runs has its own deadline."""
        waiting, self.waiting = self.waiting, deque[Run]()
        for run in waiting:
            run.call.error = DeadlineExceeded("The calls before this one took too long; it was not begun.")
            run.start()

    # ------------------------------------------------------------------ what a Run asks of its host

    def arguments(self, run: Run) -> tuple[Any, ...] | Awaitable[tuple[Any, ...]]:
        procedure = run.procedure
        if self.media != "json":
            if self.is_private and lacks_origin(self.headers, self.credential):
                message = "An upload with a session cookie says which page sent it (Origin)"
                raise Forbidden(message)
            return uploaded(procedure, self.request, self.media)
        if self.encodes_plainly:
            return procedure.decode(run.call.raw)
        return self.place.codec.arguments(procedure, run.call.raw)

    def encode(self, procedure: Procedure[..., Any], value: Any) -> bytes:
        if self.encodes_plainly:
            return procedure.encode(value)
        if procedure.may_defer and split(value)[1]:
            raise StreamLike
        return self.place.codec.data(procedure, value)

    def succeeded(self, run: Run, body: Any) -> None:
        status = 200
        if isinstance(body, bytes):
            wire = b'{"result":{"data":' + body + b"}}"
        elif isinstance(body, Answer):
            status, wire = body.status, body.on_wire(is_batch=self.is_batch or not self.place.is_plain)
            if not self.place.is_plain:
                wire = b'{"result":{"data":{"json":' + body.fields + b"}}}"
        else:
            assert isinstance(body, Stored)  # the only other thing that a Run gives
            self.reply_headers.append(REPLAYED)
            wire = b'{"result":{"data":' + body.body + b"}}"
        self.answered(run, status, wire, retry=False)

    def failed(self, run: Run, error: BaseException, facts: dict[str, Any]) -> None:
        status: int = facts["data"]["httpStatus"]
        if status == 405 and isinstance(error, RpcError) and "allow" in error.data:
            self.allow(str(error.data["allow"]))
        self.errors.append(error)
        self.answered(run, status, b'{"error":' + self.place.codec.error(facts) + b"}", retry=status == 503)

    def allow(self, methods: str) -> None:
        """Say which methods there are, once."""
        header = (b"allow", methods.encode("ascii"))
        if header not in self.reply_headers:
            self.reply_headers.append(header)

    async def deliver(self, run: Run, value: Any) -> None:
        """Nothing can come later in an answer of one piece."""
        error = refuse(value)
        if self.is_batch:
            raise error
        self.refuse(error)

    # ------------------------------------------------------------------ the answer

    def answered(self, run: Run, status: int, body: bytes, *, retry: bool) -> None:
        """One call has its answer: the request's only one, or a place in the batch."""
        if self.is_done:
            return
        if self.is_batch:
            self.answers[run.index] = body
            self.statuses[run.index] = status
            self.unanswered -= 1
            if self.unanswered:
                if run.call.procedure is not None and run.call.procedure.scope != "public":
                    self.start_next()
                return
            status = http_status(self.statuses)
            retry = status == 503
            body = combine(self.answers)
        self.close(status, body, retry=retry)

    def refuse(self, error: RpcError) -> None:
        """The whole request fails: one error object, also for a batch (tRPC's way), and without a path."""
        facts = self.road.facts(error, None, self.request_id, self.place)
        allow = error.data.get("allow") if error.trpc == "METHOD_NOT_SUPPORTED" else None
        if isinstance(allow, str):
            self.allow(allow)
        self.errors = [error]
        body = b'{"error":' + self.place.codec.error(facts) + b"}"
        self.close(CODES[code_of(error)].http, body, retry=isinstance(error, PoolFull))

    def close(self, status: int, body: bytes, *, retry: bool) -> None:
        if self.is_done:
            return
        self.is_done = True
        if self.late is not None:
            self.late.cancel()
        headers = self.head(JSON, retry=retry)
        if status == 429:
            wait = max((error.retry_after for error in self.errors if isinstance(error, TooManyRequests)), default=0)
            if wait:
                headers.append((b"retry-after", b"%d" % wait))
        if self.road.hooks.response_meta is not None:
            status = add_meta(self.road, headers, status, self.info(is_eager=False))
        self.running.clear()  # calls and request hold each other: without this the garbage collector had to find them
        self.respond(Response(status, body, headers))

    def head(self, content_type: tuple[bytes, bytes], *, retry: bool = False) -> Headers:
        """The headers of the answer, but for what `response_meta` adds."""
        vary = VARY_ORIGIN if self.road.origins else VARY
        headers = [
            content_type,
            vary,
            (b"x-request-id", self.request_id.encode("ascii")),
            *self.reply_headers,
            *self.cors,
        ]
        caching = self.caching()
        if caching is not None and not (
            self.reply_headers and any(name == b"cache-control" for name, _ in self.reply_headers)
        ):
            headers.append(caching)
        if retry:
            headers.append(RETRY_AFTER)
        return headers

    def caching(self) -> tuple[bytes, bytes] | None:
        """How long the answer may be kept: private unless the procedures say more, and nothing for what failed."""
        if self.request.method == "GET" and self.running and not self.errors:
            ages = [run.procedure.max_age for run in self.running]
            known = [age for age in ages if age is not None]
            if len(known) == len(ages):
                who = b"private" if self.is_private else b"public"
                return (b"cache-control", b"%b, max-age=%d" % (who, min(known)))
        return NO_STORE if self.is_private else None

    def info(self, *, is_eager: bool) -> ResponseInfo:
        return ResponseInfo(self.place.path, self.paths, self.type, self.errors, is_eager, self.headers)

    def cancel(self) -> None:
        """The client is gone: what runs is stopped, what waits never starts. A commit under way is let through."""
        if self.is_done:
            return
        self.is_done = True
        if self.late is not None:
            self.late.cancel()
        for run in self.running:
            run.cancel()
