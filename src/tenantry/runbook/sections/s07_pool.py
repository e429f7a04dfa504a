"""Connection pool exhaustion: who holds the connections, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification, rows_of
from tenantry.runbook.place import Place
from tenantry.runbook.probes.activity import CONNECTIONS, IDLE, WAITS, WAITS_SQL
from tenantry.runbook.probes.counts import COUNTS
from tenantry.runbook.probes.server import POOLER

LONG_SECONDS = 300.0
OPEN_SECONDS = 10.0
WAIT_SECONDS = 3.0
WAITED_SECONDS = 0.5
HELD_SECONDS = 10.0
PREPARED_SECONDS = 60.0
OTHERS_SECONDS = 20.0


def _no_waiter(values: dict[str, Any]) -> bool:
    return not [row for row in rows_of(values, "waits") if _is_stuck(row)]


def _is_stuck(row: dict[str, Any]) -> bool:
    """Waiting, behind a transaction that is old: requests have deadlines of their own, so that no single wait need be long.

    A prepared transaction has no back end, and no age here.
    """
    return (row["waited"] or 0) > WAITED_SECONDS and ((row["age"] or 0) > WAIT_SECONDS or not row["blocker"])


def _none_open(values: dict[str, Any]) -> bool:
    return not [r for r in rows_of(values, "idle") if r["usename"] == "platform" and r["idle"] > OPEN_SECONDS]


async def _terminate_idle(place: Place, fields: Mapping[str, Any]) -> str:
    (row,) = await place.do("ops", "select tenantry.terminate_idle($1::text::interval) as n", [fields["least"]])
    return f"{row['n']} back ends of platform that were idle in transaction for over {fields['least']}"


async def _end_blocker(place: Place, fields: Mapping[str, Any]) -> str:
    """Cancel what it runs; if it still blocks, end it."""
    pid = fields["pid"]
    if fields["state"] == "active":
        await place.do("ops", "select tenantry.cancel($1)", [pid])
        await asyncio.sleep(1.0)
        if pid not in {row["blocker"] for row in await place.ask("ops", WAITS_SQL)}:
            return f"pid {pid}: cancelled"
    (row,) = await place.do("ops", "select tenantry.terminate($1) as done", [pid])
    return f"pid {pid}: {'ended' if row['done'] else 'it was gone already'}"


END_BLOCKER = Remedy(
    "end-blocker", "A", "select tenantry.terminate({pid});", "ops", "Only back ends of platform in this database can be ended so.",
    _end_blocker, Verification(WAITS.name, "no waiter", _no_waiter, 15.0),
)  # fmt: skip
END_OTHERS_BLOCKER = Remedy(
    "end-others-blocker", "M", "select pg_terminate_backend({pid});   -- psql -U postgres", "superuser",
    "It is {usename}'s, and not ours to end: ask whose it is first.", who="DB",
)  # fmt: skip


def _full(facts: Facts) -> bool:
    counts = facts.of(COUNTS.name)
    size, active = counts.get("pool_size"), counts.get("pool_active")
    return bool(size and active is not None and active / size > 0.8)


def _is_free(values: dict[str, Any]) -> bool:
    size, active = values.get("pool_size"), values.get("pool_active")
    return not size or active is None or active / size < 0.8


def _leak(facts: Facts) -> Verdict | None:
    found = [
        row for row in facts.rows(IDLE.name, "idle") if row["usename"] == "platform" and row["idle"] > OPEN_SECONDS
    ]
    if not found:
        return None
    sure = "certain" if _full(facts) or found[0]["idle"] > LONG_SECONDS else "likely"
    least = "5 minutes" if found[0]["idle"] > LONG_SECONDS else "10 seconds"
    fields = {"least": least, "n": len(found), "oldest": f"{found[0]['idle']:.0f}", "query": found[0]["query"][:80]}
    return Verdict(sure, (IDLE.name, COUNTS.name, CONNECTIONS.name), fields)


def _blocker(facts: Facts) -> Verdict | None:
    waits = [row for row in facts.rows(WAITS.name, "waits") if _is_stuck(row) and row["blocker"]]
    if not waits:
        return _alone(facts)
    blockers = {row["blocker"] for row in waits} - {row["waiter"] for row in waits}
    first = next((row for row in waits if row["blocker"] in blockers), waits[0])
    fields = {
        "pid": first["blocker"], "age": f"{first['age'] or 0:.0f}", "n": len(waits), "query": first["query"][:80], "state": first["state"],
        "usename": first["usename"],
    }  # fmt: skip
    return Verdict("certain", (WAITS.name,), fields, None if first["usename"] == "platform" else END_OTHERS_BLOCKER)


def _alone(facts: Facts) -> Verdict | None:
    """A whole table for itself, for longer than any request waits: whoever wanted it has given up, or comes in a moment."""
    is_failing = any(name.endswith("/server") for name in facts.table(COUNTS.name, "errors"))
    least = WAIT_SECONDS if is_failing else HELD_SECONDS
    held = [row for row in facts.rows(WAITS.name, "strong") if (row["age"] or 0) > least]
    if not held:
        return None
    first = held[0]
    fields = {
        "pid": first["pid"], "age": f"{first['age']:.0f}", "n": f"all of {first['table_name']}", "query": first["query"][:80],
        "state": first["state"], "usename": first["usename"],
    }  # fmt: skip
    remedy = None if first["usename"] == "platform" else END_OTHERS_BLOCKER
    return Verdict("likely", (WAITS.name,), fields, remedy)


def _prepared(facts: Facts) -> Verdict | None:
    """Of two-phase commit: it outlives its session and a restart, and holds its locks until somebody ends it."""
    rows = facts.rows(WAITS.name, "prepared")
    is_waited_for = any(_is_stuck(row) and not row["blocker"] for row in facts.rows(WAITS.name, "waits"))
    found = [row for row in rows if is_waited_for or (row["age"] or 0) > PREPARED_SECONDS]
    if not found:
        return None
    fields = {
        "gid": found[0]["gid"],
        "owner": found[0]["owner"],
        "age": f"{found[0]['age']:.0f}",
        "tables": found[0]["tables"],
        "n": len(found),
    }
    return Verdict("certain" if is_waited_for else "likely", (WAITS.name,), fields)


def _others(facts: Facts) -> Verdict | None:
    """Another application's transaction that lies open: it keeps old rows from being cleaned away, and may hold locks."""
    found = [
        row for row in facts.rows(IDLE.name, "idle") if row["usename"] != "platform" and row["idle"] > OTHERS_SECONDS
    ]
    if not found:
        return None
    first = found[0]
    fields = {
        "pid": first["pid"], "usename": first["usename"], "application": first["application_name"] or "an application without a name",
        "idle": f"{first['idle']:.0f}", "query": first["query"][:80], "n": len(found),
    }  # fmt: skip
    return Verdict("likely" if first["idle"] > LONG_SECONDS else "possible", (IDLE.name,), fields)


def _pooler(facts: Facts) -> Verdict | None:
    found = facts.of(POOLER.name)
    if not found.get("waiting") or (found.get("longest") or 0) < 1:
        return None
    return Verdict("certain", (POOLER.name, COUNTS.name), {"n": found["waiting"], "longest": found["longest"]})


def _pooler_mode(facts: Facts) -> Verdict | None:
    mode = facts.of(POOLER.name).get("mode")
    return Verdict("certain", (POOLER.name,), {"mode": mode}) if mode not in (None, "", "transaction") else None


def _busy(facts: Facts) -> Verdict | None:
    if not _full(facts):
        return None
    active = sum(
        row["n"]
        for row in facts.rows(CONNECTIONS.name, "groups")
        if row["usename"] == "platform" and row["state"] == "active"
    )
    if not active:
        return None
    busiest = (facts.rows(COUNTS.name, "procedures") or [{"path": "?"}])[0]["path"]
    return Verdict("likely", (COUNTS.name, CONNECTIONS.name), {"active": active, "busiest": busiest})


SECTION = Section(
    slug="connection-pool-exhaustion",
    title="Connection Pool Exhaustion",
    symptoms=(r"connection pool is full", r"pool (exhaust|timeout)", r"lock (wait|timeout)"),
    alerts=("ConnectionPoolHigh",),
    probes=(COUNTS, CONNECTIONS, IDLE, WAITS, POOLER),
    causes=(
        Cause(
            "lock-blocker",
            "Back end {pid} ({usename}, {state}, {age} s) holds a lock that {n} wait for: {query}",
            _blocker,
            END_BLOCKER,
            frozenset(
                {
                    "pool-busy",
                    "transactions-left-open",
                    "others-transaction-open",
                    "procedure-slow",
                    "procedure-fails",
                    "statement-slow",
                }
            ),
        ),
        Cause(
            "prepared-transaction-left",
            "{n} prepared transactions were never ended; {gid} of {owner} is {age} s old and locks {tables} tables.",
            _prepared,
            Remedy(
                "end-prepared",
                "M",
                "rollback prepared '{gid}';   -- or commit prepared, as whoever coordinates it says",
                "superuser",
                "It outlives its session and a restart of the server.",
                who="DB",
            ),
            frozenset({"pool-busy"}),
        ),
        Cause(
            "others-transaction-open",
            "Back end {pid} of {usename} ({application}) lies idle in a transaction for {idle} s, after: {query}",
            _others,
            Remedy(
                "end-others-transaction",
                "M",
                "select pg_terminate_backend({pid});   -- psql -U postgres",
                "superuser",
                "It is not ours to end: ask whose it is first. Until then no vacuum cleans what it may still see.",
                who="DB",
            ),
        ),
        Cause(
            "transactions-left-open",
            "{n} transactions of platform lie idle, the oldest for {oldest} s, after: {query}",
            _leak,
            Remedy(
                "terminate-idle",
                "A",
                "select tenantry.terminate_idle(interval '{least}');",
                "ops",
                "Idle connections are healthy; idle in transaction is a leak.",
                _terminate_idle,
                Verification(IDLE.name, "no transaction lies open", _none_open, 15.0),
            ),
            frozenset({"pool-busy"}),
        ),
        Cause(
            "pool-busy",
            "The pool is nearly all in use by {active} running statements; most time goes to {busiest}.",
            _busy,
            Remedy(
                "reload-api",
                "S",
                "pm2 reload platform-api",
                "none",
                "And look for slow statements: tenantry doctor performance-degradation",
                hands.reload_api,
                Verification(COUNTS.name, "the pool is below 80 %", _is_free, 30.0),
            ),
            frozenset({"procedure-fails", "procedure-slow"}),
        ),
        Cause(
            "pooler-full",
            "PgBouncer lets {n} clients wait, the longest for {longest} s: its server pool is small, or held.",
            _pooler,
            Remedy(
                "enlarge-pooler",
                "M",
                "default_pool_size = 25   # in pgbouncer.ini; then: psql -p 6432 pgbouncer -c RELOAD",
                "os",
                who="L2",
            ),
            frozenset({"pool-busy"}),
        ),
        Cause(
            "pooler-mode",
            "PgBouncer is in {mode} mode: a client holds its connection as long as it lives.",
            _pooler_mode,
            Remedy("set-pooler-mode", "M", "pool_mode = transaction   # in pgbouncer.ini", "os", who="L2"),
        ),
    ),
    prose=(
        "The runbook's `state = 'idle' … 10 minutes` ends every idle session of every database, also of healthy pools: Tenantry's own pool survives it "
        "without a failed request, other applications may not."
    ),
)
