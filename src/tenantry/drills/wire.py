"""A request as bytes, and its answer: what load, health and the sink of pages need of HTTP, and nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import quote


async def fetch(
    port: int, path: str, *, token: str = "", body: bytes | None = None, seconds: float = 5.0
) -> tuple[int, bytes]:
    """Status and body, over a connection of its own; a body makes it a POST. Raises OSError, TimeoutError, EOFError."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "host: 127.0.0.1", "connection: close"]
    lines += [f"authorization: Bearer {token}"] if token else []
    lines += [] if body is None else ["content-type: application/json", f"content-length: {len(body)}"]
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            return int(head.split(None, 2)[1]), await reader.readexactly(length)
        finally:
            writer.close()


async def call(
    port: int, procedure: str, given: Any = None, *, token: str = "", is_mutation: bool = False, seconds: float = 5.0
) -> tuple[int, bytes]:
    """A tRPC call. Raises as `fetch` does."""
    path = f"/trpc/{procedure}"
    if is_mutation:
        return await fetch(port, path, token=token, body=json.dumps(given).encode(), seconds=seconds)
    return await fetch(
        port, path + ("" if given is None else "?input=" + quote(json.dumps(given))), token=token, seconds=seconds
    )


class Sink:
    """Takes pages, messages and heartbeats on a free loopback port, and notes when. `broken` paths answer 500."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.port = 0
        self.got: dict[str, list[float]] = {}
        self.broken: set[str] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End."""
        if self._server is not None:
            self._server.close()

    def first(self, path: str, since: float) -> float | None:
        """When the first message came to a path since then."""
        return next((at for at in self.got.get(path, []) if at >= since), None)

    def last(self, path: str) -> float | None:
        """When the last one came."""
        found = self.got.get(path)
        return found[-1] if found else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5.0):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
                await reader.readexactly(length)
            path = head.split(None, 2)[1].decode("ascii", "replace").partition("?")[0].strip("/")
            if path in self.broken:
                writer.write(b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            else:
                self.got.setdefault(path, []).append(self.now())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
        except (OSError, EOFError, TimeoutError, ValueError):
            pass  # whoever went away has no message
        finally:
            writer.close()


class Provider:
    """An OpenID Connect provider as far as the doctor asks one: its description, and what it says to a code that cannot be good."""

    def __init__(self) -> None:
        self.port = 0
        self.says = "invalid_grant"
        """To a bad code: good credentials get `invalid_grant`, others `invalid_client`."""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; on the port of before, if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End: connections are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5.0):
                head = await reader.readuntil(b"\r\n\r\n")
            issuer = f"http://127.0.0.1:{self.port}"
            is_token = head.startswith(b"POST")
            found = {"error": self.says} if is_token else {
                "issuer": issuer, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token", "jwks_uri": f"{issuer}/keys",
                "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            }  # fmt: skip
            body = json.dumps(found).encode()
            status = b"400 Bad Request" if is_token else b"200 OK"
            head = (
                b"HTTP/1.1 "
                + status
                + b"\r\ncontent-type: application/json\r\ncontent-length: "
                + str(len(body)).encode()
            )
            writer.write(
                head + b"\r\ndate: " + formatdate(usegmt=True).encode() + b"\r\nconnection: close\r\n\r\n" + body
            )
            await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # whoever went away has no answer
        finally:
            writer.close()
