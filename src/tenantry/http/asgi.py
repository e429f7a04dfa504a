"""The same application under a stock ASGI server, or mounted inside FastAPI or Starlette.

A mount's `root_path` is taken off; with lifespan the application opens before the first request, without it (a mounted
application hears of none) with the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tenantry.http.message import TOO_LARGE, Handler, Request, Response

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class AsgiShell:
    """An ASGI 3 application around a Handler."""

    def __init__(
        self, handler: Handler, *, startup: Callable[[], Awaitable[None]], shutdown: Callable[[], Awaitable[None]],
        max_body_bytes: int = 1 << 20,
    ) -> None:  # fmt: skip
        """`startup` may be called several times, and must do its work once."""
        self.handler = handler
        self.startup = startup
        self.shutdown = shutdown
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event, as ASGI calls it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003, "reason": "WebSockets are not served here"})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                try:
                    await self.startup()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.startup()
        body = await self._body(receive)
        if body is None:
            await _send(send, TOO_LARGE)
            return
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        running = self.handler(_request(scope, body), lambda r: None if answered.done() else answered.set_result(r))
        gone: asyncio.Task[None] | None = None
        if not answered.done():
            gone = asyncio.ensure_future(_gone(receive))
            await asyncio.wait([gone, answered], return_when=asyncio.FIRST_COMPLETED)
        try:
            if answered.done():
                await _send(send, answered.result())
            elif running is not None:
                running.cancel()
        finally:
            if gone is not None:
                gone.cancel()

    async def _body(self, receive: Receive) -> bytes | None:
        parts: list[bytes] = []
        size = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                return b""
            part = event.get("body", b"")
            size += len(part)
            if size > self.max_body_bytes:
                return None
            parts.append(part)
            if not event.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)


def _request(scope: Scope, body: bytes) -> Request:
    raw: bytes | None = scope.get("raw_path")
    path = scope["path"] if raw is None else raw.split(b"?", 1)[0].decode("latin-1")
    root = scope.get("root_path", "")
    if root and path.startswith(root):
        path = path[len(root) :]
    client = scope.get("client")
    headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
    return Request(scope["method"], path, scope.get("query_string", b""), headers, body, client[0] if client else None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, response: Response) -> None:
    headers = list(response.headers)
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
