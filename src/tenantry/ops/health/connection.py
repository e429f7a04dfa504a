"""A connection of one's own to PostgreSQL: one question at a time, never blocking the loop, thrown away when in doubt.

The pool's connections may all be in use, or wait on the very thing that a check is to find. Nothing here has a deadline:
the caller sets one around all of it (`asyncio.timeout`), and a cancelled question closes the connection at once, without
a word to a server that may be stopped. Statements are unnamed, one message each, so PgBouncer may stand between.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from tenantry.db.wire import ENDED_IDLE
from tenantry.ops.health.causes import OTHER, UNKNOWN_HOST, of_text

if TYPE_CHECKING:
    from psycopg.pq import abc

    from tenantry.settings import DatabaseUrl

Row = tuple[bytes | None, ...]


class Unreachable(Exception):
    """There is no connection, or it ended without an answer; `cause` says why, in words for everybody."""

    def __init__(self, cause: str = OTHER) -> None:
        self.cause = cause
        super().__init__(cause)


class Refused(Exception):
    """The server answered the question with an error; `sqlstate` says which, and is empty where libpq did not."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate
        super().__init__(sqlstate)


class OwnConnection:
    """Connects at the first question, and anew after any failure."""

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url
        self._pg: abc.PGconn | None = None
        self._fd = -1
        self._noted = ""
        """What the socket itself said went wrong: libpq has the same words for a reset and for a close."""
        self.opened = 0
        """How many connections were begun, for tests and details."""

    @property
    def is_open(self) -> bool:
        """Whether the last question left a connection behind: after a failure, or a deadline, there is none."""
        return self._pg is not None

    async def ask(self, question: bytes) -> list[Row]:
        """Send one statement and give its rows, as PostgreSQL's text. Raises Unreachable, or Refused.

        A connection of an earlier question may have been ended since (an operator's kill of idle back ends): then once more.
        """
        try:
            kept = self._pg
            if kept is not None:
                try:
                    return await self._answer(kept, question)
                except Unreachable:
                    self.close()
                except Refused as refused:
                    if refused.sqlstate not in ENDED_IDLE:
                        raise
                    self.close()
            return await self._answer(await self._connect(), question)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Forget the connection. Nothing is awaited, so a server that is silent cannot hold this up."""
        pg, self._pg = self._pg, None
        fd, self._fd = self._fd, -1
        if fd >= 0:
            loop = asyncio.get_running_loop()
            # Before finish(): the next connection may get the same number, and its reader would never fire.
            loop.remove_reader(fd)
            loop.remove_writer(fd)
        if pg is not None:
            pg.finish()

    async def _connect(self) -> abc.PGconn:
        from psycopg import OperationalError, pq

        self._noted = ""
        parameters = await _resolved(self._url)
        self.opened += 1
        pg = self._pg = pq.PGconn.connect_start(parameters)
        polling = pq.PollingStatus
        while True:
            # libpq may change sockets between polls, and has none after a refusal.
            if pg.status == pq.ConnStatus.BAD:
                raise Unreachable(self._noted or of_text(pg.get_error_message()))
            state = pg.connect_poll()
            if state == polling.OK:
                break
            if state == polling.FAILED:
                raise Unreachable(self._noted or of_text(pg.get_error_message()))
            await self._ready(pg.socket, for_reading=state == polling.READING)
        try:
            pg.nonblocking = 1
        except OperationalError as error:
            raise Unreachable(self._noted or of_text(str(error))) from None
        return pg

    async def _answer(self, pg: abc.PGconn, question: bytes) -> list[Row]:
        from psycopg import OperationalError, pq

        rows: list[Row] | None = None
        sqlstate = ""
        try:
            pg.send_query_params(question, None)
            while pg.flush():
                await self._ready(pg.socket, for_reading=False)
            while True:
                # get_result() blocks the whole process while libpq is busy: never call it then.
                while pg.is_busy():
                    await self._ready(pg.socket, for_reading=True)
                    pg.consume_input()
                result = pg.get_result()
                if result is None:
                    break
                if result.status == pq.ExecStatus.TUPLES_OK:
                    rows = [
                        tuple(result.get_value(row, column) for column in range(result.nfields))
                        for row in range(result.ntuples)
                    ]
                else:
                    sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace")
        except OperationalError as error:
            if sqlstate:
                raise Refused(sqlstate) from None  # the server's own last word
            raise Unreachable(self._noted or of_text(str(error))) from None
        if rows is None:
            raise Refused(sqlstate)
        return rows

    async def _ready(self, fd: int, *, for_reading: bool) -> None:
        """Wait until the socket can be read (or written), without a thread."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        self._fd = fd
        watch, forget = (loop.add_reader, loop.remove_reader) if for_reading else (loop.add_writer, loop.remove_writer)
        watch(fd, _wake, ready)
        try:
            await ready
        finally:
            forget(fd)
            self._fd = -1
        self._noted = _trouble(fd, for_reading=for_reading) or self._noted


def _trouble(fd: int, *, for_reading: bool) -> str:
    """The cause in the socket's own error. To ask takes the error away, and libpq then finds a closed connection: it fails too."""
    looked_at = socket.socket(fileno=fd)
    try:
        error = looked_at.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error and for_reading:
            looked_at.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return ""
    except OSError as found:
        error = found.errno or 0
    finally:
        looked_at.detach()
    return of_text(os.strerror(error)) if error else ""


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _resolved(url: DatabaseUrl) -> bytes:
    """The URL with its host's address beside it: libpq's own look-up would block the loop."""
    from urllib.parse import quote

    text = url.reveal()
    host, port = _host_and_port(url.place)
    if host and "hostaddr=" not in url.query and not host.startswith(("/", "%2F", "%2f")) and "," not in url.place:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port or None)
        except OSError:
            raise Unreachable(UNKNOWN_HOST) from None
        text += ("&" if "?" in text else "?") + "hostaddr=" + quote(str(found[0][4][0]), safe="")
    return text.encode()


def _host_and_port(place: str) -> tuple[str, str]:
    """`db.example:5432`, `[::1]:5432`, `db.example`, or nothing."""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = place.partition(":")
    return host, port
