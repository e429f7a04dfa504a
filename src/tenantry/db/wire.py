"""libpq's words, and failures made of its results. Constants are plain ints: an enum costs on every result.

Source: PostgreSQL docs, libpq, "PQresultStatus", "PQresultErrorField", "PQtransactionStatus".
"""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

from tenantry.db.trip import Entry, Outcome, WireFailure

if TYPE_CHECKING:
    from psycopg.pq import abc

EMPTY_QUERY, COMMAND_OK, TUPLES_OK = 0, 1, 2
FATAL_ERROR, PIPELINE_SYNC, PIPELINE_ABORTED = 7, 10, 11
IDLE, INTRANS, INERROR = 0, 2, 3
BINARY = 1

ENTER = (
    b"select e.*, pg_catalog.clock_timestamp() operator(pg_catalog.-) pg_catalog.statement_timestamp() as entered"
    b" from tenantry.enter($1::bytea, $2::boolean, $3::text, $4::uuid, $5::integer) as e"
)
"""Who enters, and how long PostgreSQL took for it: its own clock says so in the same trip, from Execute to the answer."""
ENTER_NAME = b"tenantry_enter"
ENTER_FORMATS = [1, 1, 1, 1, 1]
VERBS = {
    "BEGIN": b"begin",
    "BEGIN_REPEATABLE_READ": b"begin isolation level repeatable read",
    "COMMIT": b"commit",
    "ROLLBACK": b"rollback",
}
CLEAN = b"discard all"
ENDED_IDLE = frozenset({"57P01", "57P05"})
"""An operator ended the back end (or shut the server down), or it lay idle for too long: nothing that a trip did is at fault."""
_TRUE, _FALSE = b"\x01", b"\x00"
_int4 = struct.Struct(">i").pack


def enter_params(entry: Entry) -> list[bytes | None]:
    """The arguments of `enter`, binary."""
    need, tenant = entry.need, entry.tenant
    return [
        entry.credential,
        _TRUE if entry.read_only else _FALSE,
        None if need is None else need.encode(),
        None if tenant is None else tenant.bytes,
        _int4(entry.deadline_ms),
    ]


def entered_ms(entered: abc.PGresult) -> float:
    """How long `enter` took: an interval's binary form begins with its microseconds."""
    return int.from_bytes((entered.get_value(0, 4) or b"")[:8], signed=True) / 1000


def is_end(result: abc.PGresult) -> bool:
    """Whether an error, or a notice, is the connection's last word. Severity is a field: libpq calls every error FATAL_ERROR."""
    return (result.error_field(86) or b"") in (b"FATAL", b"PANIC")  # pyright: ignore[reportArgumentType] - takes the code's int


def last_word(pg: abc.PGconn) -> abc.PGresult | None:
    """What the server said before it closed, where that lies unread: a write that failed hides it."""
    with contextlib.suppress(Exception):  # whatever libpq says of a connection that is lost
        for _ in range(64):
            if pg.is_busy():
                break
            result = pg.get_result()
            if result is not None and int(result.status) == FATAL_ERROR and is_end(result):
                return result
    return None


def failure_of(result: abc.PGresult, outcome: Outcome) -> WireFailure:
    """What PostgreSQL said, field by field."""

    def field(code: int) -> str:
        return (result.error_field(code) or b"").decode("utf-8", "replace")  # pyright: ignore[reportArgumentType] - takes the code's int

    position = field(80)
    return WireFailure(
        "server",
        outcome,
        sqlstate=field(67),
        message=field(77),
        severity=field(86) or "ERROR",
        detail=field(68),
        hint=field(72),
        constraint=field(110),
        schema=field(115),
        table=field(116),
        column=field(99),
        position=int(position) if position else 0,
        source_function=field(82),
    )
