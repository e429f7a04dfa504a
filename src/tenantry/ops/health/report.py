"""All checks together: run once for any number of callers, and served for a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.ops.health.check import Check, Overall, overall
from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import check_database
from tenantry.ops.health.database import question as database_question
from tenantry.ops.health.loop import DEAD_SECONDS, check_loop
from tenantry.ops.health.memory import check_memory, memory_limit, resident_bytes
from tenantry.ops.health.migrations import UNKNOWN, check_migrations, is_newer
from tenantry.ops.health.migrations import question as migrations_question
from tenantry.ops.health.pool import check_pool
from tenantry.ops.health.pulse import GivenUp, Pulse, WatchedPool
from tenantry.settings import DatabaseUrl

if TYPE_CHECKING:
    from tenantry.db.migrate import Migration

FRESH_SECONDS = 1.0
BUDGET_SECONDS = 0.95
"""All checks of one run together: `health.check` answers within a second."""
VERSION = "0.1.0"


class Found(msgspec.Struct, frozen=True):
    """One run of the checks, and when it ended (the loop's clock)."""

    status: Overall
    checks: Mapping[str, Check]
    at: float


class Health:
    """The health of one worker. Made in its loop; `close` ends its connection and its pulse."""

    def __init__(
        self, url: DatabaseUrl, pool: WatchedPool, signals: GivenUp, migrations: Sequence[Migration] = ()
    ) -> None:
        """`url` is the one that requests use, so that what is found is what they meet; `migrations` what should be applied."""
        self.is_draining = False
        self.failures = 0
        self._started = time.monotonic()
        self._connection = OwnConnection(url)
        self._database_question = database_question()
        self._migrations_question = migrations_question()
        self._migrations = migrations
        self._limit = memory_limit()
        self._running: asyncio.Task[Found] | None = None
        self._last: Found | None = None
        self.pulse = Pulse(pool, signals)
        self.pulse.start()

    def close(self) -> None:
        """Look no more."""
        self.pulse.stop()
        if self._running is not None:
            self._running.cancel()
        self._connection.close()

    async def look(self) -> Found:
        """What the checks find; at most a second old. However many ask, they ask once."""
        last = self._last
        if last is not None and time.monotonic() - last.at < FRESH_SECONDS:
            return last
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._look())
        return await asyncio.shield(self._running)

    async def _look(self) -> Found:
        until = time.monotonic() + BUDGET_SECONDS
        checks = {
            "database": await check_database(self._connection, self._database_question),
            "pool": check_pool(self.pulse),
            "memory": check_memory(resident_bytes(), self._limit),
            "migrations": await self._check_migrations(until),
            "loop": check_loop(self.pulse),
        }
        status = overall(checks)
        self.failures = self.failures + 1 if status == "unhealthy" else 0
        self._last = Found(status, checks, time.monotonic())
        return self._last

    async def _check_migrations(self, until: float) -> Check:
        # A database that gave no answer is not asked a second time.
        if not self._connection.is_open:
            return UNKNOWN
        left = until - time.monotonic()
        return await check_migrations(
            self._connection, self._migrations_question, self._migrations, within_seconds=left
        )

    async def check(self) -> tuple[bytes, int]:
        """`health.check`: its fields as JSON, and the HTTP status."""
        found = await self.look()
        fields: dict[str, Any] = {
            "status": found.status,
            "timestamp": timestamp(),
            "uptime": round((time.monotonic() - self._started) * 1000),
            "version": VERSION,
            "checks": found.checks,
            "ageMs": round((time.monotonic() - found.at) * 1000),
            "consecutiveFailures": self.failures,
        }
        return msgspec.json.encode(fields), 503 if found.status == "unhealthy" else 200

    def liveness(self) -> tuple[bytes, int]:
        """`health.liveness`: touches nothing."""
        is_alive = self.pulse.silent_seconds < DEAD_SECONDS
        fields = {"alive": is_alive, "timestamp": timestamp(), "loopLagMs": round(self.pulse.lag_ms, 1)}
        return msgspec.json.encode(fields), 200 if is_alive else 503

    async def readiness(self) -> tuple[bytes, int]:
        """`health.readiness`: whether this worker may have requests."""
        found = await self.look()
        checks = found.checks
        is_ready = checks["database"].status != "down" and not is_newer(checks["migrations"]) and not self.is_draining
        fields = {
            "ready": is_ready,
            "timestamp": timestamp(),
            "checks": {name: check.status for name, check in checks.items()},
            "draining": self.is_draining,
        }
        return msgspec.json.encode(fields), 200 if is_ready else 503


def timestamp() -> str:
    """Now, ISO with milliseconds and Z."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
