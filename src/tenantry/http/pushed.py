"""Outlets over ASGI's `send`: what is written is queued, bounded, and carried by the connection's own coroutine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from tenantry.http.flow import OUTLET_BYTES, Outlet
from tenantry.http.message import Stream
from tenantry.http.socket import Accept, Listener, Socket

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class _Queue:
    """What waits to be sent."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.parts: deque[bytes] = deque()
        self.held = 0
        self.is_over = False
        self.wakes = asyncio.Event()

    def put(self, data: bytes) -> None:
        self.parts.append(data)
        self.held += len(data)
        self.wakes.set()
        if self.held >= OUTLET_BYTES:
            self.outlet.paused()

    def finish(self) -> None:
        self.is_over = True
        self.wakes.set()

    def take(self) -> bytes | None:
        """The next part; None when there is none yet."""
        if not self.parts:
            self.wakes.clear()
            return None
        data = self.parts.popleft()
        self.held -= len(data)
        if self.outlet.is_full and self.held < OUTLET_BYTES // 4:
            self.outlet.resumed()
        return data


class Pushed(Outlet):
    """The body of one streamed answer."""

    __slots__ = ("queue", "send_event")

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.send_event = send
        self.queue = _Queue(self)

    def send(self, data: bytes) -> None:
        if not self.is_closed and data:
            self.queue.put(data)

    def end(self) -> None:
        self.is_closed = True
        self.queue.finish()

    def abort(self) -> None:
        self.is_closed = True
        self.resumed()
        self.queue.parts.clear()
        self.queue.finish()

    async def carry(self, response: Stream, gone: asyncio.Task[None]) -> bool:
        """Send the whole answer; False: the client went before its end."""
        await self.send_event({"type": "http.response.start", "status": response.status, "headers": response.headers})
        response.begin(self)
        queue = self.queue
        while True:
            data = queue.take()
            if data is not None:
                if gone.done():
                    break
                await self.send_event({"type": "http.response.body", "body": data, "more_body": True})
            elif queue.is_over:
                await self.send_event({"type": "http.response.body", "body": b""})
                return True
            else:
                waking = asyncio.ensure_future(queue.wakes.wait())
                await asyncio.wait([waking, gone], return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                if gone.done():
                    break
        self.is_closed = True
        self.resumed()
        return False


class AsgiSocket(Socket):
    """One WebSocket."""

    __slots__ = ("closing", "queue", "send_event")

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.send_event = send
        self.queue = _Queue(self)
        self.closing: tuple[int, str] = (1000, "")

    def send(self, data: bytes) -> None:
        if not self.is_closed:
            self.queue.put(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.closing = (code, reason)
        self.is_closed = True
        self.queue.finish()

    def abort(self) -> None:
        self.queue.parts.clear()
        self.close(1011)

    async def carry(self, accept: Accept, receive: Receive) -> None:
        """Serve the socket to its end."""
        listener = accept.open(self)
        listening = asyncio.ensure_future(self._listen(listener, receive, accept.max_message_bytes))
        sending = asyncio.ensure_future(self._sending())
        try:
            await asyncio.wait([listening, sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_closed = True
            self.resumed()
            for task in (listening, sending):
                task.cancel()
            listener.lost()

    async def _listen(self, listener: Listener, receive: Receive, max_bytes: int) -> None:
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                return
            text: str | None = event.get("text")
            data = event.get("bytes") or b"" if text is None else text.encode("utf-8", "surrogatepass")
            if len(data) > max_bytes:
                self.close(1009, "message too big")
                await asyncio.sleep(CLOSE_SECONDS)
                return
            listener.heard(data, is_binary=text is None)

    async def _sending(self) -> None:
        queue = self.queue
        while True:
            data = queue.take()
            if data is not None:
                await self.send_event({"type": "websocket.send", "text": data.decode("utf-8")})
            elif queue.is_over:
                code, reason = self.closing
                await self.send_event({"type": "websocket.close", "code": code, "reason": reason})
                return
            else:
                await queue.wakes.wait()


CLOSE_SECONDS = 5.0
"""How long a client has to answer a close."""
