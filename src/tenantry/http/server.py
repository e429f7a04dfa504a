"""The native server: listening sockets, one timer for all connections, and a drain that drops nobody."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenantry.errors import PortInUse
from tenantry.http.message import BAD_HTTP, Handler, Headers, Intake, Request, Response
from tenantry.http.protocol import Clock, HttpLimits, HttpProtocol

if TYPE_CHECKING:
    from tenantry.http.socket import Accept
    from tenantry.http.websocket import NativeSocket

TICK_SECONDS = 0.25
BACKLOG = 1 << 15
"""Clients that may wait to be accepted while a restart is under way; the kernel takes its own limit (somaxconn) where that is less."""


class NativeServer:
    """Serves a Handler on sockets that are bound already (`bind`).

    One that is an `Application` also takes uploads as they come, and WebSockets.
    """

    def __init__(self, handler: Handler, limits: HttpLimits | None = None) -> None:
        self.handler = handler
        self.limits = limits or HttpLimits()
        self.connections: set[HttpProtocol | NativeSocket] = set()
        self._intake: Callable[[str, Headers], Intake] | None = getattr(handler, "intake", None)
        self._upgrade: Callable[[Request], Response | Accept] | None = getattr(handler, "upgrade", None)
        self.knows_bodies = self._intake is not None
        self.is_draining = False
        self.now = 0.0
        self._clock = Clock()
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, sockets: list[socket.socket]) -> None:
        """Accept on these sockets."""
        loop = asyncio.get_running_loop()
        self._tick()
        for listener in sockets:
            server = await loop.create_server(
                lambda: HttpProtocol(self, self.handler, self.limits, self._clock), sock=listener, backlog=BACKLOG
            )
            self._servers.append(server)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        for connection in list(self.connections):
            connection.tick(self.now)
        self._timer = loop.call_later(TICK_SECONDS, self._tick)

    def intake(self, path: str, headers: Headers) -> Intake | None:
        """How the application takes the body of such a request; None: as the limits say."""
        return None if self._intake is None else self._intake(path, headers)

    def upgrade(self, request: Request) -> Response | Accept:
        """What the application says to a WebSocket."""
        return BAD_HTTP if self._upgrade is None else self._upgrade(request)

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting; let what is under way end within the grace; then close what is left."""
        self.is_draining = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.drain()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            connection.transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortInUse with the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise PortInUse(host=host, port=port, why=error.strerror) from None
        raise
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
