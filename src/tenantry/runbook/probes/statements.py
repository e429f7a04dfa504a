"""Statements by the server's own count, between two looks; what runs long now; how far away the server is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tenantry.runbook.model import Look, NotApplicable, Probe
from tenantry.runbook.place import Place, Refusal

APART_SECONDS = 1.2
MOST_TRIPS, TRIPS_SECONDS, FAR_MS = 5, 0.5, 50.0
"""Of measuring the way to the server; over a slow one three trips are enough, and five would be late."""
STATEMENTS_SQL = """
select s.queryid::text as id, pg_catalog.left(s.query, 300) as query, s.calls::float8 as calls, s.total_exec_time::float8 as total_ms
  from public.pg_stat_statements s join pg_catalog.pg_roles r on r.oid = s.userid
 where s.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) and r.rolname = 'platform'
 order by s.total_exec_time desc limit 200
"""
RUNNING_SQL = """
select a.pid, pg_catalog.left(a.query, 200) as query, coalesce(a.wait_event_type, '') as waits_for,
       extract(epoch from pg_catalog.clock_timestamp() - a.query_start)::float8 as seconds
  from pg_catalog.pg_stat_activity a
 where a.backend_type = 'client backend' and a.usename = 'platform' and a.state = 'active'
   and a.datname = pg_catalog.current_database() and a.query_start < pg_catalog.clock_timestamp() - interval '5 seconds'
 order by seconds desc limit 20
"""


async def _statements(place: Place) -> Look:
    try:
        before = {row["id"]: row for row in await place.ask("ops", STATEMENTS_SQL)}
        await asyncio.sleep(APART_SECONDS)
        after = await place.ask("ops", STATEMENTS_SQL)
    except Refusal as refusal:
        if refusal.sqlstate in ("42P01", "55000"):
            why = "pg_stat_statements is not loaded (shared_preload_libraries) or not made in this database"
            raise NotApplicable(why) from None
        raise
    rises: list[dict[str, Any]] = []
    for row in after:
        was = before.get(row["id"], {"calls": 0.0, "total_ms": 0.0})
        calls, ms = row["calls"] - was["calls"], row["total_ms"] - was["total_ms"]
        if calls > 0 and ms >= 0:
            rises.append(
                {
                    "id": row["id"],
                    "query": " ".join(row["query"].split()),
                    "calls": calls,
                    "mean_ms": ms / calls,
                    "ms": ms,
                }
            )
    rises.sort(key=lambda r: -r["ms"])
    lines = [f"{r['calls']:.0f} calls of {r['mean_ms']:.1f} ms: {r['query'][:100]}" for r in rises[:5]]
    return Look({"statements": rises[:50]}, "\n".join(lines) or f"none in {APART_SECONDS:g} s")


async def _running(place: Place) -> Look:
    rows = await place.ask("ops", RUNNING_SQL)
    lines = [
        f"pid {r['pid']} for {r['seconds']:.0f} s{' waits for ' + r['waits_for'] if r['waits_for'] else ''}: {r['query'][:100]}"
        for r in rows
    ]
    return Look({"running": rows}, "\n".join(lines) or "no statement runs longer than 5 s")


async def _distance(place: Place) -> Look:
    """The quickest of some trips, and the server's clock against ours: a busy machine makes trips slow, but not all of them."""
    import psycopg

    url = place.url("ops").reveal()
    async with asyncio.timeout(2.9 * place.patience):
        try:
            connection = await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=3, application_name="tenantry doctor"
            )
        except psycopg.Error:
            why = "nobody lets us in; the sign-in probes say why"
            raise NotApplicable(why) from None
        try:
            trips: list[tuple[float, float]] = []
            began = time.perf_counter()
            while len(trips) < MOST_TRIPS and (not trips or time.perf_counter() - began < TRIPS_SECONDS):
                await asyncio.sleep(
                    0.1 if not trips or trips[-1][0] < FAR_MS else 0.0
                )  # apart: one busy moment is not all of them
                started, wall = time.perf_counter(), time.time()
                cursor = await connection.execute("select extract(epoch from pg_catalog.clock_timestamp())::float8")
                row = await cursor.fetchone()
                took = time.perf_counter() - started
                trips.append((took * 1000, 0.0 if row is None else row[0] - wall - took / 2))
        finally:
            connection.pgconn.finish()
    ms, skew = min(trips)
    return Look(
        {"trip_ms": round(ms, 2), "skew_seconds": round(skew, 3)},
        f"quickest of {len(trips)} trips {ms:.1f} ms; its clock is {skew:+.1f} s from ours",
    )


STATEMENTS = Probe(
    "statements",
    "SELECT query, mean_exec_time, calls FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10;",
    _statements,
    3.5,
)
RUNNING = Probe("long-statements", "select pid, query from pg_stat_activity where state = 'active'", _running)
DISTANCE = Probe("distance", "psql -c '\\timing on' -c 'select clock_timestamp()'", _distance)
