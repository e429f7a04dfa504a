"""The plan of a statement that ran: EXPLAIN ANALYZE with its own values, as the person who ran it, and rolled back.

It enters the tenant as the call did, so that the plan has the policies in it; a write is done again and undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry.db import Entry, Query, Transaction
from tenantry.errors import SqlRefused

if TYPE_CHECKING:
    from tenantry.db import Pool
    from tenantry.dev.record import Ran

EXPLAIN = "explain (analyze, buffers, settings) "


async def plan_of(pool: Pool, entry: Entry, ran: Ran) -> str:
    """PostgreSQL's plan, line by line. Raises TenantryError (the session may have ended since)."""
    if ran.params is None:
        raise SqlRefused(
            procedure=entry.procedure,
            where=ran.where,
            why="its values were too large to keep",
            cure="Ask for the plan in psql.",
        )
    asking = Transaction(pool, entry)
    query = Query(EXPLAIN + ran.text)
    try:
        result: Any = await asking.raw(query, list(ran.params), list(ran.formats), where=ran.where)
        return "\n".join((result.get_value(row, 0) or b"").decode("utf-8", "replace") for row in range(result.ntuples))
    finally:
        asking.abandon()
