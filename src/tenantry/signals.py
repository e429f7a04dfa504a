"""What the way of a request tells operations: bounded counters and histograms, written where things happen.

No I/O, no locks, no clock: a worker has one event loop, so a plain `+= 1` is enough, and a request costs some hundred
nanoseconds. Series come from closed sets, fixed when the server starts: the registered procedures, tRPC's codes.
Whatever else is named counts as `_other`, so that a million invented names cost one series. Readers (`ops`) take
`snapshot()`; names, units and exposition of metrics are theirs. No tenant, user, address, path or SQL ever comes here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import get_args

from msgspec import Struct

from tenantry.errors import TrpcCode

OTHER = "_other"
"""The series of everything that was not registered."""

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the request histogram: OpenTelemetry's, and 0.2 for those who alert at 200 ms; beyond is +Inf."""

MOST_PAIRS = 200
"""How many (module, code) and (table, operation) pairs are told apart: far above what a healthy application has."""

_CODES: frozenset[str] = frozenset(get_args(TrpcCode))


class ProcedureCounts(Struct, frozen=True):
    """One procedure's calls so far. `buckets` are counts by upper bound (not cumulative), the last one +Inf."""

    count: int
    seconds: float
    longest_seconds: float
    buckets: tuple[int, ...]
    errors: dict[str, int]


class Snapshot(Struct, frozen=True):
    """All counters of this worker at one moment, since it started."""

    procedures: dict[str, ProcedureCounts]
    errors: dict[tuple[str, str], int]
    rls_violations: dict[tuple[str, str], int]
    pool_timeouts: int


class _Slot:
    """The running counts of one procedure."""

    __slots__ = ("buckets", "count", "errors", "longest_seconds", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.longest_seconds = 0.0
        self.buckets = [0] * (len(REQUEST_SECONDS) + 1)
        self.errors: dict[str, int] = {}

    def read(self) -> ProcedureCounts:
        return ProcedureCounts(self.count, self.seconds, self.longest_seconds, tuple(self.buckets), dict(self.errors))


class Signals:
    """One worker's counters. `procedures` are the wire paths that have a series of their own."""

    __slots__ = ("_errors", "_other", "_pool_timeouts", "_rls_violations", "_slots")

    def __init__(self, procedures: Iterable[str] = ()) -> None:
        self._slots = {path: _Slot() for path in procedures}
        self._other = self._slots.setdefault(OTHER, _Slot())
        self._errors: dict[tuple[str, str], int] = {}
        self._rls_violations: dict[tuple[str, str], int] = {}
        self._pool_timeouts = 0

    def request(self, procedure: str, seconds: float, code: str | None) -> None:
        """A call is over, after `seconds`; `code` is the tRPC name of its error, or None."""
        slot = self._slots.get(procedure, self._other)
        slot.count += 1
        slot.seconds += seconds
        slot.buckets[bisect_left(REQUEST_SECONDS, seconds)] += 1
        if seconds > slot.longest_seconds:  # noqa: PLR1730 - max() costs a call on every request
            slot.longest_seconds = seconds
        if code is not None:
            name = code if code in _CODES else OTHER
            slot.errors[name] = slot.errors.get(name, 0) + 1

    def pool_timeout(self) -> None:
        """A request gave up waiting for a connection, or found the queue full."""
        self._pool_timeouts += 1

    def error(self, module: str, code: str) -> None:
        """An error was logged: by which room (`db`, `dispatch`), and its stable code or SQLSTATE."""
        _count(self._errors, module, code)

    def rls_violation(self, table: str, operation: str) -> None:
        """A policy refused a row of `table` (a table of the catalogue, or `_other`) on `insert`, `update`, …"""
        _count(self._rls_violations, table, operation)

    @property
    def pool_timeouts(self) -> int:
        """Waits for a connection that were given up, since the start."""
        return self._pool_timeouts

    def snapshot(self) -> Snapshot:
        """A copy of all counters; takes some ten microseconds, and is for readers, not for the way of a request."""
        return Snapshot(
            {path: slot.read() for path, slot in self._slots.items()},
            dict(self._errors),
            dict(self._rls_violations),
            self._pool_timeouts,
        )


def _count(pairs: dict[tuple[str, str], int], first: str, second: str) -> None:
    key = (first, second)
    if key not in pairs and len(pairs) >= MOST_PAIRS:
        key = (OTHER, OTHER)
    pairs[key] = pairs.get(key, 0) + 1
