"""The native server: listening sockets, one timer for all connections, and a drain that drops nobody."""

from __future__ import annotations

import asyncio
import errno
import socket

from tenantry.errors import PortInUse
from tenantry.http.message import Handler
from tenantry.http.protocol import Clock, HttpLimits, HttpProtocol

TICK_SECONDS = 0.25


class NativeServer:
    """Serves a Handler on sockets that are bound already (`bind`)."""

    def __init__(self, handler: Handler, limits: HttpLimits | None = None) -> None:
        self.handler = handler
        self.limits = limits or HttpLimits()
        self.connections: set[HttpProtocol] = set()
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
                lambda: HttpProtocol(self, self.handler, self.limits, self._clock), sock=listener, backlog=2048
            )
            self._servers.append(server)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        for connection in list(self.connections):
            connection.tick(self.now)
        self._timer = loop.call_later(TICK_SECONDS, self._tick)

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting; let what is under way end within the grace; then close what is left."""
        self.is_draining = True
        for server in self._servers:
            server.close()
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
    listener.listen(2048)
    listener.setblocking(False)
    return listener
