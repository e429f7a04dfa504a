"""HTTP to providers, blocking, for a worker thread: `http.client` with deadlines, a cap, and no redirects.

A sign-in is rare, so one connection a request will do. TLS with the system's roots; plain http to loopback only.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from typing import Any, cast
from urllib.parse import urlsplit

from tenantry.settings.sign_in import is_loopback

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MAX_BYTES = 1 << 20


class ProviderFailed(Exception):
    """The provider did not answer, or not as it should. The words are for the log: no value of a token is in them."""


def fetch_json(url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at `url`, by GET, or by POST of a form. Raises ProviderFailed."""
    status, raw = fetch(url, body=body, headers=headers or {})
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if status != 200:
        error = cast("dict[str, Any]", found).get("error") if isinstance(found, dict) else None
        known = (
            error if isinstance(error, str) and error.isascii() and error.replace("_", "").isalpha() else "no reason"
        )
        message = f"HTTP {status} ({known[:60]})"
        raise ProviderFailed(message)
    if not isinstance(found, dict):
        message = "the answer is no JSON object"
        raise ProviderFailed(message)
    return cast("dict[str, Any]", found)  # Any: a stranger's JSON, checked member by member


def fetch(url: str, *, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    """One request and its whole answer. Raises ProviderFailed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        message = "only https is asked"
        raise ProviderFailed(message)
    until = time.monotonic() + TOTAL_SECONDS
    connection = _connection(parts.scheme, host, parts.port)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        all_headers = {"accept": "application/json", "user-agent": "tenantry", **headers}
        if body is not None:
            all_headers["content-type"] = "application/x-www-form-urlencoded"
        connection.connect()
        _leave(connection, until)
        connection.request("GET" if body is None else "POST", path, body, all_headers)
        _leave(connection, until)
        response = connection.getresponse()
        return response.status, _read(connection, response, until)
    except (OSError, http.client.HTTPException, ssl.SSLError) as error:
        message = f"no answer ({type(error).__name__})"
        raise ProviderFailed(message) from None
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)


def _leave(connection: http.client.HTTPConnection, until: float) -> None:
    """What is left of the time is all that the socket may wait for."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock: socket.socket | None = connection.sock
    if sock is not None:
        sock.settimeout(left)


def _read(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, until: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        _leave(connection, until)
        part = response.read1(65_536)
        if not part:
            return b"".join(parts)
        size += len(part)
        if size > MAX_BYTES:
            message = "the answer is too long"
            raise ProviderFailed(message)
        parts.append(part)
