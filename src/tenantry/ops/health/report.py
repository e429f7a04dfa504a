"""All checks together: run once for any number of callers, served for a second, and by itself each tick.

What other processes say is read from the run directory; the database is asked over a connection of its own. The result of
each tick's probe is noted there too: one process probes, the others find its note and wait, and when it ends another goes on
with its count of failures.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.ops.health.access import OPEN, Access
from tenantry.ops.health.check import Check, Overall, overall
from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import DEADLINE_SECONDS, check_database
from tenantry.ops.health.database import question as database_question
from tenantry.ops.health.figures import Figures, memories, workers
from tenantry.ops.health.loop import DEAD_SECONDS, check_loop
from tenantry.ops.health.memory import check_memory
from tenantry.ops.health.migrations import UNKNOWN, check_migrations, is_behind, is_newer
from tenantry.ops.health.migrations import question as migrations_question
from tenantry.ops.health.pool import check_pool
from tenantry.ops.metrics import Slots, collect, gather, newest, summary
from tenantry.ops.metrics.collect import VERSION, Collected
from tenantry.ops.metrics.slots import Counts, add_counts
from tenantry.settings import DatabaseUrl
from tenantry.signals import Signals, Store

if TYPE_CHECKING:
    from tenantry.db.migrate import Migration

FRESH_SECONDS = 1.0
BUDGET_SECONDS = 0.95
"""All checks of one run together: `health.check` answers within a second."""
_STATUS: dict[Overall, int] = {"healthy": 0, "degraded": 1, "unhealthy": 2}


class Found(msgspec.Struct, frozen=True):
    """One run of the checks, and when it ended (the loop's clock)."""

    status: Overall
    checks: Mapping[str, Check]
    at: float


class Health:
    """The health of the service as one process sees it. Made in its loop; `close` ends its connection and its probes."""

    def __init__(
        self,
        url: DatabaseUrl,
        slots: Slots,
        signals: Signals,
        migrations: Sequence[Migration] = (),
        *,
        tick_seconds: float = 15.0,
        before: Callable[[], None] = lambda: None,
        watches_all: bool = False,
        access: Access = OPEN,
    ) -> None:
        """`url` is the one that requests use, so that what is found is what they meet; `migrations` what should be applied.

        `before` brings this process's own notes up to date. Whether it is alive and takes requests, a worker says of
        itself; who `watches_all` says it of all workers.
        """
        self.access = access
        self._watches_all = watches_all
        self.tick_seconds = tick_seconds
        self.failures = 0
        self._is_draining = False
        self._was_current = False
        self._started = time.monotonic()
        self._slots = slots
        self._signals = signals
        self._before = before
        self._connection = OwnConnection(url)
        self._database_question = database_question()
        self._migrations_question = migrations_question()
        self._migrations = migrations
        self._running: asyncio.Task[Found] | None = None
        self._last: Found | None = None
        self._probing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Probe each tick, beginning now."""
        self._probing = asyncio.get_running_loop().create_task(self._probe_each_tick())

    def close(self) -> None:
        """Look no more."""
        for task in (self._probing, self._running):
            if task is not None:
                task.cancel()
        self._connection.close()

    @property
    def is_draining(self) -> bool:
        """Whether no new requests are wanted here: not ready from then on."""
        return self._is_draining

    @is_draining.setter
    def is_draining(self, value: bool) -> None:
        self._is_draining = value
        self._signals.set("_is_draining", 1.0 if value else 0.0)

    def _alive(self) -> list[Store]:
        """The live processes; this one alone where there is no run directory."""
        return self._slots.live() or [self._signals.store]

    # ------------------------------------------------------------------ looking

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
        database = await check_database(self._connection, self._database_question)
        migrations = await self._check_migrations(until)
        self._before()
        alive = self._alive()
        running = workers(alive, time.monotonic())
        checks = {
            "database": database,
            "pool": check_pool(running, self.tick_seconds),
            "memory": check_memory(memories(alive)),
            "migrations": migrations,
            "loop": check_loop(running),
        }
        status = overall(checks)
        self._was_current = self._was_current or not is_behind(migrations)
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

    async def _probe_each_tick(self) -> None:
        # Not all at once where several workers start together: the first one's note keeps the others from asking.
        await asyncio.sleep(os.getpid() % 16 / 200)
        while True:
            probed = newest("_probe_seconds", self._alive())
            age = math.inf if math.isnan(probed) else time.monotonic() - probed
            if age >= self.tick_seconds:
                await self._probe()
                age = 0.0
            await asyncio.sleep(self.tick_seconds - age + os.getpid() % 16 / 200)

    async def _probe(self) -> None:
        found = await self.look()
        before = newest("health_check_consecutive_failures", self._alive())
        failures = (0.0 if math.isnan(before) else before) + 1 if found.status == "unhealthy" else 0.0
        database = found.checks["database"]
        signals = self._signals
        signals.set("health_status", _STATUS[found.status])
        signals.set("health_check_consecutive_failures", failures)
        # A database whose isolation is broken answers: it is unhealthy, and not unavailable. One that refuses at once has not
        # answered: the deadline's value, as when it was missed.
        is_answered = database.details.get("rlsConfigured") is not None
        signals.set("db_up", 1 if is_answered else 0)
        signals.set("db_response_time_ms", database.response_time if is_answered else DEADLINE_SECONDS * 1000)
        signals.set("_probe_seconds", time.monotonic())

    # ------------------------------------------------------------------ answering

    async def check(self, *, may_see_details: bool = True) -> tuple[bytes, int]:
        """`health.check`: its fields as JSON, and the HTTP status."""
        found = await self.look()
        checks = found.checks
        if not may_see_details:
            checks = {name: msgspec.structs.replace(check, details={}) for name, check in checks.items()}
        fields: dict[str, Any] = {
            "status": found.status,
            "timestamp": timestamp(),
            "uptime": round((time.monotonic() - self._started) * 1000),
            "version": VERSION,
            "checks": checks,
            "ageMs": round((time.monotonic() - found.at) * 1000),
            "consecutiveFailures": self.failures,
        }
        return msgspec.json.encode(fields), 503 if found.status == "unhealthy" else 200

    def liveness(self) -> tuple[bytes, int]:
        """`health.liveness`: touches nothing but the notes of the live processes."""
        running = self._answered_for()
        is_alive = bool(running) and all(worker.silent_seconds < DEAD_SECONDS for worker in running)
        lag = max((worker.lag_ms for worker in running), default=0.0)
        fields = {"alive": is_alive, "timestamp": timestamp(), "loopLagMs": round(lag, 1)}
        return msgspec.json.encode(fields), 200 if is_alive else 503

    async def readiness(self) -> tuple[bytes, int]:
        """`health.readiness`: whether requests may come.

        Not before the migrations were once seen to be applied; one that goes missing later degrades, and stops nobody.
        """
        found = await self.look()
        checks = found.checks
        running = self._answered_for()
        is_draining = self._is_draining or (bool(running) and all(worker.is_draining for worker in running))
        is_ready = (
            checks["database"].status != "down"
            and any(worker.silent_seconds < DEAD_SECONDS for worker in running)
            and self._was_current
            and not is_newer(checks["migrations"])
            and not is_draining
        )
        fields: dict[str, Any] = {
            "ready": is_ready,
            "timestamp": timestamp(),
            "checks": {name: check.status for name, check in checks.items()},
            "draining": is_draining,
        }
        if not is_ready:
            fields["why"] = [f"{name}: {check.message}" for name, check in checks.items() if check.status != "up"]
        return msgspec.json.encode(fields), 200 if is_ready else 503

    def _answered_for(self) -> list[Figures]:
        return workers(self._alive() if self._watches_all else [self._signals.store], time.monotonic())

    def collect(self) -> Collected:
        """All metrics of the service, now."""
        self._before()
        found = collect(self._slots)
        if self._slots.live():
            return found
        counts: Counts = {}
        add_counts(counts, self._signals.store)
        return gather(counts, [self._signals.store], time.time() - (time.monotonic() - self._started))

    def metrics(self) -> tuple[bytes, int]:
        """`health.metrics`: every series as JSON."""
        return msgspec.json.encode({"timestamp": timestamp(), "metrics": summary(self.collect())}), 200


def timestamp() -> str:
    """Now, ISO with milliseconds and Z."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
