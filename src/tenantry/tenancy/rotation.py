"""The change of the keyed seal's key, while requests run: change, wait for the transactions of then, retire.

May be interrupted anywhere: two keys then hold until it is run again, which first finishes what was begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

Connection = Any  # psycopg.Connection[Any]: the library is loaded when a command runs

# A transaction holds a lock on its own virtual id until it ends: everybody may see those, unlike when it began.
_OPEN = """
select l.virtualtransaction
  from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'virtualxid' and l.pid <> pg_catalog.pg_backend_pid() and a.datname = pg_catalog.current_database()
   and a.usename is not null
"""


class Rotation(Struct, frozen=True):
    """What was done. `waiting`: transactions that still hold the key before."""

    seal: Literal["vault", "keyed"]
    changed: bool
    retired: bool
    waiting: int = 0
    seconds: float = 0.0


def rotate(connection: Connection, *, wait_seconds: float, report: Callable[[str], None]) -> Rotation:
    """`connection` (autocommit) may act as tenantry_owner. Raises psycopg.Error."""
    started = time.monotonic()
    connection.execute("set role tenantry_owner")
    try:
        seal = connection.execute("select tenantry.seal()").fetchone()[0]
        if seal == "vault":
            return Rotation("vault", changed=False, retired=False)
        is_begun = connection.execute("select previous is not null from tenantry.seal_key").fetchone()[0]
        if is_begun:
            report("an earlier change was not finished: finishing it")
        else:
            connection.execute("select tenantry.rotate_seal()")
            report("new key; the one before still holds for transactions that are open")
        left = _wait(connection, started + wait_seconds)
        if left:
            return Rotation("keyed", not is_begun, retired=False, waiting=left, seconds=time.monotonic() - started)
        connection.execute("select tenantry.retire_seal()")
        return Rotation("keyed", not is_begun, retired=True, seconds=time.monotonic() - started)
    finally:
        connection.execute("reset role")


def _wait(connection: Connection, until: float) -> int:
    """How many of the transactions that are open now are open at the end of the wait."""
    before = {row[0] for row in connection.execute(_OPEN).fetchall()}
    while before:
        if time.monotonic() > until:
            return len(before)
        time.sleep(0.05)
        before &= {row[0] for row in connection.execute(_OPEN).fetchall()}
    return 0
