"""What the way of a request tells operations: bounded counters and histograms, written where things happen.

No I/O, no locks, no clock: a worker has one event loop, so a plain `+= 1` is enough, and a request costs some hundred
nanoseconds. Series come from closed sets (`families.py`); whatever else is named counts as `_other`, so that a million
invented names cost one series. Readers (`ops.metrics`) take the `store`. No tenant, user, address, path or SQL ever comes here.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from tenantry.signals.families import (
    BY_NAME,
    CODES,
    FAMILIES,
    NOT_TIMED,
    OTHER,
    OUTCOMES,
    REQUEST_SECONDS,
    SERVER_CODES,
    STATEMENT_MS,
    Family,
)
from tenantry.signals.store import MOST_SERIES, STORE_BYTES, Placed, Store

__all__ = [
    "BY_NAME", "FAMILIES", "MOST_SERIES", "OTHER", "OUTCOMES", "REQUEST_SECONDS", "STATEMENT_MS", "STORE_BYTES", "Family", "Placed",
    "Signals", "Store",
]  # fmt: skip

_REQUESTS, _DURATION = BY_NAME["api_requests_total"], BY_NAME["api_request_duration_seconds"]
_FAILED = BY_NAME["api_request_errors_total"]
_QUICK_SECONDS = REQUEST_SECONDS[0]
_FORESEEN = ("INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT")
"""A procedure's server errors that exist at 0, so that an alert sees the first one."""
MOST_TABLES = 100
"""Whose violations exist at 0; each takes two series."""
ENTERED_EVERY = 8
"""Of so many enterings one is timed, the first among them: a quantile needs no more."""
_KEPT_FREE = 300
"""Series left for what shows only later: other errors, violations."""
_NOT_COUNTED = "health."


class Tally:
    """A series of a histogram that this process writes: sum and largest are known here, so that a call reads one cell and not three."""

    __slots__ = ("at", "calls", "largest", "sum", "total")

    def __init__(self, at: int, width: int, calls: int = 0) -> None:
        """Where its cells begin, and how many they are; `calls` is a counter's cell where calls are counted and not timed."""
        self.at = at
        self.sum = at + width - 2
        self.total = 0.0
        self.largest = 0.0
        self.calls = calls


class Signals:
    """One process's counters. `procedures` are the wire paths that have series of their own, each with its type."""

    __slots__ = (
        "_calls",
        "_cells",
        "_entering",
        "_failed",
        "_pairs",
        "_pool_timeouts",
        "_restarts",
        "_statements",
        "_tables",
        "_untimed",
        "store",
    )

    def __init__(self, procedures: Mapping[str, str] | None = None, store: Store | None = None) -> None:
        """`store` is a mapped file's where other processes shall see the counts; it must have no series yet."""
        self.store = Store() if store is None else store
        self.store.begin()
        self._cells = self.store.cells
        for family in FAMILIES:
            for labels in family.fixed:
                self.store.add(family, labels)
        self._pairs: dict[tuple[str, ...], int] = {}
        self._failed: dict[tuple[str, str], int] = {}
        self._calls: dict[str, Tally] = {}
        self._statements = {
            operation: tuple(self._tally("db_query_duration_ms", operation, outcome) for outcome in OUTCOMES)
            for operation, _ in BY_NAME["db_query_duration_ms"].fixed
        }
        self._untimed = 1
        self._tables: frozenset[str] = frozenset()
        self._entering = self._tally("rls_context_set_duration_ms")
        self._pool_timeouts = self._at("db_pool_timeouts_total")
        self._restarts = self._at("worker_restarts_total")
        self._calls[OTHER] = self._tally(_DURATION.name, OTHER)
        for path, type_ in (procedures or {}).items():
            self._calls[path] = self._place(path, type_)
        for path, tally in self._calls.items():
            if (tally.at or tally.calls) and path != OTHER and len(self.store.places()) < MOST_SERIES - _KEPT_FREE:
                for code in _FORESEEN:
                    self.store.add(_FAILED, (path, code, "server"))

    def _at(self, metric: str, *labels: str) -> int:
        at = self.store.add(BY_NAME[metric], labels)
        assert at is not None  # fixed series come first, and there is room for them
        return at

    def _tally(self, metric: str, *labels: str) -> Tally:
        return Tally(self._at(metric, *labels), BY_NAME[metric].width)

    def _place(self, path: str, type_: str) -> Tally:
        """Where a procedure's calls and durations are counted; scratch cells take what is not counted."""
        if path.startswith(_NOT_COUNTED):
            return Tally(0, _DURATION.width)
        calls = self.store.add(_REQUESTS, (path, type_))
        duration = self.store.add(_DURATION, (path,)) if type_ != NOT_TIMED else 0
        if calls is None or duration is None:
            self.dropped()
            return self._calls[OTHER]
        return Tally(duration, _DURATION.width, 0 if duration else calls)

    # ------------------------------------------------------------------ what the way of a request says

    def request(self, procedure: str, seconds: float, code: str | None) -> None:
        """A call is over, after `seconds`; `code` is the tRPC name of its error, or None."""
        found = self._calls.get(procedure)
        if found is None:
            if procedure.startswith(_NOT_COUNTED):
                return
            found = self._calls[OTHER]
        # How many calls there were is the number of those timed (`Store.read`).
        cells = self._cells
        cells[found.at if seconds <= _QUICK_SECONDS else found.at + bisect_left(REQUEST_SECONDS, seconds)] += 1.0
        found.total = cells[found.sum] = found.total + seconds
        if seconds > found.largest:
            found.largest = cells[found.sum + 1] = seconds
        if found.calls:
            cells[found.calls] += 1.0
        if code is not None and (found.at or found.calls):
            self._request_failed(procedure, code)

    def _request_failed(self, procedure: str, code: str) -> None:
        at = self._failed.get((procedure, code))
        if at is None:
            kind = "server" if code in SERVER_CODES else "client"
            labels = (procedure if procedure in self._calls else OTHER, code if code in CODES else OTHER, kind)
            at = self._bounded(_FAILED, labels, (OTHER, OTHER, kind))
            if procedure in self._calls and code in CODES and (_FAILED.name, *labels) in self.store.places():
                self._failed[procedure, code] = at
        self._cells[at] += 1.0

    def statement(self, operation: str, outcome: int, ms: float) -> bool:
        """A statement's trip is over; `operation` is its first keyword in lower case, `outcome` a place in OUTCOMES.

        True when entering is to be timed again (`entered`): reading its time costs as much as counting the call, so not each is.
        """
        found = self._statements[operation][outcome]
        cells = self._cells
        cells[found.at + bisect_left(STATEMENT_MS, ms)] += 1.0
        found.total = cells[found.sum] = found.total + ms
        if ms > found.largest:
            found.largest = cells[found.sum + 1] = ms
        self._untimed -= 1
        return self._untimed <= 0

    def entered(self, ms: float) -> None:
        """PostgreSQL has opened a tenant, and took so long for it."""
        self._untimed = ENTERED_EVERY
        found = self._entering
        cells = self._cells
        cells[found.at + bisect_left(STATEMENT_MS, ms)] += 1.0
        found.total = cells[found.sum] = found.total + ms
        if ms > found.largest:
            found.largest = cells[found.sum + 1] = ms

    def pool_timeout(self) -> None:
        """A request gave up waiting for a connection, or found the queue full."""
        self._cells[self._pool_timeouts] += 1.0

    def error(self, module: str, code: str) -> None:
        """An error was logged: by which room (`db`, `request`), and its stable code or SQLSTATE."""
        self.count("error_total", module, code)

    def rls_violation(self, table: str, operation: str) -> None:
        """A policy refused a row of `table` (a table of the catalogue, or `_other`) on `insert`, `update`, …"""
        self.count("rls_violations_total", table if table in self._tables else OTHER, operation)

    def know_tables(self, tables: Iterable[str]) -> None:
        """The catalogue's tables that have policies: their violations exist at 0; any other's are `_other`'s."""
        self._tables = frozenset(tables)
        for table in sorted(self._tables)[:MOST_TABLES]:
            for operation in ("insert", "update"):
                self.store.add(BY_NAME["rls_violations_total"], (table, operation))

    # ------------------------------------------------------------------ what others say, seldom

    def count(self, metric: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter of `families.py`; with label values that have no room it is `_other`."""
        at = self._pairs.get((metric, *labels))
        if at is None:
            at = self._bounded(BY_NAME[metric], labels, (OTHER,) * len(labels))
            if (metric, *labels) in self.store.places():
                self._pairs[metric, *labels] = at
        self._cells[at] += by

    def set(self, metric: str, value: float) -> None:
        """Give a gauge its value."""
        self._cells[self._at(metric)] = value

    def provider(self, provider: str, *, is_up: bool) -> None:
        """A sign-in provider (one of those that are configured) was asked, and answered well or not."""
        at = self.store.add(BY_NAME["auth_provider_up"], (provider,))
        if at is None:
            self.dropped()
        else:
            self._cells[at] = float(is_up)

    def dropped(self) -> None:
        """Something has no series of its own."""
        self._cells[self._at("metrics_series_dropped_total")] += 1.0

    def worker_restarted(self) -> None:
        """The supervisor has put a new worker in the place of one."""
        self._cells[self._restarts] += 1.0

    def _bounded(self, family: Family, labels: tuple[str, ...], instead: tuple[str, ...]) -> int:
        at = self.store.add(family, labels)
        if at is None:
            self.dropped()
            at = self.store.add(family, instead)
        assert at is not None  # every family's _other is among its fixed series
        return at

    def value(self, metric: str, *labels: str) -> float:
        """A counter or gauge of this process; NaN when there is no such series, or it is not known."""
        place = self.store.places().get((metric, *labels))
        return math.nan if place is None else self.store.read(place)[0]

    @property
    def pool_timeouts(self) -> int:
        """Waits for a connection that were given up, since the start."""
        return int(self._cells[self._pool_timeouts])
