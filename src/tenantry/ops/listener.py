"""The ops listener: health and metrics on a socket and a thread of their own, while every other loop is blocked or dead.

It runs in the supervisor, and under a stock ASGI server in the worker. What it says of the workers it reads from their mapped
counts; the database it asks itself. Its thread has an event loop of its own, so that nothing that a handler does (but
holding the interpreter's lock in C code) keeps it from answering.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING

from tenantry.http import HttpLimits, NativeServer, Request, Response, Running, bind
from tenantry.ops.endpoint import Endpoint, Respond
from tenantry.ops.health.access import Access
from tenantry.ops.health.memory import memory_limit
from tenantry.ops.health.pulse import Process
from tenantry.ops.health.report import Health
from tenantry.ops.health.wanted import wanted_migrations
from tenantry.ops.metrics import Slots
from tenantry.signals import Signals

if TYPE_CHECKING:
    from tenantry.settings import Settings

MOST_CONNECTIONS = 2048
_LIMITS = HttpLimits(
    max_body_bytes=1024, max_header_bytes=16 << 10, head_seconds=2.0, body_seconds=2.0, idle_seconds=30.0
)
_START_SECONDS = 10.0
_BUSY = Response(503, b"", [(b"retry-after", b"1")])
log = logging.getLogger("tenantry.ops")


class OpsListener:
    """Serves from `start` to `stop`. `signals` are this process's counts: those of the worker that it runs in, or its own."""

    def __init__(
        self, settings: Settings, *, signals: Signals | None = None, listener: socket.socket | None = None
    ) -> None:
        """`listener` is a socket that is bound already; else TENANTRY_OPS_PORT is bound at the start (0 is any that is free)."""
        self._settings = settings
        self._slots = Slots(settings.home / "run")
        self._is_own = signals is None
        self.signals = signals or self._own_signals()
        self._socket = listener
        self._health: Health | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._started = threading.Event()

    def _own_signals(self) -> Signals:
        try:
            return Signals(store=self._slots.claim())
        except OSError as error:
            log.warning("metrics of other processes cannot be read: %s", error.strerror or type(error).__name__)
            return Signals()

    def start(self) -> None:
        """Listen. Raises PortInUse with the remedy."""
        if self._socket is None:
            self._socket = bind(self._settings.ops_host, self._settings.ops_port or 0)
        self._thread = threading.Thread(target=self._run, name="tenantry-ops", daemon=True)
        self._thread.start()
        self._started.wait(_START_SECONDS)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._socket is not None  # started
        return self._socket.getsockname()[1]

    def drain(self) -> None:
        """Not ready from now on."""
        health, loop = self._health, self._loop
        if health is not None and loop is not None:
            loop.call_soon_threadsafe(setattr, health, "is_draining", True)

    def stop(self) -> None:
        """End the thread. A second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        thread.join(_START_SECONDS)
        self._slots.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            log.exception("the ops listener ended")
        finally:
            self._started.set()

    async def _serve(self) -> None:
        assert self._socket is not None  # start has bound it
        settings = self._settings
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        process = Process(self.signals, memory_limit(settings.memory_limit)) if self._is_own else None
        health = self._health = Health(
            settings.urls().platform, self._slots, self.signals, wanted_migrations(settings),
            tick_seconds=settings.tick, watches_all=True, access=Access(settings.ops_token),
            before=process.note if process is not None else lambda: None,
        )  # fmt: skip
        server = NativeServer(_Bounded(Endpoint(health, settings.base_path)), _LIMITS)
        await server.start([self._socket])
        health.start()
        self._started.set()
        await self._ended.wait()
        health.close()
        await server.drain(0.2)
        await asyncio.sleep(0)


class _Bounded:
    """Answers no more at once than it can hold."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._under_way = 0

    def __call__(self, request: Request, respond: Respond) -> Running | None:
        if self._under_way >= MOST_CONNECTIONS:
            respond(_BUSY)
            return None
        self._under_way += 1

        def responded(response: Response) -> None:
            self._under_way -= 1
            respond(response)

        return self._endpoint.handle(request, responded)
