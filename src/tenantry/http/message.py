"""A request and an answer as values, shared by the native server and the ASGI shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Headers = list[tuple[bytes, bytes]]


class Request:
    """One whole request. `path` is the raw target path (undecoded, Latin-1); header names are lower case."""

    __slots__ = ("body", "headers", "method", "path", "peer", "query")

    def __init__(self, method: str, path: str, query: bytes, headers: Headers, body: bytes, peer: str | None) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer

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


class Running(Protocol):
    """A request under way."""

    def cancel(self) -> None:
        """The client has gone: stop what can still be stopped. `respond` need not be called any more."""


Respond = Callable[[Response], None]
Handler = Callable[[Request, Respond], Running | None]
"""Answers a request. `Respond` is called exactly once, possibly before the handler returns."""


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
