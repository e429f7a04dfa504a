"""What the live processes of this service say of themselves, read from their mapped counts. Pure.

Every process reads the same notes, so whoever is asked answers the same, and a worker whose loop is blocked is seen by the
others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tenantry.signals import Store


class Figures(Struct, frozen=True):
    """One worker at its last beat. Times are seconds ago; infinite where it never was."""

    used: float
    """Part of its connections in use, the mean of the last second."""
    size: int
    waiting: int
    is_full: bool
    given_up_ago: float
    lag_ms: float
    """How late its loop was at the last beat, or how overdue the next one is."""
    worst_lag_ms: float
    silent_seconds: float
    is_draining: bool


class Memory(Struct, frozen=True):
    """One process."""

    resident: int
    limit: int


BEAT_SECONDS = 0.25


def figures_of(store: Store, now: float) -> Figures | None:
    """A worker's figures; None for a process that has no pool, or has not beaten yet. `now` is CLOCK_MONOTONIC."""
    beaten = store.gauge("_heartbeat_ns") / 1e9
    if math.isnan(beaten):
        return None
    size, active = _known(store.gauge("db_connections_max")), _known(store.gauge("db_connections_active"))
    given_up = store.gauge("_given_up_seconds")
    silent = max(0.0, now - beaten)
    overdue_ms = max(0.0, silent - BEAT_SECONDS) * 1000
    return Figures(
        used=_known(store.gauge("_pool_used_ratio")),
        size=int(size),
        waiting=int(_known(store.gauge("db_connections_waiting"))),
        is_full=active >= size > 0,
        given_up_ago=math.inf if math.isnan(given_up) else max(0.0, now - given_up),
        lag_ms=max(_known(store.gauge("loop_lag_seconds")) * 1000, overdue_ms),
        worst_lag_ms=max(_known(store.gauge("_worst_lag_ms")), overdue_ms),
        silent_seconds=silent,
        is_draining=store.gauge("_is_draining") == 1,
    )


def workers(alive: Sequence[Store], now: float) -> list[Figures]:
    """Every worker that beats."""
    return [figures for store in alive if (figures := figures_of(store, now)) is not None]


def memories(alive: Sequence[Store]) -> list[Memory]:
    """Every process that has told its size."""
    found: list[Memory] = []
    for store in alive:
        resident, limit = store.gauge("process_resident_memory_bytes"), store.gauge("_memory_limit_bytes")
        if not math.isnan(resident) and not math.isnan(limit):
            found.append(Memory(int(resident), int(limit)))
    return found


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value
