"""The last calls of this worker, with their statements, errors and notices: what `/_dev` shows. Bounded, and gone with the worker.

It stands where the log's lines and slow statements are told, so that the way of a request is the same with and without it.
"""

from __future__ import annotations

import linecache
import logging
import os
import re
import time
import traceback
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tenantry.errors import BuilderError, TenantryError
from tenantry.source import is_foreign, place

if TYPE_CHECKING:
    from tenantry.db import Pool
    from tenantry.db.plan import Plan
    from tenantry.db.trip import Entry, Trip
    from tenantry.dispatch.road import Headers, Lines

MOST_REQUESTS = 50
MOST_STATEMENTS = 100
"""Of one call; a loop of thousands shows by its first ones."""
MOST_OPEN = 500
"""Calls under way whose statements are kept; streams may stay open for days."""
MOST_NOTICES = 50
MOST_PARAMETER_BYTES = 64 << 10
"""Of one statement: beyond it its values are not kept, and its plan cannot be asked for."""
_NOTICE = re.compile(r"([A-Z][A-Z_]+) (\S+)")


class Ran(Struct, frozen=True):
    """A statement that was sent. `rows` were given or changed; `failed` is the SQLSTATE, or what befell the connection."""

    text: str
    where: str
    ms: float
    rows: int
    failed: str
    operation: str
    oids: tuple[int, ...]
    formats: tuple[int, ...]
    params: tuple[bytes | None, ...] | None
    """As they were sent; None where they were too large to keep."""


class Fault(Struct, frozen=True):
    """Why a call failed: code, words, cure, file and line, the line's surroundings, and the trace."""

    code: str
    words: str
    cure: str
    where: str
    excerpt: tuple[tuple[int, str, bool], ...]
    trace: str
    is_mistake: bool


class Notice(Struct, frozen=True):
    """What was told of a procedure without failing it: LOOP_BLOCKED, TRANSACTION_HELD."""

    at: float
    procedure: str
    text: str


class Recorded(Struct, frozen=True):
    """A call that is over. `at` is the Unix time of its beginning."""

    number: int
    request_id: str
    at: float
    path: str
    status: int
    code: str | None
    ms: float
    entry: Entry | None
    statements: tuple[Ran, ...]
    left_out: int
    fault: Fault | None


class Recorder:
    """Hears of statements (`watch`), errors (`failed`) and ends of calls (`add`, as the log's lines do)."""

    def __init__(self, inner: Lines | None) -> None:
        """`inner` has the log's lines, and is told all the same."""
        self.inner = inner
        self.requests: deque[Recorded] = deque(maxlen=MOST_REQUESTS)
        self.notices: deque[Notice] = deque(maxlen=MOST_NOTICES)
        # Of several workers each has numbers of its own: a page that another one answers finds nothing, and nothing else.
        self._number = os.getpid() * 1_000_000
        self._open: dict[int, tuple[Entry | None, list[Ran], list[int]]] = {}
        self._faults: dict[tuple[str, str], Fault] = {}
        self._handler = _Notices(self.notices)
        logging.getLogger("tenantry").addHandler(self._handler)

    def close(self) -> None:
        """Hear no more."""
        logging.getLogger("tenantry").removeHandler(self._handler)

    # ------------------------------------------------------------------ what it hears

    def watch(self, pool: Pool) -> None:
        """Hear of every statement of this pool; the slow ones have their line in the log as before."""
        slow_ms, tell = pool.slow_ms, pool.tell_slow

        def ran(entry: Entry, plan: Plan, trip: Trip, took_ms: float) -> None:
            if took_ms > slow_ms:
                tell(entry, plan, trip, took_ms)
            self.statement(entry, plan, trip, took_ms)

        pool.slow_ms, pool.tell_slow = -1.0, ran

    def statement(self, entry: Entry, plan: Plan, trip: Trip, took_ms: float) -> None:
        """One statement is over."""
        _, statements, left_out = self._open.setdefault(id(entry), (entry, [], [0]))
        if len(self._open) > MOST_OPEN:
            self._open.pop(next(iter(self._open)))
        if len(statements) >= MOST_STATEMENTS:
            left_out[0] += 1
            return
        result, failure, params = trip.result, trip.failure, trip.params or []
        rows = 0 if result is None else result.ntuples or result.command_tuples or 0
        is_small = sum(len(one or b"") for one in params) <= MOST_PARAMETER_BYTES
        statements.append(
            Ran(
                plan.text, plan.where, took_ms, rows, "" if failure is None else failure.sqlstate or failure.kind, plan.operation,
                () if plan.dumper is None else plan.dumper.oids, tuple(trip.formats or ()), tuple(params) if is_small else None,
            )
        )  # fmt: skip

    def failed(self, error: BaseException, path: str | None, request_id: str) -> None:
        """A call fails with this; its end follows."""
        if len(self._faults) > MOST_OPEN:
            self._faults.clear()
        self._faults[request_id, path or ""] = fault_of(error)

    def add(
        self, procedure: str, status: int, code: str | None, began: float, ended: float, inside: Any, request_id: str, headers: Headers
    ) -> None:  # fmt: skip
        """A call is over; see `logs.RequestLines.add`."""
        if self.inner is not None:
            self.inner.add(procedure, status, code, began, ended, inside, request_id, headers)
        fault = self._faults.pop((request_id, procedure), None)
        entry: Entry | None = getattr(inside, "entry", None)
        kept: tuple[list[Ran], list[int]] = self._open.pop(id(entry), (entry, [], [0]))[1:]
        statements, left_out = kept
        if procedure.startswith("health."):
            return
        self._number += 1
        took = ended - began
        self.requests.appendleft(
            Recorded(
                self._number, request_id, time.time() - took, procedure, status, code, took * 1000, entry, tuple(statements), left_out[0], fault
            )
        )  # fmt: skip

    # ------------------------------------------------------------------ what is asked

    def find(self, number: int) -> Recorded | None:
        """The call of that number, while it is kept."""
        return next((one for one in self.requests if one.number == number), None)

    def notices_of(self, call: Recorded) -> list[Notice]:
        """What was told of its procedure while it ran, or with the loop's next beat."""
        end = call.at + call.ms / 1000 + 1.0
        return [one for one in self.notices if one.procedure == call.path and call.at - 0.2 <= one.at <= end]


class _Notices(logging.Handler):
    """Keeps warnings that begin with a code and a procedure."""

    def __init__(self, kept: deque[Notice]) -> None:
        super().__init__(logging.WARNING)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """One record of the log."""
        text = record.getMessage()
        found = _NOTICE.match(text) if record.levelno == logging.WARNING else None
        if found is not None:
            self.kept.append(Notice(record.created, found[2], text))


def fault_of(error: BaseException) -> Fault:
    """An error as the page shows it. A builder's mistake speaks for itself; of any other the innermost line of the application is shown."""
    file, line = _place(error)
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, TenantryError):
        fields: Mapping[str, Any] = error.fields
        where = str(fields.get("where") or "")
        return Fault(
            error.code, error.message, error.advice, where, excerpt(file, line), trace, isinstance(error, BuilderError)
        )  # fmt: skip
    return Fault(
        type(error).__name__, str(error), "", place(file, line) if file else "", excerpt(file, line), trace, True
    )


def _place(error: BaseException) -> tuple[str, int]:
    """The application's innermost line of a trace; ("", 0) where none of it is there."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if not is_foreign(one.filename)]
    return (ours[-1].filename, ours[-1].lineno or 0) if ours else ("", 0)


def excerpt(file: str, line: int) -> tuple[tuple[int, str, bool], ...]:
    """A line of source between its neighbours: number, text, whether it is the one."""
    linecache.checkcache(file)
    if not file:
        return ()
    near = range(max(1, line - 3), line + 4)
    return tuple((n, text.rstrip("\n"), n == line) for n in near if (text := linecache.getline(file, n)) or n == line)
