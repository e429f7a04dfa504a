"""HTTP/1.1 on a socket: bytes to Request, Response to bytes, one write an answer, no task and no timer a request.

httptools (llhttp, Node's own parser) parses. Requests of one connection are answered in order, one at a time: while one is
under way reading pauses, so that neither pipelining nor a slow handler can queue without bound.
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

from tenantry.http.message import (
    BAD_HTTP,
    HEADERS_TOO_LARGE,
    TOO_LARGE,
    TOO_SLOW,
    Handler,
    Headers,
    Request,
    Response,
    Running,
)

if TYPE_CHECKING:
    from tenantry.http.server import NativeServer

_STATUS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
MAX_PIPELINED = 16
"""Requests that one connection may send ahead of their answers."""


class HttpLimits(Struct, frozen=True):
    """Bytes and seconds that a connection may take."""

    max_body_bytes: int = 1 << 20
    max_header_bytes: int = 128 << 10
    max_headers: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0


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
        "body", "clock", "handler", "header_bytes", "headers", "is_closing", "is_reading", "keep_alive", "limits", "parser",
        "peer", "running", "server", "since", "state", "transport", "url", "waiting",
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
        self.since = server.now
        self.is_closing = False
        self.is_reading = True
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
        running, self.running = self.running, None
        if running is not None:
            running.cancel()

    def eof_received(self) -> bool:
        # A half-closed client is gone: browsers and fetch never send half a connection and wait.
        return False

    def data_received(self, data: bytes) -> None:
        if self.is_closing:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.refuse(BAD_HTTP)
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
        self.header_bytes = 0
        if self.state == "idle":
            self.state = "head"
            self.since = self.server.now

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
        self._count(len(name) + len(value))
        if len(self.headers) > self.limits.max_headers:
            raise _Refused(HEADERS_TOO_LARGE)

    def _count(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > self.limits.max_header_bytes:
            raise _Refused(HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if self.state == "head":
            self.state = "body"
            self.since = self.server.now
        has_length = is_chunked = False
        for name, value in self.headers:
            if name == b"content-length":
                has_length = True
                if len(value) > 12 or int(value) > self.limits.max_body_bytes:
                    raise _Refused(TOO_LARGE)
            elif name == b"transfer-encoding":
                is_chunked = True
            elif name == b"expect" and value.lower() == b"100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if has_length and is_chunked:  # the two readings of such a message are how requests are smuggled
            raise _Refused(BAD_HTTP)

    def on_body(self, part: bytes) -> None:
        self.body.append(part)
        if sum(map(len, self.body)) > self.limits.max_body_bytes:
            raise _Refused(TOO_LARGE)
        if len(self.body) > 64:
            self.body = [b"".join(self.body)]

    def on_message_complete(self) -> None:
        url = self.url
        at = url.find(b"?")
        path, query = (url, b"") if at < 0 else (url[:at], url[at + 1 :])
        body = self.body
        request = Request(
            self.parser.get_method().decode("ascii"),
            path.decode("latin-1"),
            query,
            self.headers,
            body[0] if len(body) == 1 else b"".join(body),
            self.peer,
        )
        keep_alive = self.parser.should_keep_alive()
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
        if self.state == "busy":
            self.running = running

    def answer(self, response: Response) -> None:
        """Write the answer in one piece, then go on with the connection's next request."""
        self.running = None
        if self.is_closing:
            return
        self.state = "idle"
        self.since = self.server.now
        self.write(response, keep_alive=self.keep_alive)
        if not self.keep_alive:
            self.is_closing = True
            self.transport.close()
        elif self.waiting:
            # By the loop, not from here: a chain of ready answers must not grow the stack.
            asyncio.get_running_loop().call_soon(self.next)

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

    def tick(self, now: float) -> None:
        """Once a second, by the server: end what is too slow."""
        waited = now - self.since
        if self.state == "idle":
            if waited > self.limits.idle_seconds or (self.server.is_draining and waited > 0.3):
                self.is_closing = True
                self.transport.close()
        elif (self.state == "head" and waited > self.limits.head_seconds) or (
            self.state == "body" and waited > self.limits.body_seconds
        ):
            self.refuse(TOO_SLOW)


class _Refused(Exception):
    """Carries an answer out of the parser's callbacks."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        super().__init__()
