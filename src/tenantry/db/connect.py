"""Open a connection without blocking the loop, and find out what stands between us and the server.

Name look-ups go through the loop (libpq's own would block it), every step has the caller's deadline. A pooler is known by its
back end's pid, which is not the server's; whether prepared statements survive it, by the name under which one is stored.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tenantry.db.trip import Outcome, WireError
from tenantry.db.wire import ENTER, ENTER_NAME, FATAL_ERROR, PIPELINE_ABORTED, PIPELINE_SYNC, failure_of

if TYPE_CHECKING:
    from psycopg.pq import abc

    from tenantry.settings import DatabaseUrl

CONNECT_SECONDS = 5.0
_PROBE = b"tenantry_probe"
_CONFIGURATION = ("password", "does not exist", "not permitted", "pg_hba.conf", "SSL", "certificate")


class NotConnected(Exception):
    """`is_configuration`: trying again will not help until somebody changes something."""

    def __init__(self, why: str, *, is_configuration: bool = False) -> None:
        """`why` is libpq's text in one line."""
        self.why = why
        self.is_configuration = is_configuration
        super().__init__(why)


class Opened:
    """A connection in pipeline mode, and what was found out about it."""

    __slots__ = ("is_named", "is_pooled", "pg")

    def __init__(self, pg: abc.PGconn, *, is_named: bool, is_pooled: bool) -> None:
        """See `Connection` for the two flags."""
        self.pg = pg
        self.is_named = is_named
        self.is_pooled = is_pooled


async def connect(url: DatabaseUrl, *, enters: bool) -> Opened:
    """Connect and warm up. Raises NotConnected, or WireError for what the server says of the warm-up."""
    from psycopg import OperationalError

    pg: Any = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            pg = await _connected(url)
            pg.nonblocking = 1
            pg.enter_pipeline_mode()
            return await _warm(pg, enters=enters)
    except (TimeoutError, OperationalError) as error:
        if pg is not None:
            pg.finish()
        why = "no answer" if isinstance(error, TimeoutError) else " ".join(str(error).split())
        raise NotConnected(why) from None
    except BaseException:
        if pg is not None:
            pg.finish()
        raise


async def _connected(url: DatabaseUrl) -> abc.PGconn:
    from psycopg import pq

    pg = pq.PGconn.connect_start(await _resolved(url))
    try:
        while True:
            state = 0 if int(pg.status) == int(pq.ConnStatus.BAD) else int(pg.connect_poll())
            if state == int(pq.PollingStatus.OK):
                return pg
            if state == 0:
                why = " ".join(pg.get_error_message().split())
                is_configuration = bool(pg.needs_password) or any(mark in why for mark in _CONFIGURATION)
                raise NotConnected(why or "refused", is_configuration=is_configuration)
            await ready(pg.socket, for_reading=state == int(pq.PollingStatus.READING))
    except BaseException:
        pg.finish()
        raise


async def _warm(pg: abc.PGconn, *, enters: bool) -> Opened:
    """One trip: whose pid is it, and under which name is a statement stored? Then `enter` is prepared."""
    pg.send_close_prepared(_PROBE)
    pg.send_prepare(_PROBE, b"select 1 as tenantry_probe")
    pg.send_query_params(b"select pg_catalog.pg_backend_pid()", None)
    pg.send_query_params(b"select count(*) from pg_catalog.pg_prepared_statements where name = 'tenantry_probe'", None)
    pg.send_close_prepared(_PROBE)
    pg.pipeline_sync()
    results = await _results(pg)
    is_pooled = int(results[2].get_value(0, 0) or b"0") != pg.backend_pid
    # A pooler that keeps prepared statements stores them under names of its own.
    is_named = not is_pooled or results[3].get_value(0, 0) == b"0"
    if enters:
        pg.send_prepare(ENTER_NAME if is_named else b"", ENTER)
        pg.pipeline_sync()
        await _results(pg)
    return Opened(pg, is_named=is_named, is_pooled=is_pooled)


async def _results(pg: abc.PGconn) -> list[Any]:
    """All results up to the Sync. Raises WireError for the first error among them."""
    while pg.flush():
        await ready(pg.socket, for_reading=False)
    found: list[Any] = []
    wrong: Any = None
    while True:
        while pg.is_busy():
            await ready(pg.socket, for_reading=True)
            pg.consume_input()
        result = pg.get_result()
        if result is None:
            continue
        status = int(result.status)
        if status == PIPELINE_SYNC:
            break
        if status == FATAL_ERROR:
            wrong = wrong or result
            if int(pg.status) != 0:
                break
        elif status != PIPELINE_ABORTED:
            found.append(result)
    if wrong is not None:
        raise WireError(failure_of(wrong, Outcome.ROLLED_BACK))
    return found


async def ready(fd: int, *, for_reading: bool) -> None:
    """Wait until the socket can be read (or written)."""
    loop = asyncio.get_running_loop()
    turned: asyncio.Future[None] = loop.create_future()
    watch, forget = (loop.add_reader, loop.remove_reader) if for_reading else (loop.add_writer, loop.remove_writer)
    watch(fd, _turn, turned)
    try:
        await turned
    finally:
        forget(fd)


def _turn(turned: asyncio.Future[None]) -> None:
    if not turned.done():
        turned.set_result(None)


async def _resolved(url: DatabaseUrl) -> bytes:
    """The URL with its host's address beside it."""
    text = url.reveal()
    place = url.place
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    is_name = bool(host) and not host.startswith(("/", "%2F", "%2f")) and "," not in place
    if is_name and "hostaddr=" not in url.query and not host.replace(".", "").isdigit():
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port or None)
        except OSError:
            why = "the server's name is not known"
            raise NotConnected(why) from None
        text += ("&" if "?" in text else "?") + "hostaddr=" + quote(str(found[0][4][0]), safe="")
    return text.encode()
