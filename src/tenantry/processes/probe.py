"""The watcher's own eyes: database and API, asked each tick from outside, so that what is known depends on nobody's calls.

What changed is a line in the log. Alerts read the metrics; this is for who reads a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from typing import TYPE_CHECKING

from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import check_database, question

if TYPE_CHECKING:
    from tenantry.ops.health.check import Check
    from tenantry.settings import Settings
    from tenantry.signals import Signals

API_SECONDS = 1.5
STATUS = {"healthy": 0.0, "degraded": 1.0, "unhealthy": 2.0}
STATUS_SAID = re.compile(rb'"status":"(healthy|degraded|unhealthy)"')
"""The first one in the answer is the whole's: fields of checks have up, degraded and down, and stand behind it."""
MOST_BYTES = 65_536
log = logging.getLogger("tenantry.watcher")


async def ends_within(ended: asyncio.Event, seconds: float) -> bool:
    """Wait for the end, for `seconds` at most; tell whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await ended.wait()
    return ended.is_set()


class Probe:
    """One look after another, each with its own deadlines.

    What it sees goes into the gauges that the alerts look at: the API's own word for its health, or, of one that does not
    answer, unhealthy; and what the database said to the watcher itself.
    """

    def __init__(self, settings: Settings, signals: Signals) -> None:
        self._signals = signals
        self._failures = 0
        self._connection = OwnConnection(settings.urls().platform)
        self._question = question()
        self._host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - asked, not bound
        self._port = settings.port
        self._path = f"{settings.base_path}/health.check"
        self.database: Check | None = None
        """What the last look found."""
        self.api: str | None = None
        """How the API answered: healthy, degraded, unhealthy, or "silent" or "refused"."""

    async def look(self) -> None:
        """Ask both, and log what has changed."""
        database = await check_database(self._connection, self._question)
        if self.database is None or database.status != self.database.status:
            level = logging.ERROR if database.status == "down" else logging.INFO
            log.log(level, "database %s: %s", database.status, database.message)
        self.database = database
        api = await self._ask_api()
        if api != self.api:
            log.log(logging.INFO if api == "healthy" else logging.WARNING, "API is %s", api)
        self.api = api
        self._tell(database, STATUS.get(api, STATUS["unhealthy"]))

    @property
    def breaches(self) -> list[str]:
        """What the last look found broken so that rows may be seen by others; what only shuts everybody out is none."""
        missing: list[str] = [] if self.database is None else list(self.database.details.get("missing") or [])
        return [thing for thing in missing if thing.endswith("row level security")]

    def _tell(self, database: Check, status: float) -> None:
        signals = self._signals
        self._failures = self._failures + 1 if status == STATUS["unhealthy"] else 0
        signals.set("health_status", status)
        signals.set("health_check_consecutive_failures", float(self._failures))
        signals.set("db_up", 0.0 if database.status == "down" else 1.0)
        signals.set("db_response_time_ms", database.response_time)
        signals.set("_probe_seconds", time.monotonic())

    async def _ask_api(self) -> str:
        try:
            async with asyncio.timeout(API_SECONDS):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                with contextlib.closing(writer):
                    writer.write(f"GET {self._path} HTTP/1.1\r\nhost: watcher\r\nconnection: close\r\n\r\n".encode())
                    answer = await reader.read(MOST_BYTES)
        except TimeoutError:
            return "silent"
        except OSError:
            return "refused"
        found = STATUS_SAID.search(answer)
        return found[1].decode() if found else "silent"

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()
