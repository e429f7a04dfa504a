"""The heartbeat of a worker: four times a second it notes the loop's lateness, the pool, and what the process takes.

A single look would be chance: at full load every connection is in use at one moment in two. So checks read what the last
second, or the last tick, was like. The notes stand in the worker's mapped counts, where every process of the service reads
them: a beat that does not come is seen from outside. A beat costs some microseconds.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import deque
from pathlib import Path
from typing import Protocol

from tenantry.ops.health.figures import BEAT_SECONDS
from tenantry.ops.health.memory import memory_bytes
from tenantry.signals import Signals

_FDS = Path("/proc/self/fd")
_SECOND = round(1 / BEAT_SECONDS)
_FDS_EVERY = 40 * _SECOND
"""Counting descriptors takes a microsecond for each: seldom enough to cost nothing with thousands of clients."""


class PoolStats(Protocol):
    """What a look at the pool gives."""

    @property
    def size(self) -> int: ...
    @property
    def open(self) -> int: ...
    @property
    def idle(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...


class WatchedPool(Protocol):
    """A pool that can be looked at."""

    def stats(self) -> PoolStats: ...


class Process:
    """What this process takes of the machine, noted when told to."""

    def __init__(self, signals: Signals, memory_limit: int) -> None:
        self._signals = signals
        self._limit = memory_limit
        self._looks = 0

    def note(self) -> None:
        """Memory and CPU time now, and every so often the descriptors."""
        signals = self._signals
        resident, virtual = memory_bytes()
        signals.set("process_resident_memory_bytes", resident)
        signals.set("process_virtual_memory_bytes", virtual)
        signals.set("process_memory_utilization_ratio", resident / self._limit)
        signals.set("_memory_limit_bytes", self._limit)
        signals.set("process_cpu_seconds_total", time.process_time())
        if self._looks % _FDS_EVERY == 0 and _FDS.exists():
            signals.set("process_open_fds", len(os.listdir(_FDS)))  # noqa: PTH208 - counted, not walked
            signals.set("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._looks += 1


class Pulse:
    """Started in the worker's loop; everything that it says is of that loop."""

    def __init__(self, pool: WatchedPool, signals: Signals, *, memory_limit: int, tick_seconds: float) -> None:
        self._pool = pool
        self._signals = signals
        self._process = Process(signals, memory_limit)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._beats = 0
        self._late: deque[float] = deque([0.0], maxlen=max(1, round(tick_seconds / BEAT_SECONDS)))
        self._busy: deque[float] = deque(maxlen=max(1, round(tick_seconds / BEAT_SECONDS)))
        self._given_up = signals.pool_timeouts

    def start(self) -> None:
        """Begin to beat."""
        self._due = time.monotonic()
        self._beat()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        now = time.monotonic()
        self._late.append(max(0.0, now - self._due))
        signals = self._signals
        if self._beats % _SECOND == 0:
            self._process.note()
        stats = self._pool.stats()
        self._busy.append(stats.busy / max(1, stats.size))
        signals.set("db_pool_utilization_ratio", sum(self._busy) / len(self._busy))
        self._note_pool(stats)
        signals.set("loop_lag_seconds", self._late[-1])
        signals.set("_worst_lag_ms", max(self._late) * 1000)
        signals.set("_heartbeat_ns", now * 1e9)
        self._beats += 1
        self._due = now + BEAT_SECONDS
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def _note_pool(self, stats: PoolStats) -> None:
        signals = self._signals
        last = list(self._busy)[-_SECOND:]
        signals.set("_pool_used_ratio", sum(last) / len(last) if last else 0.0)
        signals.set("db_connections_max", stats.size)
        signals.set("db_connections_active", stats.busy)
        signals.set("db_connections_idle", stats.idle)
        signals.set("db_connections_waiting", stats.waiting)
        given_up = signals.pool_timeouts
        if given_up != self._given_up:
            self._given_up = given_up
            signals.set("_given_up_seconds", time.monotonic())

    def note(self) -> None:
        """Bring the notes about the pool up to date, for a check that runs now."""
        self._note_pool(self._pool.stats())

    @property
    def lag_ms(self) -> float:
        """How late the loop is: the last beat's lateness, or how overdue the next one is by now."""
        return max(self._late[-1], time.monotonic() - self._due) * 1000
