"""The watcher's own eyes: database and API, asked each tick from outside, so that what is known depends on nobody's calls.

What changed is a line in the log. Alerts read the metrics; this is for who reads a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import check_database, question

if TYPE_CHECKING:
    from tenantry.ops.health.check import Check
    from tenantry.settings import Settings

API_SECONDS = 1.5
FIRST_SECONDS = 1.0
"""After a start the machine is busy with the start."""
log = logging.getLogger("tenantry.watcher")


async def probe_each_tick(settings: Settings, ended: asyncio.Event) -> None:
    """Look each tick until it ends. A tick that was missed (a suspended machine) is not made up for."""
    probe = Probe(settings)
    due = time.monotonic() + FIRST_SECONDS
    try:
        while not await ends_within(ended, due - time.monotonic()):
            await probe.look()
            due = max(due + settings.tick, time.monotonic())
    finally:
        probe.close()


async def ends_within(ended: asyncio.Event, seconds: float) -> bool:
    """Wait for the end, for `seconds` at most; tell whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await ended.wait()
    return ended.is_set()


class Probe:
    """One look after another, each with its own deadlines."""

    def __init__(self, settings: Settings) -> None:
        self._connection = OwnConnection(settings.urls().platform)
        self._question = question()
        self._host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - asked, not bound
        self._port = settings.port
        self._path = f"{settings.base_path}/health.readiness"
        self.database: Check | None = None
        """What the last look found."""
        self.api: str | None = None
        """How the API answered: an HTTP status, or "silent" or "refused"."""

    async def look(self) -> None:
        """Ask both, and log what has changed."""
        database = await check_database(self._connection, self._question)
        if self.database is None or database.status != self.database.status:
            level = logging.ERROR if database.status == "down" else logging.INFO
            log.log(level, "database %s: %s", database.status, database.message)
        self.database = database
        api = await self._ask_api()
        if api != self.api:
            log.log(logging.INFO if api == "200" else logging.WARNING, "API answers readiness: %s", api)
        self.api = api

    async def _ask_api(self) -> str:
        try:
            async with asyncio.timeout(API_SECONDS):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                with contextlib.closing(writer):
                    writer.write(f"GET {self._path} HTTP/1.1\r\nhost: watcher\r\nconnection: close\r\n\r\n".encode())
                    line = await reader.readline()
        except TimeoutError:
            return "silent"
        except OSError:
            return "refused"
        words = line.split()
        return words[1].decode("ascii", "replace") if len(words) > 1 else "silent"

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()
