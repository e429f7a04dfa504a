"""Bytes that come and go bit by bit, bounded both ways: `Inflow` is a body being read, `Outlet` an answer being written.

Whoever is too slow is waited for: an unread body pauses the connection, and a client that does not read pauses the writer. A
client that stays paused for too long is dropped, and its drop is logged; it holds nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from tenantry.errors import BadRequest, PayloadTooLarge, RpcError

log = logging.getLogger("tenantry.http")

INFLOW_BYTES = 64 << 10
"""Unread bytes of a body at which the connection is paused."""
OUTLET_BYTES = 64 << 10
"""Unsent bytes of a stream at which its writer is paused."""
STUCK_SECONDS = 30.0
"""A client that takes nothing for so long is gone, or means harm."""


class Inflow:
    """A body on its way in: an async iterator of chunks. The shell feeds it and ends it."""

    __slots__ = ("_chunks", "_error", "_held", "_is_over", "_waiter", "is_begun", "left")

    def __init__(self, max_bytes: int) -> None:
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._is_over = False
        self._error: RpcError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.left = max_bytes
        self.is_begun = False

    # ------------------------------------------------------------------ the shell's side

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk; False: the reader is behind, so pause."""
        self.left -= len(chunk)
        if self.left < 0:
            self.fail(PayloadTooLarge())
            return True
        if self._error is None:
            self._chunks.append(chunk)
            self._held += len(chunk)
            self._wake()
        return self._held < INFLOW_BYTES

    def end(self) -> None:
        """The body is complete."""
        self._is_over = True
        self._wake()

    def fail(self, error: RpcError) -> None:
        """The body will not be complete; what was not read is forgotten."""
        if self._error is None and not self._is_over:
            self._error = error
            self._chunks.clear()
            self._held = 0
            self._wake()

    def gone(self) -> None:
        """The client has gone."""
        self.fail(BadRequest("The body ended too early"))

    def begun(self) -> None:
        """The reader asks for the first chunk: what was held back for it (100 Continue) may go out."""

    def want(self) -> None:
        """The reader has caught up: go on, if paused."""

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ------------------------------------------------------------------ the reader's side

    def __aiter__(self) -> Inflow:
        return self

    async def __anext__(self) -> bytes:
        if not self.is_begun:
            self.is_begun = True
            self.begun()
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._is_over:
                raise StopAsyncIteration
            self.want()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(STUCK_SECONDS):
                    await self._waiter
            except TimeoutError:
                self.fail(BadRequest("The body did not go on arriving"))
        chunk = self._chunks.popleft()
        self._held -= len(chunk)
        return chunk


class Outlet:
    """An answer on its way out. `is_full`: wait for `drained` before sending more; `is_closed`: nobody is there any more."""

    __slots__ = ("_waiters", "is_closed", "is_full")

    def __init__(self) -> None:
        self.is_full = False
        self.is_closed = False
        self._waiters: list[asyncio.Future[None]] = []

    def send(self, data: bytes) -> None:
        """Write now; what cannot leave at once is buffered by the shell. Does nothing once closed."""
        raise NotImplementedError

    def end(self) -> None:
        """The answer is complete."""
        raise NotImplementedError

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the answer is not complete."""
        raise NotImplementedError

    async def drained(self) -> None:
        """Return when the client has taken enough, or has gone; one that takes nothing at all is dropped."""
        if not self.is_full or self.is_closed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await waiter
        except TimeoutError:
            log.warning("a client took nothing of its stream for %.0f s and was dropped", STUCK_SECONDS)
            self.abort()

    def paused(self) -> None:
        """Called by the shell: too much is waiting."""
        self.is_full = True

    def resumed(self) -> None:
        """Called by the shell: there is room again, or nobody is left."""
        self.is_full = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
