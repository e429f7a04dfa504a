"""The pool, and what is waited for: statements that hold it, transactions left open, a lock."""

from __future__ import annotations

from tenantry.drills.faults.signs import is_worse
from tenantry.drills.model import Drill
from tenantry.drills.stage import Stage


async def _hold(stage: Stage) -> None:
    for tenant in stage.tokens:  # one alone does not get the whole pool: its share is bounded
        stage.keep_calling("drill.sleep", {"seconds": 300.0}, callers=6, pause=0.0, tenant=tenant)


async def _leave_open(stage: Stage) -> None:
    """Every connection of the pool idle in a transaction, again and again, and one transaction that nobody ever ends."""
    url = stage.server.urls("tcp").platform
    connection = await stage.connect(url)
    for text in ("set idle_in_transaction_session_timeout = 0", "begin", "select 1"):
        await connection.execute(text)
    stage.held.append(connection)
    for tenant in stage.tokens:  # one alone does not get the whole pool: its share is bounded
        stage.keep_calling("drill.hold", {"seconds": 2.0}, callers=6, pause=0.0, tenant=tenant)


async def _lock(stage: Stage) -> None:
    connection = await stage.connect(stage.server.urls("tcp").platform)
    for text in ("set idle_in_transaction_session_timeout = 0", "begin", "lock table notes in access exclusive mode"):
        await connection.execute(text)
    stage.held.append(connection)


async def _release(stage: Stage) -> None:
    await stage.release()


DRILLS = (
    Drill(15, "pool-held", "every connection of the pool runs pg_sleep(300)", _hold, _release, is_worse, {"ConnectionPoolHigh": 75.0},
          causes=("pool-busy", "statement-runs-long", "statement-slow")),
    Drill(16, "transactions-open", "transactions are left open", _leave_open, _release, is_worse, {"ConnectionPoolHigh": 75.0},
          causes=("transactions-left-open",), wait_seconds=12.0),
    Drill(19, "table-locked", "lock table notes in access exclusive mode", _lock, _release, None, {"HighErrorRate": 300.0}, pages=True,
          causes=("lock-blocker",)),
)  # fmt: skip
