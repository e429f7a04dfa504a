"""The same application under a stock ASGI server, or mounted inside FastAPI or Starlette.

A mount's `root_path` is taken off; with lifespan the application opens before the first request, without it (a mounted
application hears of none) with the first. Streams, uploads and WebSockets are as on the native server; how fast a client
reads, ASGI tells only by how long `send` takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tenantry.http.flow import Inflow
from tenantry.http.message import TOO_LARGE, Handler, Headers, Intake, Request, Response, Stream
from tenantry.http.pushed import AsgiSocket, Pushed

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
            await self._websocket(scope, receive, send)

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

    # ------------------------------------------------------------------ requests

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.startup()
        head = _request(scope)
        intake: Callable[[str, Headers], Intake | None] | None = getattr(self.handler, "intake", None)
        taken = (None if intake is None else intake(head.path, head.headers)) or Intake(self.max_body_bytes)
        feeding: asyncio.Task[None] | None = None
        if taken.is_streamed:
            head.body, head.inflow = None, (inflow := _Upload(taken.max_bytes))
            feeding = asyncio.ensure_future(_feed(receive, inflow))
        else:
            head.body = await _body(receive, taken.max_bytes)
            if head.body is None and intake is None:
                await _send(send, TOO_LARGE)
                return
        try:
            await self._answer(head, receive if feeding is None else _over(feeding, receive), send)
        finally:
            if feeding is not None:
                feeding.cancel()

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        running = self.handler(request, lambda r: None if answered.done() else answered.set_result(r))
        gone: asyncio.Task[None] | None = None
        try:
            if not answered.done():
                gone = asyncio.ensure_future(_gone(receive))
                await asyncio.wait([gone, answered], return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                if running is not None:
                    running.cancel()
                return
            response = answered.result()
            if not isinstance(response, Stream):
                await _send(send, response)
                return
            gone = gone or asyncio.ensure_future(_gone(receive))
            if not await Pushed(send).carry(response, gone) and running is not None:
                running.cancel()
        except BaseException:
            if running is not None:
                running.cancel()
            raise
        finally:
            if gone is not None:
                gone.cancel()

    # ------------------------------------------------------------------ WebSockets

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.startup()
        upgrade = getattr(self.handler, "upgrade", None)
        await receive()
        answer = None if upgrade is None else upgrade(_request({**scope, "method": "GET"}))
        if answer is None or isinstance(answer, Response):
            await send({"type": "websocket.close", "code": 1008, "reason": "This WebSocket is not accepted here"})
            return
        await send({"type": "websocket.accept"})
        await AsgiSocket(send).carry(answer, receive)


class _Upload(Inflow):
    """A body that is fed from `receive`; it is asked for more when its reader has caught up."""

    __slots__ = ("wanted",)

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.wanted = asyncio.Event()

    def want(self) -> None:
        self.wanted.set()


async def _feed(receive: Receive, inflow: _Upload) -> None:
    """Hand the body on, chunk by chunk; nothing is received before somebody reads (ASGI's 100 Continue)."""
    while True:
        await inflow.wanted.wait()
        event = await receive()
        if event["type"] == "http.disconnect":
            inflow.gone()
            return
        if not inflow.feed(event.get("body", b"")):
            inflow.wanted.clear()
        if not event.get("more_body", False):
            inflow.end()
            return


def _over(feeding: asyncio.Task[None], receive: Receive) -> Receive:
    """`receive` for one who waits for the client to go, while the body is still read elsewhere."""

    async def next_event() -> dict[str, Any]:
        await asyncio.wait([feeding])
        return await receive()

    return next_event


async def _body(receive: Receive, max_bytes: int) -> bytes | None:
    """The whole body; None if it is larger than it may be."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return b""
        part = event.get("body", b"")
        size += len(part)
        if size <= max_bytes:
            parts.append(part)
        if not event.get("more_body", False):
            return None if size > max_bytes else parts[0] if len(parts) == 1 else b"".join(parts)
        if size > max_bytes + _LINGER_BYTES:
            return None


_LINGER_BYTES = 16 << 20
"""How much more of a body that is too large is taken, so that the client hears the answer."""


def _request(scope: Scope) -> Request:
    raw: bytes | None = scope.get("raw_path")
    path = scope["path"] if raw is None else raw.split(b"?", 1)[0].decode("latin-1")
    root = scope.get("root_path", "")
    if root and path.startswith(root):
        path = path[len(root) :]
    client = scope.get("client")
    headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
    return Request(scope["method"], path, scope.get("query_string", b""), headers, b"", client[0] if client else None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, response: Response) -> None:
    headers = list(response.headers)
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
