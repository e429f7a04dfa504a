"""A request and an answer as values, shared by the native server and the ASGI shell.

A body is bytes, or for uploads an `Inflow` that is read as it comes; an answer is bytes, or a `Stream` that is begun and then
written through an `Outlet`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from tenantry.http.flow import Inflow, Outlet
    from tenantry.http.socket import Accept

Headers = list[tuple[bytes, bytes]]


class Request:
    """One request. `path` is the raw target path (undecoded, Latin-1); header names are lower case.

    `body` is whole (None: it was larger than allowed, and was not read), or it is read through `inflow`.
    """

    __slots__ = ("body", "headers", "inflow", "method", "path", "peer", "query")

    def __init__(
        self, method: str, path: str, query: bytes, headers: Headers, body: bytes | None, peer: str | None,
        inflow: Inflow | None = None,
    ) -> None:  # fmt: skip
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self.inflow = inflow

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Response:
    """One whole answer; the shell adds `content-length` and `date`."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        self.body = body
        self.headers = headers


class Stream(Response):
    """An answer that is written bit by bit: the shell sends its head, and then calls `begin(outlet)`."""

    __slots__ = ("begin",)

    def __init__(self, status: int, headers: Headers, begin: Callable[[Outlet], None]) -> None:
        super().__init__(status, b"", headers)
        self.begin = begin


class Intake(Struct, frozen=True):
    """How the body of a request is taken: at most so many bytes, whole or as it comes."""

    max_bytes: int
    is_streamed: bool = False


class Running(Protocol):
    """A request under way."""

    def cancel(self) -> None:
        """The client has gone: stop what can still be stopped. `respond` need not be called any more."""


Respond = Callable[[Response], None]
Handler = Callable[[Request, Respond], Running | None]
"""Answers a request. `Respond` is called exactly once, possibly before the handler returns."""


class Application(Protocol):
    """A Handler that also says how bodies are taken, and which WebSockets are accepted."""

    def __call__(self, request: Request, respond: Respond) -> Running | None: ...

    def intake(self, path: str, headers: Headers) -> Intake:
        """How to take the body of a request of which only the head is here."""
        ...

    def upgrade(self, request: Request) -> Response | Accept:
        """A request for a WebSocket: what refuses it, or what takes it."""
        ...


def refusal(status: int, code: str, number: int, message: str) -> Response:
    """An error of the shell itself, in tRPC's envelope, so that stock clients can read it."""
    body = (
        f'{{"error":{{"message":"{message}","code":{number},"data":{{"code":"{code}","httpStatus":{status}}}}}}}'
    ).encode()
    return Response(status, body, [(b"content-type", b"application/json"), (b"vary", b"trpc-accept, accept")])


TOO_LARGE = refusal(413, "PAYLOAD_TOO_LARGE", -32013, "The body is too large")
BAD_HTTP = refusal(400, "BAD_REQUEST", -32600, "This is not valid HTTP")
HEADERS_TOO_LARGE = refusal(431, "BAD_REQUEST", -32600, "The request's head is too large")
TOO_SLOW = refusal(408, "TIMEOUT", -32008, "The request did not arrive in time")
