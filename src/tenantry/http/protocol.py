"""HTTP/1.1 on a socket: bytes to Request, Response to bytes, one write an answer, no task and no timer a request.

httptools (llhttp, Node's own parser) parses. Requests of one connection are answered in order, one at a time: while one is
under way reading pauses, so that neither pipelining nor a slow handler can queue without bound. An upload is begun when its
head is here, and read as fast as it is taken; a stream is written as fast as the client reads it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from msgspec import Struct

from tenantry.errors import PayloadTooLarge
from tenantry.http.flow import OUTLET_BYTES, Inflow, Outlet
from tenantry.http.message import (
    BAD_HTTP,
    HEADERS_TOO_LARGE,
    TOO_LARGE,
    TOO_SLOW,
    Handler,
    Headers,
    Intake,
    Request,
    Response,
    Running,
    Stream,
)

if TYPE_CHECKING:
    from tenantry.http.server import NativeServer


class _StatusLines(dict[int, bytes]):
    """The status line of each code; an application may answer with one that HTTPStatus does not know."""

    def __missing__(self, status: int) -> bytes:
        return b"HTTP/1.1 %d -\r\n" % status


_STATUS = _StatusLines({s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus})
MAX_PIPELINED = 16
"""Requests that one connection may send ahead of their answers."""


LINGER_BYTES = 16 << 20
LINGER_SECONDS = 10.0
"""How much more of a refused body is taken: a client hears the answer only after it has sent what it began."""


class HttpLimits(Struct, frozen=True):
    """Bytes and seconds that a connection may take."""

    max_body_bytes: int = 1 << 20
    max_header_bytes: int = 128 << 10
    max_headers: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    unread_seconds: float = 60.0
    """How long a client may take nothing of the answer that waits for it."""


class Clock:
    """The `date` header, made once a second."""

    def __init__(self) -> None:
        self.second = 0
        self.line = b""

    def date(self) -> bytes:
        now = int(time.time())
        if now != self.second:
            self.second = now
            self.line = b"date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
        return self.line


class HttpProtocol(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "body", "clock", "expects", "handler", "header_bytes", "headers", "inflow", "intake", "is_closing", "is_full", "is_reading",
        "is_unread", "keep_alive", "left", "left_since", "limits", "lingering", "outlet", "parser", "peer", "running", "server",
        "since", "size", "state", "transport", "upgrading", "url", "waiting",
    )  # fmt: skip

    transport: Any

    def __init__(self, server: NativeServer, handler: Handler, limits: HttpLimits, clock: Clock) -> None:
        self.server = server
        self.handler = handler
        self.limits = limits
        self.clock = clock
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[tuple[Request, bool]] = deque()
        self.running: Running | None = None
        self.state = "idle"  # idle | head | body | busy; `since` is when it began
        self.inflow: Inflow | None = None
        """The body that is being fed; None when there is none, or nobody wants it any more."""
        self.outlet: Outlet | None = None
        self.lingering = 0
        """Bytes of an unwanted body that may still come before the connection is cut; 0: none is coming."""
        self.upgrading: Request | None = None
        self.since = server.now
        self.is_closing = False
        self.is_reading = True
        self.is_full = False
        """More is written than the client has taken."""
        self.is_unread = False
        """An answer is, and the next request waits for that."""
        self.left = 0  # bytes that the client has still to take, when last looked at; `left_since` is when that changed
        self.left_since = 0.0
        self.peer: str | None = None

    # ------------------------------------------------------------------ the transport's calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else None
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        self.is_closing = True
        self.waiting.clear()
        if self.inflow is not None:
            self.inflow.gone()
        if self.outlet is not None:
            self.outlet.is_closed = True
            self.outlet.resumed()
        running, self.running = self.running, None
        if running is not None:
            running.cancel()

    def pause_writing(self) -> None:
        self.is_full = True
        if self.outlet is not None:
            self.outlet.paused()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.outlet is not None:
            self.outlet.resumed()
        elif self.is_unread:
            self.is_unread = False
            self.answered()

    def eof_received(self) -> bool:
        # A half-closed client is gone: browsers and fetch never send half a connection and wait.
        return False

    def data_received(self, data: bytes) -> None:
        if self.is_closing and not self.lingering:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgrade(data[upgrade.args[0] :] if upgrade.args else b"")
        except httptools.HttpParserCallbackError as error:
            # An error of ours in a callback below is raised through the parser, as its context.
            inner = error.__context__
            self.refuse(inner.answer if isinstance(inner, _Refused) else BAD_HTTP)
        except httptools.HttpParserError:
            self.refuse(BAD_HTTP)

    # ------------------------------------------------------------------ the parser's calls

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: Headers = []
        self.body: list[bytes] = []
        self.size = 0
        self.header_bytes = 0
        self.intake: Intake | None = None
        self.expects = False
        if self.state == "idle":
            self.state = "head"
            self.since = self.server.now

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        headers, limits = self.headers, self.limits
        headers.append((name.lower(), value))
        self.header_bytes += len(name) + len(value)
        if self.header_bytes > limits.max_header_bytes or len(headers) > limits.max_headers:
            raise _Refused(HEADERS_TOO_LARGE)

    def _count(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > self.limits.max_header_bytes:
            raise _Refused(HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if self.state == "head":
            self.state = "body"
            self.since = self.server.now
        length: int | None = None
        is_chunked = False
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value) if len(value) <= 12 else 1 << 62
            elif name == b"transfer-encoding":
                is_chunked = True
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expects = True
        if length is None and not is_chunked:
            return
        if length is not None and is_chunked:  # the two readings of such a message are how requests are smuggled
            raise _Refused(BAD_HTTP)
        if length != 0:
            self.take_body(length or 0)

    def take_body(self, length: int) -> None:
        """A body follows: whole or as it comes, and how much of it at most, is the application's to say."""
        path = self.url.partition(b"?")[0].decode("latin-1")
        self.intake = intake = self.server.intake(path, self.headers) or Intake(self.limits.max_body_bytes)
        if intake.is_streamed:
            self.inflow = inflow = _Upload(self, intake.max_bytes)
            if length > intake.max_bytes:
                inflow.feed_too_much()
            self.arrived(self.request(None, inflow), self.parser.should_keep_alive())
        elif length > intake.max_bytes:
            self.refuse_body()
        elif self.expects:
            self.go_on()

    def go_on(self) -> None:
        """Whoever asks before it sends may send."""
        if self.expects:
            self.expects = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def refuse_body(self) -> None:
        """The body is too large: stop taking it, and answer. An application answers in its own words, by call."""
        if not self.server.knows_bodies:
            raise _Refused(TOO_LARGE)
        self.body.clear()
        self.lingering = LINGER_BYTES
        self.arrived(self.request(None), keep_alive=False)

    def on_body(self, part: bytes) -> None:
        if self.lingering:
            self.lingering -= len(part)
            if self.lingering <= 0:
                self.lingering = 0
                self.transport.close()
            return
        if self.inflow is not None:
            if not self.inflow.feed(part) and self.is_reading:
                self.is_reading = False
                self.transport.pause_reading()
            return
        self.body.append(part)
        self.size += len(part)
        if self.intake is not None and self.size > self.intake.max_bytes:
            self.refuse_body()
        if len(self.body) > 64:
            self.body = [b"".join(self.body)]

    def on_message_complete(self) -> None:
        if self.inflow is not None:
            self.inflow.end()
            self.inflow = None
            return
        if self.lingering:
            self.lingering = 0
            if self.state != "busy":
                self.transport.close()
            return
        if self.parser.should_upgrade() and self.wants_socket():
            self.upgrading = self.request(b"")
            return
        body = self.body
        self.arrived(self.request(body[0] if len(body) == 1 else b"".join(body)), self.parser.should_keep_alive())

    def request(self, body: bytes | None, inflow: Inflow | None = None) -> Request:
        url = self.url
        at = url.find(b"?")
        path, query = (url, b"") if at < 0 else (url[:at], url[at + 1 :])
        return Request(
            self.parser.get_method().decode("ascii"),
            path.decode("latin-1"),
            query,
            self.headers,
            body,
            self.peer,
            inflow,
        )

    def wants_socket(self) -> bool:
        return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in self.headers)

    def arrived(self, request: Request, keep_alive: bool) -> None:
        """A request is here: begin it, or let it wait for its turn."""
        if self.state == "busy":
            if len(self.waiting) >= MAX_PIPELINED:
                raise _Refused(BAD_HTTP)
            self.waiting.append((request, keep_alive))
            if self.is_reading:
                self.is_reading = False
                self.transport.pause_reading()
            return
        self.begin(request, keep_alive)

    # ------------------------------------------------------------------ from a request to its answer

    def begin(self, request: Request, keep_alive: bool) -> None:
        self.state = "busy"
        self.keep_alive = keep_alive and not self.server.is_draining
        running = self.handler(request, self.answer)
        if self.state == "busy" and not self.is_unread:
            self.running = running

    def answer(self, response: Response) -> None:
        """Write the answer in one piece, then go on with the connection's next request."""
        if self.is_closing:
            self.running = None
            return
        if isinstance(response, Stream):
            self.stream(response)
            return
        if self.inflow is not None:
            self.forget_body()
        self.write(response, keep_alive=self.keep_alive)
        self.answered()

    def answered(self) -> None:
        """The answer is written: the connection goes on, or ends."""
        self.running = None
        if self.is_full and self.keep_alive:
            # Who sends on and on and reads nothing shall not fill our memory with answers: it is busy until it has read.
            self.is_unread = True
            return
        self.state = "idle"
        self.since = self.server.now
        if not self.keep_alive:
            self.is_closing = True
            if not self.lingering:
                self.transport.close()
            elif self.transport.can_write_eof():
                self.transport.write_eof()
        elif self.waiting:
            # By the loop, not from here: a chain of ready answers must not grow the stack.
            asyncio.get_running_loop().call_soon(self.next)

    def forget_body(self) -> None:
        """The answer came before the body's end: take the rest for a while, so that the client hears the answer."""
        self.inflow = None
        self.keep_alive = False
        self.lingering = LINGER_BYTES
        if not self.is_reading:
            self.is_reading = True
            self.transport.resume_reading()

    def stream(self, response: Stream) -> None:
        """Send the head, and let the stream write its body in chunks."""
        if self.inflow is not None:
            self.forget_body()
        is_chunked = self.parser.get_http_version() != "1.0"
        if not is_chunked:
            self.keep_alive = False
        self.transport.set_write_buffer_limits(high=OUTLET_BYTES)
        lines = [_STATUS[response.status], self.clock.date()]
        for name, value in response.headers:
            lines += (name, b": ", value, b"\r\n")
        if is_chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"connection: keep-alive\r\n\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        self.outlet = _Chunks(self, b"".join(lines), is_chunked=is_chunked)
        response.begin(self.outlet)
        self.outlet.flush_head()

    def streamed(self) -> None:
        """The stream is complete."""
        self.outlet = None
        self.answered()

    def upgrade(self, rest: bytes) -> None:
        """Another protocol from here on: a WebSocket, if the application takes it."""
        request, self.upgrading = self.upgrading, None
        if request is None:
            if self.state in ("busy", "idle"):
                # An upgrade to something else that was asked for beside an ordinary request: it was answered as one.
                return
            self.refuse(BAD_HTTP)
            return
        is_text = all(value.isascii() for name, value in request.headers if name.startswith(b"sec-websocket-"))
        if self.state == "busy" or self.waiting or not is_text:
            self.refuse(BAD_HTTP)
            return
        answer = self.server.upgrade(request)
        if isinstance(answer, Response):
            self.refuse(answer)
            return
        from tenantry.http.websocket import NativeSocket

        socket = NativeSocket(self.server, self.transport, answer.max_message_bytes)
        self.server.connections.discard(self)
        self.is_closing = True
        self.transport.set_protocol(socket)
        self.server.connections.add(socket)
        self.transport.set_write_buffer_limits(high=OUTLET_BYTES)
        if socket.shake(request, answer) and rest:
            socket.data_received(rest)

    def next(self) -> None:
        if self.waiting and self.state != "busy" and not self.is_closing:
            self.begin(*self.waiting.popleft())
        if not self.waiting and not self.is_reading and not self.is_closing:
            self.is_reading = True
            self.transport.resume_reading()

    def write(self, response: Response, *, keep_alive: bool) -> None:
        body = response.body
        parts = [_STATUS[response.status], self.clock.date()]
        for name, value in response.headers:
            parts += (name, b": ", value, b"\r\n")
        if response.status != 204:
            parts.append(b"content-length: %d\r\n" % len(body))
        parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        parts.append(body)
        self.transport.write(b"".join(parts))

    def refuse(self, response: Response) -> None:
        """Answer a request that cannot be read, and close: where the next one would begin, nobody knows."""
        if self.running is not None:
            self.running.cancel()
            self.running = None
        self.waiting.clear()
        self.is_closing = True
        self.write(response, keep_alive=False)
        self.transport.close()

    def drain(self) -> None:
        """The server is about to stop: a stream is asked to end."""
        drain = getattr(self.running, "drain", None)
        if drain is not None:
            drain()

    def tick(self, now: float) -> None:
        """Several times a second, by the server: end what is too slow."""
        if (self.is_full or self.is_closing) and self.outlet is None and self.is_stuck(now):
            self.transport.abort()
            return
        waited = now - self.since
        if self.lingering:
            if self.state == "idle" and waited > LINGER_SECONDS:
                self.lingering = 0
                self.transport.close()
        elif self.state == "idle":
            if waited > self.limits.idle_seconds or (self.server.is_draining and waited > 0.3):
                self.is_closing = True
                self.transport.close()
        elif (self.state == "head" and waited > self.limits.head_seconds) or (
            self.state == "body" and waited > self.limits.body_seconds
        ):
            self.refuse(TOO_SLOW)

    def is_stuck(self, now: float) -> bool:
        """Tell whether the client has taken nothing of its answer for too long: it would hold the answer for ever."""
        left = self.transport.get_write_buffer_size()
        if left != self.left:
            self.left, self.left_since = left, now
        return left > 0 and now - self.left_since > self.limits.unread_seconds


class _Upload(Inflow):
    """A body that is fed from the parser."""

    __slots__ = ("connection",)

    def __init__(self, connection: HttpProtocol, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.connection = connection

    def feed_too_much(self) -> None:
        """Its length alone is too much."""
        self.left = -1
        self.fail(PayloadTooLarge())

    def begun(self) -> None:
        self.connection.go_on()

    def want(self) -> None:
        connection = self.connection
        if not connection.is_reading and connection.inflow is self:
            connection.is_reading = True
            connection.transport.resume_reading()


class _Chunks(Outlet):
    """A body of unknown length: HTTP/1.1's chunks, or to the connection's end for HTTP/1.0."""

    __slots__ = ("connection", "head", "is_chunked")

    def __init__(self, connection: HttpProtocol, head: bytes, *, is_chunked: bool) -> None:
        super().__init__()
        self.connection = connection
        self.head = head
        """Waits for the first bytes of the body, so that both leave in one packet; `flush_head` ends the wait."""
        self.is_chunked = is_chunked

    def send(self, data: bytes) -> None:
        if self.is_closed or not data:
            return
        head, self.head = self.head, b""
        framed = b"%b%x\r\n%b\r\n" % (head, len(data), data) if self.is_chunked else head + data
        self.connection.transport.write(framed)

    def flush_head(self) -> None:
        """Send the head if nothing else was sent with it."""
        head, self.head = self.head, b""
        if head and not self.is_closed:
            self.connection.transport.write(head)

    def end(self) -> None:
        if self.is_closed:
            return
        self.flush_head()
        self.is_closed = True
        if self.is_chunked:
            self.connection.transport.write(b"0\r\n\r\n")
        self.connection.streamed()

    def abort(self) -> None:
        self.is_closed = True
        self.resumed()
        self.connection.transport.abort()


class _Refused(Exception):
    """Carries an answer out of the parser's callbacks."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        super().__init__()
