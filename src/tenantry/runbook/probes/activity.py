"""What goes on inside the server: connections by who and what, lock waits, transactions left open. As `tenantry_ops`."""

from __future__ import annotations

import asyncio
from typing import Any

from tenantry.runbook.model import Look, Probe
from tenantry.runbook.place import Login, Place, Refusal

SAMPLED_SECONDS = 1.3
APART_SECONDS = 0.35
CONNECTIONS_SQL = """
select a.usename, a.application_name, coalesce(a.state, 'unknown') as state, pg_catalog.count(*) as n,
       pg_catalog.max(extract(epoch from pg_catalog.clock_timestamp() - a.state_change))::float8 as oldest
  from pg_catalog.pg_stat_activity a
 where a.backend_type = 'client backend'
 group by 1, 2, 3 order by n desc
"""
LIMITS_SQL = """
select pg_catalog.current_setting('max_connections')::int as most,
       pg_catalog.current_setting('superuser_reserved_connections')::int as reserved,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend') as used,
       (select r.rolconnlimit from pg_catalog.pg_roles r where r.rolname = 'platform') as role_limit,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_activity where usename = 'platform') as role_used,
       (select s.reset_val from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only') as read_only,
       exists (select from pg_catalog.pg_db_role_setting x left join pg_catalog.pg_roles r on r.oid = x.setrole
                where (x.setdatabase = 0 or x.setdatabase = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
                  and r.rolname in ('platform', 'tenantry_auth')
                  and exists (select from pg_catalog.unnest(x.setconfig) c where pg_catalog.lower(c) in ('default_transaction_read_only=on', 'default_transaction_read_only=true', 'default_transaction_read_only=1', 'default_transaction_read_only=yes'))) as role_read_only,
       (select d.datconnlimit from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) as database_limit,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a where a.datname = pg_catalog.current_database() and a.backend_type = 'client backend') as database_used,
       (select d.datallowconn from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) as allows,
       pg_catalog.pg_is_in_recovery() as in_recovery
"""
WAITS_SQL = """
select w.pid as waiter, coalesce(b.pid, 0) as blocker, coalesce(b.usename, '') as usename, coalesce(b.application_name, '') as application_name,
       coalesce(b.state, '') as state, pg_catalog.left(coalesce(b.query, ''), 200) as query,
       extract(epoch from pg_catalog.clock_timestamp() - b.xact_start)::float8 as age,
       extract(epoch from pg_catalog.clock_timestamp() - w.state_change)::float8 as waited
  from pg_catalog.pg_stat_activity w
  cross join lateral pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) as blocking (pid)
  left join pg_catalog.pg_stat_activity b on b.pid = blocking.pid
 where w.wait_event_type = 'Lock'
 order by age desc nulls last limit 50
"""
"""Who waits for whom at this moment. A request gives up after its deadline, so one look may fall between two waits."""

STRONG_SQL = """
select b.pid, coalesce(b.usename, '') as usename, coalesce(b.application_name, '') as application_name, coalesce(b.state, '') as state,
       pg_catalog.left(coalesce(b.query, ''), 200) as query, l.relation::regclass::text as table_name,
       extract(epoch from pg_catalog.clock_timestamp() - b.xact_start)::float8 as age
  from pg_catalog.pg_locks l
  join pg_catalog.pg_stat_activity b on b.pid = l.pid
  join pg_catalog.pg_class c on c.oid = l.relation
 where l.locktype = 'relation' and l.granted and l.mode = 'AccessExclusiveLock' and c.relkind in ('r', 'p')
   and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
   and c.relnamespace in ('public'::regnamespace, 'tenantry'::regnamespace) and l.pid <> pg_catalog.pg_backend_pid()
 order by age desc nulls last limit 20
"""
"""Whole tables that nobody else may even read: also when nobody waits at the moment, since all gave up."""

PREPARED_SQL = """
select p.gid, p.owner, extract(epoch from pg_catalog.clock_timestamp() - p.prepared)::float8 as age, p.transaction::text as xid,
       (select pg_catalog.count(*) from pg_catalog.pg_locks l where l.locktype = 'relation' and l.pid is null
           and l.virtualtransaction = '-1/' || p.transaction::text) as tables
  from pg_catalog.pg_prepared_xacts p where p.database = pg_catalog.current_database()
 order by age desc limit 20
"""
IDLE_SQL = """
select a.pid, a.usename, coalesce(a.application_name, '') as application_name,
       extract(epoch from pg_catalog.clock_timestamp() - a.state_change)::float8 as idle, pg_catalog.left(a.query, 200) as query
  from pg_catalog.pg_stat_activity a
 where a.backend_type = 'client backend' and a.state like 'idle in transaction%' and a.datname = pg_catalog.current_database()
 order by idle desc limit 50
"""


async def _connections(place: Place) -> Look:
    login: Login = "ops"
    try:
        (limits,) = await place.ask(login, LIMITS_SQL)
    except Refusal as refusal:
        if refusal.sqlstate != "53300" or place.superuser is None:
            raise
        login = "superuser"  # what is reserved for it is there for this
        (limits,) = await place.ask(login, LIMITS_SQL)
    rows = await place.ask(login, CONNECTIONS_SQL)
    lines = [
        f"{limits['used']} of {limits['most']} ({limits['reserved']} reserved); platform {limits['role_used']} of {limits['role_limit']}"
    ]
    lines += [
        f"{row['n']:>4} {row['usename'] or '-':<18} {row['application_name'] or '-':<24} {row['state']}"
        for row in rows[:15]
    ]
    return Look({**limits, "groups": [dict(row) for row in rows]}, "\n".join(lines))


async def _waits(place: Place) -> Look:
    """Several times within the run, each waiter as it was when it had waited longest."""
    longest: dict[tuple[int, int], dict[str, Any]] = {}
    until = asyncio.get_running_loop().time() + SAMPLED_SECONDS
    while True:
        for row in await place.ask("ops", WAITS_SQL):
            key = (row["waiter"], row["blocker"])
            if key not in longest or (row["waited"] or 0) >= (longest[key]["waited"] or 0):
                longest[key] = row
        if asyncio.get_running_loop().time() > until:
            break
        await asyncio.sleep(APART_SECONDS)
    rows = sorted(longest.values(), key=lambda r: -(r["age"] or 0))
    strong, prepared = await place.ask("ops", STRONG_SQL), await place.ask("ops", PREPARED_SQL)
    lines = [
        f"pid {r['pid']} ({r['usename']}, {r['state']}, {r['age'] or 0:.0f} s) has {r['table_name']} for itself: {r['query'][:100]}"
        for r in strong
    ]
    lines += [
        f"prepared transaction {r['gid']} of {r['owner']}, {r['age']:.0f} s old, locks {r['tables']} tables"
        for r in prepared
    ]
    lines += [
        f"pid {r['waiter']} waits {r['waited'] or 0:.0f} s for pid {r['blocker']} ({r['usename']}, {r['state']}, {r['age'] or 0:.0f} s): {r['query'][:100]}"
        for r in rows
    ]
    return Look({"waits": rows, "strong": strong, "prepared": prepared}, "\n".join(lines) or "nobody waits for a lock")


async def _idle(place: Place) -> Look:
    rows: list[dict[str, Any]] = [dict(row) for row in await place.ask("ops", IDLE_SQL)]
    lines = [
        f"pid {r['pid']} ({r['usename']}, {r['application_name']}) idle in transaction for {r['idle']:.0f} s: {r['query'][:100]}"
        for r in rows
    ]
    return Look({"idle": rows}, "\n".join(lines) or "no transaction is left open")


CONNECTIONS = Probe(
    "server-connections",
    "select usename, application_name, state, count(*) from pg_stat_activity group by 1, 2, 3",
    _connections,
)
WAITS = Probe(
    "lock-waits", "select pid, pg_blocking_pids(pid) from pg_stat_activity where wait_event_type = 'Lock'", _waits, 3.2
)
IDLE = Probe("idle-in-transaction", "select * from pg_stat_activity where state like 'idle in transaction%'", _idle)
