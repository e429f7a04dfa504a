"""The database check: does it answer, is the tenant function there, and is every protected table still guarded?

One statement over a connection of its own, as the role that requests use and by the same way (a pooler included), so that
what it finds is what requests meet. The deadline is kept here: a stopped server accepts connections and is silent.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tenantry.ops.health.causes import of_state
from tenantry.ops.health.check import Check
from tenantry.ops.health.connection import Refused, Unreachable

if TYPE_CHECKING:
    from tenantry.ops.health.connection import OwnConnection, Row

DEADLINE_SECONDS = 0.8
SLOW_MS = 100.0
"""The runbook's bound: a database that takes longer to answer this is worth a look."""


def question() -> bytes:
    """The statement of `database.sql`: one row of (function is there, may be executed), then one a thing missing."""
    return files("tenantry.ops.health").joinpath("database.sql").read_bytes()


@cache
def seal_question() -> bytes:
    """The statement of `seal.sql`: a row for each function of the seal that was replaced."""
    return files("tenantry.ops.health").joinpath("seal.sql").read_bytes()


async def _replaced(connection: OwnConnection) -> list[Row]:
    """Which functions of the seal are not what a migration made them."""
    try:
        return await connection.ask(seal_question())
    except Refused:
        return []  # no registry yet: the migrations check says which file waits


async def check_database(connection: OwnConnection, ask: bytes) -> Check:
    """Ask once; `down` with the cause when there is no good answer within the deadline."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            opened = connection.opened
            rows = await connection.ask(ask)
            if connection.opened != opened and _ms(started) > SLOW_MS:
                # Signing in is no part of how fast it answers: of a new connection the second answer counts.
                started = time.perf_counter()
                rows = await connection.ask(ask)
            took = _ms(started)
            replaced = await _replaced(connection)
    except TimeoutError:
        return _down(f"No answer within {DEADLINE_SECONDS * 1000:.0f} ms", started)
    except Unreachable as unreachable:
        return _down(unreachable.cause, started)
    except Refused as refused:
        return _down(of_state(refused.sqlstate), started)
    missing = sorted((row[0] or b"").decode("utf-8", "replace") for row in [*rows, *replaced])
    details = {"rlsConfigured": not missing, "missing": missing}
    if missing:
        return Check("down", f"Isolation is not configured: {missing[0]}{_and_more(missing)}", took, details)
    if took > SLOW_MS:
        return Check("degraded", f"Answers slowly: {took:.0f} ms", took, details)
    return Check("up", "Answers, and every protected table is guarded", took, details)


def _down(message: str, started: float) -> Check:
    return Check("down", message, _ms(started), {"rlsConfigured": None, "missing": []})


def _and_more(missing: list[str]) -> str:
    return f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
