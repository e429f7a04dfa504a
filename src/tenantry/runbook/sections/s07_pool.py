"""Connection pool exhaustion: who holds the connections, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification, rows_of
from tenantry.runbook.place import Place
from tenantry.runbook.probes.activity import CONNECTIONS, IDLE, WAITS
from tenantry.runbook.probes.counts import COUNTS

LONG_SECONDS = 300.0
OPEN_SECONDS = 10.0


async def _terminate_idle(place: Place, fields: Mapping[str, Any]) -> str:
    rows = await place.do("ops", "select tenantry.terminate_idle(interval '5 minutes')")
    return f"{len(rows)} back ends of platform that were idle in transaction for over 5 minutes"


async def _end_blocker(place: Place, fields: Mapping[str, Any]) -> str:
    await place.do("ops", "select tenantry.terminate($1)", [fields["pid"]])
    return f"pid {fields['pid']}"


def _full(facts: Facts) -> bool:
    counts = facts.of(COUNTS.name)
    size, active = counts.get("pool_size"), counts.get("pool_active")
    return bool(size and active is not None and active / size > 0.8)


def _leak(facts: Facts) -> Verdict | None:
    found = [
        row for row in facts.rows(IDLE.name, "idle") if row["usename"] == "platform" and row["idle"] > OPEN_SECONDS
    ]
    if not found:
        return None
    sure = "certain" if _full(facts) or found[0]["idle"] > LONG_SECONDS else "likely"
    fields = {"n": len(found), "oldest": f"{found[0]['idle']:.0f}", "query": found[0]["query"][:80]}
    return Verdict(sure, (IDLE.name, COUNTS.name, CONNECTIONS.name), fields)


def _blocker(facts: Facts) -> Verdict | None:
    waits = [row for row in facts.rows(WAITS.name, "waits") if (row["waited"] or 0) > 1]
    if not waits:
        return None
    blockers = {row["blocker"] for row in waits} - {row["waiter"] for row in waits}
    first = next((row for row in waits if row["blocker"] in blockers), waits[0])
    fields = {
        "pid": first["blocker"], "age": f"{first['age'] or 0:.0f}", "n": len(waits), "query": first["query"][:80], "state": first["state"],
        "usename": first["usename"],
    }  # fmt: skip
    return Verdict("certain", (WAITS.name,), fields)


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
    probes=(COUNTS, CONNECTIONS, IDLE, WAITS),
    causes=(
        Cause(
            "lock-blocker",
            "Back end {pid} ({usename}, {state}, {age} s) holds a lock that {n} wait for: {query}",
            _blocker,
            Remedy(
                "end-blocker",
                "A",
                "select tenantry.terminate({pid});",
                "ops",
                "Only back ends of platform in this database can be ended so.",
                _end_blocker,
                Verification(
                    WAITS.name,
                    "no waiter",
                    lambda values: not [w for w in rows_of(values, "waits") if (w["waited"] or 0) > 1],
                    15.0,
                ),
            ),
            frozenset({"pool-busy", "transactions-left-open"}),
        ),
        Cause(
            "transactions-left-open",
            "{n} transactions of platform lie idle, the oldest for {oldest} s, after: {query}",
            _leak,
            Remedy(
                "terminate-idle",
                "A",
                "select tenantry.terminate_idle(interval '5 minutes');",
                "ops",
                "Idle connections are healthy; idle in transaction is a leak.",
                _terminate_idle,
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
            ),
        ),
    ),
    prose=(
        "The runbook's `state = 'idle' … 10 minutes` ends every idle session of every database, also of healthy pools: Tenantry's own pool survives it "
        "without a failed request, other applications may not."
    ),
)
