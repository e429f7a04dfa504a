"""The database's server: stopped, stuck in part, ended, crashed, full, closed, read-only."""

from __future__ import annotations

import contextlib
import os
import signal

from tenantry.drills.faults.signs import OUTAGE, is_down, is_worse
from tenantry.drills.model import Drill
from tenantry.drills.stage import Stage, pids_of, until

END_OTHERS = """
select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
 where datname = 'platform' and pid <> pg_catalog.pg_backend_pid() and backend_type = 'client backend'
"""


async def _stop(stage: Stage) -> None:
    for pid in pids_of(stage):
        os.kill(pid, signal.SIGSTOP)
        stage.held.append(pid)


CHECKS = """
select pid from pg_catalog.pg_stat_activity
 where usename = 'platform' and datname = 'platform' and backend_type = 'client backend'
   and (query like '%with protected as (%' or query like '%from tenantry.migrations as m%')
"""
"""The back ends that the workers and the watcher look with, by the statements of health's own."""


async def _stop_checks(stage: Stage) -> None:
    """Those of a moment: the next look has a new one."""
    for (pid,) in await stage.sql(CHECKS):
        os.kill(pid, signal.SIGSTOP)
        stage.held.append(pid)


async def _end(stage: Stage) -> None:
    pid = stage.server.status().pid
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
        await until(lambda: not stage.server.status().is_running, 20.0)


async def _start(stage: Stage) -> None:
    import asyncio

    await asyncio.to_thread(stage.server.ensure)


async def _crash(stage: Stage) -> None:
    rows = await stage.sql("select pid from pg_catalog.pg_stat_activity where usename = 'platform' limit 1")
    for (pid,) in rows:
        os.kill(pid, signal.SIGKILL)


def _has_crashed(stage: Stage) -> bool:
    """The server says so itself; whether a look at health falls into the moment of recovery is chance."""
    return any(
        "was terminated by signal 9" in log.read_text("utf-8", "replace")
        for log in stage.server.status().log.glob("*.log")
    )


async def _nothing(stage: Stage) -> None:
    await stage.release()


async def _limit(stage: Stage) -> None:
    """The pool's connections are ended, so that it wants new ones; health's stay, and count against the limit."""
    await stage.sql("alter role platform connection limit 1")
    kept = " and pid <> all ($1)"
    await stage.sql(END_OTHERS.rstrip() + kept, [pid for (pid,) in await stage.sql(CHECKS)], database="postgres")


async def _unlimit(stage: Stage) -> None:
    await stage.sql("alter role platform connection limit -1")


async def _close(stage: Stage) -> None:
    await stage.sql("alter database platform allow_connections false", database="postgres")
    await stage.sql(END_OTHERS, database="postgres")


async def _open(stage: Stage) -> None:
    await stage.sql("alter database platform allow_connections true", database="postgres")


async def _read_only(stage: Stage) -> None:
    await stage.sql("alter database platform set default_transaction_read_only = on", database="postgres")
    await stage.sql(END_OTHERS, database="postgres")


async def _writable(stage: Stage) -> None:
    await stage.sql("alter database platform reset default_transaction_read_only", database="postgres")
    with contextlib.suppress(OSError):
        await stage.sql(END_OTHERS, database="postgres")


DRILLS = (
    Drill(1, "server-stopped", "SIGSTOP to the server and its children", _stop, _nothing, is_down, OUTAGE, pages=True,
          causes=("server-silent",)),
    Drill(2, "check-stuck", "SIGSTOP to the back ends that health looks with", _stop_checks, _nothing, is_worse,
          quiet=("DatabaseUnavailable",), causes=("backend-stopped",)),
    Drill(3, "server-ended", "pg_ctl stop -m immediate", _end, _start, is_down, OUTAGE, pages=True, causes=("server-not-running",)),
    Drill(4, "backend-killed", "kill -9 of a back end: the whole server recovers", _crash, _nothing, None, quiet=("DatabaseUnavailable",),
          symptom=_has_crashed, heals_alone=True, wait_seconds=4.0),
    Drill(17, "connections-limited", "alter role platform connection limit 1", _limit, _unlimit, None, {"HighErrorRate": 60.0}, pages=True,
          causes=("server-full",)),
    Drill(18, "connections-refused", "alter database platform allow_connections false", _close, _open, is_down, OUTAGE, pages=True,
          causes=("server-refuses-us",)),
    Drill(30, "read-only", "alter database platform set default_transaction_read_only = on", _read_only, _writable, None,
          {"HighErrorRate": 60.0}, pages=True, causes=("database-read-only",)),
)  # fmt: skip
