"""Which tenants take most of the database: a worker's own list, written every few seconds, for `tenantry top`.

Metrics have no tenant in their labels, since those would be as many as there are tenants. This is the other half: the ten noisiest
of the last seconds, in a file of the run directory that only the service's own account can read. Nothing else is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from tenantry.db import Noisy, Pool
from tenantry.files import write_whole

EVERY_SECONDS = 5.0
MOST_TENANTS = 10
STALE_SECONDS = 15.0
"""An older file is of a worker that hangs, or is gone."""


class Noisiest(Struct, frozen=True):
    """A tenant's part of all workers: calls, refusals and seconds of database time a second."""

    tenant: str
    calls: float
    refused: float
    load: float


class TenantNotes:
    """Of one worker, in its loop."""

    def __init__(self, pool: Pool, home: Path) -> None:
        """Writes to `home`/run/tenants-<pid>.json."""
        self._pool = pool
        self._path = home / "run" / f"tenants-{os.getpid()}.json"
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to write."""
        self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._next)

    def stop(self) -> None:
        """Write no more, and leave nothing."""
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _next(self) -> None:
        self.write()
        self.start()

    def write(self) -> None:
        """Write what was since the last time. A disk that is full costs the list, and nothing else."""
        rows = self._pool.noisiest(MOST_TENANTS)
        with contextlib.suppress(OSError):
            write_whole(self._path, msgspec.json.encode(rows))


def noisiest(home: Path, now: float) -> list[Noisiest]:
    """The noisiest of all workers at Unix time `now`; files of workers that are gone are removed on the way."""
    sums: dict[str, list[float]] = {}
    for path in (home / "run").glob("tenants-*.json"):
        try:
            age = now - path.stat().st_mtime
            if age > STALE_SECONDS:
                if age > 3600:
                    path.unlink()
                continue
            rows = msgspec.json.decode(path.read_bytes(), type=list[Noisy])
        except (OSError, msgspec.MsgspecError):
            continue
        for row in rows:
            held = sums.setdefault(row.tenant or "(not known yet)", [0.0, 0.0, 0.0])
            for place, value in enumerate((row.calls, row.refused, row.seconds)):
                held[place] += value / EVERY_SECONDS
    found = [Noisiest(tenant, *values) for tenant, values in sums.items()]
    return sorted(found, key=lambda one: (-one.load, -one.calls, one.tenant))[:MOST_TENANTS]
