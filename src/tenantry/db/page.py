"""Keyset pages: `order by` over named columns, an opaque cursor, no offset and no total.

The cursor holds the last row's order columns in full precision; what a client does to it is BAD_REQUEST, never SQL.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from tenantry.db import params as pg
from tenantry.errors import BadRequest, SqlRefused

_PIECE = re.compile(r"^\s*([a-z_][a-z0-9_]*)(?:\s+(asc|desc))?\s*$", re.IGNORECASE)
_READ: dict[int, Any] = {
    pg.UUID_OID: UUID, pg.TIMESTAMPTZ: datetime.fromisoformat, pg.DATE: date.fromisoformat, pg.INT2: int, pg.INT4: int,
    pg.INT8: int, pg.TEXT: str, pg.VARCHAR: str, pg.NUMERIC: Decimal, pg.FLOAT4: float, pg.FLOAT8: float,
    pg.BOOL: {"True": True, "False": False}.__getitem__,
}  # fmt: skip


def order_of(by: str, *, procedure: str, where: str) -> tuple[tuple[str, bool], ...]:
    """`"created_at desc, id desc"` → ((column, is descending), …). Raises SqlRefused."""
    found = [_PIECE.match(piece) for piece in by.split(",")]
    if not all(found):
        why = f'by="{by}" is no list of columns, each with asc or desc'
        raise SqlRefused(procedure=procedure, where=where, why=why, cure='Write: by="created_at desc, id desc"')
    return tuple((piece[1].lower(), (piece[2] or "asc").lower() == "desc") for piece in found if piece)


COMMON_LIMITS = frozenset((10, 20, 25, 50, 100))
"""Limits that are written into the statement. Of `limit $n` PostgreSQL's generic plan expects a tenth of the rows, and beside a big
tenant it then plans each call anew, which costs more than the page (benchmarks/scale.py). Few, so that plans stay few."""


def paged(text: str, order: Sequence[tuple[str, bool]], first: int, *, goes_on: bool, limit: int | None = None) -> str:
    """The statement of a page: parameters from `$first` on are the cursor's values (if it goes on), then the limit.

    With `limit` that is written instead; one row more is asked for, which tells whether there is a next page.
    """
    columns = [f'q."{name}"' for name, _ in order]
    condition = ""
    if goes_on:
        condition = " where " + _after(columns, [is_down for _, is_down in order], first)
        first += len(order)
    by = ", ".join(f"{column} desc" if is_down else column for column, (_, is_down) in zip(columns, order, strict=True))
    most = f"${first}" if limit is None else str(limit + 1)
    return f"select q.* from ({text}) as q{condition} order by {by} limit {most}"


def _after(columns: list[str], downs: list[bool], first: int) -> str:
    places = [f"${first + i}" for i in range(len(columns))]
    if all(downs) or not any(downs):
        # A row comparison: one index condition.
        return f"({', '.join(columns)}) {'<' if downs[0] else '>'} ({', '.join(places)})"
    arms: list[str] = []
    for i, (column, is_down) in enumerate(zip(columns, downs, strict=True)):
        equal = [f"{c} = {p}" for c, p in zip(columns[:i], places[:i], strict=True)]
        arms.append("(" + " and ".join([*equal, f"{column} {'<' if is_down else '>'} {places[i]}"]) + ")")
    return "(" + " or ".join(arms) + ")"


def cursor_of(values: Sequence[Any]) -> str:
    """The opaque cursor behind a row of these order values."""
    texts = [value.isoformat() if isinstance(value, date) else str(value) for value in values]
    return base64.urlsafe_b64encode(msgspec.json.encode(texts)).decode().rstrip("=")


def values_of(cursor: str, oids: Sequence[int]) -> list[Any]:
    """The order values in a cursor, by the columns' types. Raises BadRequest (field `after`)."""
    try:
        texts = msgspec.json.decode(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True), type=list[str]
        )
        return [_READ.get(oid, str)(text) for text, oid in zip(texts, oids, strict=True)]
    except Exception:
        raise not_ours() from None


def not_ours() -> BadRequest:
    """The error of a cursor that a client made up, or took from another list."""
    return BadRequest("This cursor was not made by this list", field="after")
