"""tRPC over a WebSocket: one socket, its calls side by side, its subscriptions by their ids.

Each call enters its tenant anew, so each is decided by the database as a request would be. Bounded: messages of a frame, calls
at once, subscriptions, bytes; a client that does not read is not read from either. A page of another site may not open one with
this site's cookies: CORS does not cover WebSockets, so `Origin` is looked at here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenantry.auth import is_cross_site
from tenantry.dispatch.held import watched
from tenantry.dispatch.run import Run
from tenantry.dispatch.visit import Visit, known_headers
from tenantry.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    ParseError,
    RpcError,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from tenantry.http import Response
from tenantry.rpc import CODES, Call, code_of, frames
from tenantry.rpc.call import parameter, params_of
from tenantry.rpc.later import StreamLike, refuse, split
from tenantry.rpc.tracked import tracked_of

if TYPE_CHECKING:
    from tenantry.dispatch.road import Place, Road
    from tenantry.dispatch.rounds import Turn
    from tenantry.http import Request, Socket
    from tenantry.rpc import Procedure

POLICY_VIOLATION = 1008


class Refused(Exception):
    """A WebSocket that is not accepted; `answer` says why."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        super().__init__()


class accept:
    """What takes a WebSocket at this mount. Raises Refused."""

    def __init__(self, road: Road, place: Place, request: Request, request_id: str) -> None:
        self.max_message_bytes = place.mount.ws.max_message_bytes
        self.socket = WebSocket(road, place, request, request_id)

    def open(self, socket: Socket) -> WebSocket:
        """The handshake is done."""
        self.socket.begin(socket)
        return self.socket


class WebSocket(Visit):
    """One socket."""

    __slots__ = (
        "calls",
        "end_turn",
        "from_peer",
        "leave_watch",
        "ping_turn",
        "socket",
        "subscriptions",
        "waits_for_params",
    )

    socket: Socket

    def __init__(self, road: Road, place: Place, request: Request, request_id: str) -> None:
        super().__init__(road, place, request.headers, request_id)
        self.from_peer = request.peer
        self.calls: set[Asked] = set()
        self.subscriptions: dict[frames.Id, Asked] = {}
        self.leave_watch: Any = None
        self.ping_turn: Turn | None = None
        self.end_turn: Turn | None = None
        self.waits_for_params = parameter(request.query, b"connectionParams") == b"1"
        try:
            known = known_headers(request.headers)
            known.pop(b"idempotency-key", None)
            self.identify(known)
            if self.credential is not None and is_cross_site(
                request.headers, self.credential, road.asking_origins, road.own_origin
            ):
                message = "This WebSocket is opened by another site"
                raise Forbidden(message)
        except RpcError as error:
            facts = road.facts(error, None, request_id, place)
            body = b'{"error":' + place.codec.error(facts) + b"}"
            headers = [(b"content-type", b"application/json")]
            raise Refused(Response(CODES[code_of(error)].http, body, headers)) from None

    @property
    def peer(self) -> str | None:
        return self.from_peer

    def begin(self, socket: Socket) -> None:
        """The socket is open."""
        self.socket = socket
        self.place.sockets.add(self)
        self.ping_turn = self.place.socket_pings.join(self.ping)
        if not self.waits_for_params:
            self.ask_admission()

    def ask_admission(self) -> None:
        """The application admits it or not, before its first call."""
        if self.road.hooks.admission is not None:
            from tenantry.context import Visitor

            asked = asyncio.ensure_future(self.admit(Visitor(self.road.resources, "", self)))
            asked.add_done_callback(self.admitted)

    def admitted(self, asked: asyncio.Future[None]) -> None:
        error = None if asked.cancelled() else asked.exception()
        if error is not None:
            self.fail(error, frames.NOBODY)
            self.socket.close(POLICY_VIOLATION)

    # ------------------------------------------------------------------ what http calls

    def heard(self, text: bytes, *, is_binary: bool) -> None:
        """A frame has come."""
        if self.ping_turn is not None:
            self.ping_turn.heard()
        if self.end_turn is not None:
            self.end_turn.leave()
            self.end_turn = None
        if not is_binary:
            if text == b"PONG":
                return
            if text == b"PING":
                self.socket.send(b"PONG")
                return
        if self.waits_for_params:
            self.waits_for_params = False
            self.take_params(text)
            return
        self.take(text)

    def lost(self) -> None:
        """The socket is closed: everything in it is stopped."""
        self.place.sockets.discard(self)
        if self.leave_watch is not None:
            self.leave_watch()
        for turn in (self.ping_turn, self.end_turn):
            if turn is not None:
                turn.leave()
        for asked in [*self.calls, *self.subscriptions.values()]:
            asked.run.cancel()

    def drain(self) -> None:
        """The server is about to stop: the client moves its subscriptions to another socket, and closes this one."""
        self.ask_to_reconnect()

    # ------------------------------------------------------------------ frames

    def take_params(self, text: bytes) -> None:
        """The first frame: the connection's params, and nothing else is taken for them."""
        try:
            self.params = params_of(frames.params(text))
            self.identify({})
        except RpcError as error:
            self.fail(error, frames.NOBODY)
            self.socket.close(POLICY_VIOLATION)
            return
        self.ask_admission()

    def take(self, text: bytes) -> None:
        """The calls of a frame. One that cannot be read fails the whole frame, and the socket goes on."""
        try:
            raws = frames.messages(text)
            most = self.place.mount.ws.max_batch
            if most is not None and len(raws) > most and text.lstrip()[:1] == b"[":
                for head in frames.heads(raws):
                    self.fail(BadRequest("Batch call exceeds maximum size"), head)
                return
            for message in [frames.message(raw) for raw in raws]:
                self.ask(message)
        except ParseError as error:
            self.fail(error, frames.NOBODY)

    def ask(self, message: frames.Message) -> None:
        """One message: a call begins, or a subscription stops."""
        if message.id is None:
            self.fail(ParseError("`id` is required"), message.head)
            return
        if message.method == "subscription.stop":
            asked = self.subscriptions.get(message.id)
            if asked is not None:
                asked.stop()
            return
        procedure = self.road.procedures.get(message.path)
        error: RpcError | None = None
        if procedure is None or procedure.type != message.method:
            error = NotFound(f'No "{message.method}"-procedure on path "{message.path}"')
        limits = self.place.mount.ws
        is_subscription = message.method == "subscription"
        if is_subscription and message.id in self.subscriptions:
            self.fail(BadRequest(f"Duplicate id {message.id}"), message.head, message.path)
            return
        if len(self.subscriptions if is_subscription else self.calls) >= (
            limits.max_subscriptions if is_subscription else limits.max_calls
        ):
            self.fail(TooManyRequests("Too many calls at once on this WebSocket"), message.head, message.path)
            return
        asked = Asked(self, message, Call(message.path, procedure, error, message.raw))
        if is_subscription:
            self.subscriptions[message.id] = asked
        else:
            self.calls.add(asked)
        asked.run.start()

    def fail(self, error: BaseException, head: bytes, path: str | None = None) -> None:
        """Answer with an error that no Run has made."""
        facts = self.road.facts(error, path, self.request_id, self.place)
        self.socket.send(frames.failure(head, self.place.codec.error(facts)))

    # ------------------------------------------------------------------ the socket as a whole

    def watch(self, run: Run) -> None:
        """A call got into a tenant: from now on the socket lives no longer than its session."""
        if self.leave_watch is None and run.session is not None and not self.socket.is_closed:
            self.leave_watch = watched(run, self.session_over)

    def session_over(self) -> None:
        """The session has ended: subscriptions hear of it, and the socket is closed."""
        for asked in list(self.subscriptions.values()):
            asked.session_over()
        self.socket.close(POLICY_VIOLATION, "the session has ended")

    def ping(self) -> None:
        """After a silence: ask whether anyone is there."""
        if self.end_turn is None:
            self.socket.send(b"PING")
            self.end_turn = self.place.socket_ends.join(self.abort)

    def ask_to_reconnect(self) -> None:
        """Ask the client to open another socket; this one is served until it is closed."""
        self.socket.send(frames.RECONNECT)

    def abort(self) -> None:
        """Cut it."""
        self.socket.abort()


class Asked:
    """One message that asked for a call: the Run's host."""

    __slots__ = ("encodes_plainly", "is_started", "is_stopping", "is_told", "message", "run", "web_socket")

    def __init__(self, web_socket: WebSocket, message: frames.Message, call: Call) -> None:
        self.web_socket = web_socket
        self.message = message
        self.is_started = False
        self.is_stopping = False
        self.is_told = False
        self.encodes_plainly = web_socket.place.is_plain
        self.run = Run(self, web_socket, call, 0)

    def send(self, data: bytes) -> None:
        self.web_socket.socket.send(data)

    def stop(self) -> None:
        """The client wants no more of it."""
        self.is_stopping = True
        self.run.cancel()

    def session_over(self) -> None:
        """Its session has ended."""
        facts = self.run.facts(Unauthorized())
        self.send(frames.failure(self.message.head, self.web_socket.place.codec.error(facts)))
        self.is_told = True
        self.stop()

    def over(self) -> None:
        """The id is free again."""
        message = self.message
        if message.method == "subscription":
            if message.id is not None and self.web_socket.subscriptions.get(message.id) is self:
                del self.web_socket.subscriptions[message.id]
        else:
            self.web_socket.calls.discard(self)

    # ------------------------------------------------------------------ what a Run asks of its host

    def arguments(self, run: Run) -> tuple[Any, ...]:
        codec = self.web_socket.place.codec
        raw, last = run.call.raw, self.message.last_event_id
        if last is not None:
            return codec.resumed(run.procedure, raw, last)
        return codec.arguments(run.procedure, raw)

    def encode(self, procedure: Procedure[..., Any], value: Any) -> bytes:
        if procedure.type == "subscription":
            if hasattr(value, "__aiter__"):
                raise StreamLike
            message = f"the subscription {procedure.path} gave {type(value).__name__}, and no async iterator"
            raise TypeError(message)
        if not self.encodes_plainly and procedure.may_defer and split(value)[1]:
            raise StreamLike
        return self.web_socket.place.codec.data(procedure, value)

    def succeeded(self, run: Run, body: Any) -> None:
        if not isinstance(body, bytes):
            fields: bytes = body.fields  # an Answer: a WebSocket's calls carry no idempotency key
            body = fields if self.web_socket.place.is_plain else b'{"json":' + fields + b"}"
        self.over()
        self.web_socket.watch(run)
        self.send(frames.data(self.message.head, body))

    def failed(self, run: Run, error: BaseException, facts: dict[str, Any]) -> None:
        self.over()
        if self.is_stopping:
            self.send(frames.stopped(self.message.head))
            return
        self.send(frames.failure(self.message.head, self.web_socket.place.codec.error(facts)))
        if self.is_started:
            self.send(frames.stopped(self.message.head))

    async def deliver(self, run: Run, value: Any) -> None:
        procedure, head, web_socket = run.procedure, self.message.head, self.web_socket
        if procedure.type != "subscription":
            refuse(value)
            message = f"Cannot return an async iterable or observable from a {procedure.type} procedure with WebSockets"
            raise UnsupportedMediaType(message)
        codec, socket = web_socket.place.codec, web_socket.socket
        web_socket.watch(run)
        self.is_started = True
        self.send(frames.started(head))
        values = aiter(value)
        try:
            async for one in values:
                tracked = tracked_of(one)
                if tracked is not None:
                    data = codec.tracked(procedure, tracked.id, tracked.data)
                    self.send(frames.data(head, data, tracked.id))
                else:
                    self.send(frames.data(head, codec.data(procedure, one)))
                if socket.is_full:
                    await socket.drained()
        finally:
            close = getattr(values, "aclose", None)
            if close is not None:
                await close()
        self.over()
        self.send(frames.stopped(head))
