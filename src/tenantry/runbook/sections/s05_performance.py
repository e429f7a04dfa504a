"""Performance degradation: which procedure, which statement, and what makes it slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification, rows_of
from tenantry.runbook.place import Place
from tenantry.runbook.probes.activity import IDLE, WAITS
from tenantry.runbook.probes.counts import COUNTS
from tenantry.runbook.probes.statements import DISTANCE, RUNNING, STATEMENTS
from tenantry.runbook.probes.upkeep import INDEXES, TABLES

SLOW_MS = 500.0
SLOW_STATEMENT_MS = 200.0
LEAST_CALLS = 5
STALE_SECONDS = 1800.0
MANY_ROWS = 10_000
FAILING_SHARE = 0.05


async def _cancel(place: Place, fields: Mapping[str, Any]) -> str:
    (row,) = await place.do("ops", "select tenantry.cancel($1) as done", [fields["pid"]])
    return f"pid {fields['pid']}{'' if row['done'] else ': it was gone already'}"


async def _analyze(place: Place, fields: Mapping[str, Any]) -> str:
    await place.do("ops", "select tenantry.analyze($1::text::regclass)", [fields["table"]], seconds=120.0)
    return f"analyze {fields['table']}"


def _is_slow(facts: Facts) -> bool:
    counts = facts.of(COUNTS.name)
    return (counts.get("rate") or 0) > 0 and (counts.get("p95_ms") or 0) > SLOW_MS


def _procedure(facts: Facts) -> Verdict | None:
    slow = [p for p in facts.rows(COUNTS.name, "procedures") if p["p95_ms"] > SLOW_MS]
    if not slow or not _is_slow(facts):
        return None
    first = max(slow, key=lambda p: p["load"])
    return Verdict("likely", (COUNTS.name, STATEMENTS.name), {"path": first["path"], "p95": f"{first['p95_ms']:.0f}"})


def _statement(facts: Facts) -> Verdict | None:
    """Slow by the server's own clock while calls are slow: both, else a slow report would be named that nobody waits for."""
    slow = [s for s in facts.rows(STATEMENTS.name, "statements") if s["mean_ms"] > SLOW_STATEMENT_MS]
    if not slow or not _is_slow(facts):
        return None
    first = max(slow, key=lambda s: s["ms"])
    return Verdict(
        "likely",
        (STATEMENTS.name, COUNTS.name),
        {"query": first["query"][:120], "mean": f"{first['mean_ms']:.0f}", "calls": f"{first['calls']:.0f}"},
    )


def _running(facts: Facts) -> Verdict | None:
    found = [r for r in facts.rows(RUNNING.name, "running") if r["waits_for"] != "Lock"]
    if not found:
        return None
    first = found[0]
    return Verdict(
        "certain",
        (RUNNING.name,),
        {"pid": first["pid"], "seconds": f"{first['seconds']:.0f}", "query": first["query"][:120], "n": len(found)},
    )


def _tenant_index(facts: Facts) -> Verdict | None:
    found = facts.rows(INDEXES.name, "tenant")
    if not found:
        return None
    first = found[0]
    fields = {
        "tables": ", ".join(r["table_name"] for r in found[:5]),
        "table": first["table_name"],
        "column": first["column_name"],
    }
    return Verdict("certain", (INDEXES.name, STATEMENTS.name), fields)


def _key_index(facts: Facts) -> Verdict | None:
    found = facts.rows(INDEXES.name, "keys")
    if not found:
        return None
    first = found[0]
    return Verdict(
        "certain",
        (INDEXES.name,),
        {
            "which": ", ".join(f"{r['table_name']} ({r['name']})" for r in found[:5]),
            "table": first["table_name"],
            "columns": first["columns"],
        },
    )


def _invalid(facts: Facts) -> Verdict | None:
    found = facts.rows(INDEXES.name, "invalid")
    if not found:
        return None
    return Verdict(
        "certain",
        (INDEXES.name,),
        {"which": ", ".join(r["index_name"] for r in found[:5]), "index": found[0]["index_name"]},
    )


def _scans(facts: Facts) -> Verdict | None:
    found = [t for t in facts.rows(TABLES.name, "tables") if t["seq_scans"] > 0 and t["rows_a_scan"] >= MANY_ROWS]
    if not found or not _is_slow(facts):
        return None
    first = max(found, key=lambda t: t["rows_a_scan"] * t["seq_scans"])
    return Verdict(
        "possible",
        (TABLES.name, STATEMENTS.name, COUNTS.name),
        {"table": first["table_name"], "rows": first["rows_a_scan"], "n": first["seq_scans"]},
    )


def _stale(facts: Facts) -> Verdict | None:
    """What autovacuum should have done half an hour ago, or may not do at all."""
    found = [
        t for t in facts.rows(TABLES.name, "tables")
        if t["changed"] > MANY_ROWS and t["changed"] > 0.5 * t["live"] and (t["is_left_alone"] or t["analyzed_ago"] > STALE_SECONDS)
    ]  # fmt: skip
    if not found:
        return None
    first = found[0]
    return Verdict(
        "certain",
        (TABLES.name,),
        {"table": first["table_name"], "changed": first["changed"], "live": first["live"], "n": len(found)},
    )


def _bloat(facts: Facts) -> Verdict | None:
    found = [
        t for t in facts.rows(TABLES.name, "tables")
        if t["dead"] > 10 * MANY_ROWS and t["dead"] > t["live"] and (t["is_left_alone"] or t["vacuumed_ago"] > STALE_SECONDS)
    ]  # fmt: skip
    if not found:
        return None
    first = max(found, key=lambda t: t["dead"])
    return Verdict(
        "likely", (TABLES.name,), {"table": first["table_name"], "dead": first["dead"], "live": first["live"]}
    )


def _failing(facts: Facts) -> Verdict | None:
    """Server errors now, by the procedure that has most of them; where calls are few, those of the last minutes."""
    counts = facts.of(COUNTS.name)
    rate, failed = counts.get("rate") or 0, counts.get("server_errors") or 0
    bad = [p for p in facts.rows(COUNTS.name, "procedures") if p["errors"] > 0]
    lately = {name: n for name, n in facts.table(COUNTS.name, "errors").items() if name.endswith("/server")}
    if rate and failed / rate > FAILING_SHARE and bad:
        path = max(bad, key=lambda p: p["errors"])["path"]
        return Verdict(
            "likely", (COUNTS.name,), {"path": path, "share": f"{failed / rate:.0%}", "code": _code(path, lately)}
        )
    errors, calls = sum(lately.values()), counts.get("requests") or 0
    if errors < LEAST_CALLS or errors / max(calls, errors) <= FAILING_SHARE:
        return None
    path = max(lately, key=lambda name: lately[name]).split("/")[0]
    fields = {
        "path": path,
        "share": f"{errors / max(calls, errors):.0%} of the last minutes",
        "code": _code(path, lately),
    }
    return Verdict("possible", (COUNTS.name,), fields)


def _code(path: str, errors: Mapping[str, float]) -> str:
    """The code that it failed with most; errors are named procedure/code/kind."""
    mine = {name: n for name, n in errors.items() if name.startswith(f"{path}/")}
    return max(mine, key=lambda name: mine[name]).split("/")[-2] if mine else "?"


def _entering(facts: Facts) -> Verdict | None:
    ms = facts.of(COUNTS.name).get("enter_p95_ms")
    trip = facts.of(DISTANCE.name).get("trip_ms")
    if not ms or ms <= 5.0 or not _is_slow(facts):
        return None
    return Verdict("possible", (COUNTS.name, DISTANCE.name), {"ms": f"{ms:.1f}", "trip": trip})


SECTION = Section(
    slug="performance-degradation",
    title="Performance Degradation",
    symptoms=(r"response times?", r"\bslow\b", r"\blatency\b", r"\btimeouts?\b", r"error rate"),
    alerts=("HighErrorRate", "HighLatencyP95", "DatabaseSlow", "LatencyElevated"),
    probes=(COUNTS, STATEMENTS, RUNNING, INDEXES, TABLES, DISTANCE, WAITS, IDLE),
    causes=(
        Cause(
            "tenant-index-missing",
            "No index begins with the tenant's column: {tables}. Every query of every tenant reads all tenants' rows.",
            _tenant_index,
            Remedy(
                "create-tenant-index",
                "M",
                "create index concurrently on {table} ({column});",
                "owner",
                "Not in a transaction; as tenantry_migrate, set role tenantry_owner. Then: analyze.",
                who="L2",
            ),
            frozenset({"statement-slow", "procedure-slow", "table-read-whole", "statement-runs-long", "pool-busy"}),
        ),
        Cause(
            "index-invalid",
            "An index was left invalid by a CREATE INDEX CONCURRENTLY that failed: {which}.",
            _invalid,
            Remedy(
                "drop-invalid-index",
                "M",
                "drop index concurrently {index};",
                "owner",
                "It costs every write and serves no read; make it again.",
                who="L2",
            ),
        ),
        Cause(
            "statistics-stale",
            "The planner's statistics of {table} are old: {changed} of {live} rows changed since.",
            _stale,
            Remedy(
                "analyze",
                "S",
                "select tenantry.analyze('{table}');",
                "ops",
                "The one table, not the whole database at its busiest hour.",
                _analyze,
                Verification(
                    TABLES.name,
                    "analyzed",
                    lambda v: (
                        not [
                            t
                            for t in rows_of(v, "tables")
                            if t["changed"] > MANY_ROWS
                            and t["changed"] > 0.5 * t["live"]
                            and (t["is_left_alone"] or t["analyzed_ago"] > STALE_SECONDS)
                        ]
                    ),
                    20.0,
                ),
            ),
            frozenset({"statement-slow", "procedure-slow"}),
        ),
        Cause(
            "statement-runs-long",
            "{n} statements run long; pid {pid} for {seconds} s: {query}",
            _running,
            Remedy(
                "cancel-statement",
                "A",
                "select tenantry.cancel({pid});",
                "ops",
                "Its request gets an error; its transaction is undone.",
                _cancel,
                Verification(RUNNING.name, "it runs no more", lambda v: len(rows_of(v, "running")) == 0, 10.0),
            ),
            frozenset({"procedure-slow", "pool-busy"}),
        ),
        Cause(
            "statement-slow",
            "A statement takes {mean} ms on average now ({calls} calls): {query}",
            _statement,
            Remedy(
                "look-at-statement",
                "M",
                "tenantry slow; tenantry slow --plan N --tenant SLUG",
                "none",
                "Whose statement it is, its plan as that tenant, and the index that it may want.",
                who="builder",
            ),
            frozenset({"procedure-slow"}),
        ),
        Cause(
            "procedure-slow",
            "{path} is slow: p95 {p95} ms.",
            _procedure,
            Remedy(
                "look-at-procedure",
                "M",
                "tenantry profile; tenantry slow; grep slow_statement in the log",
                "none",
                "profile shows Python's time by procedure, with a flame graph; slow shows the database's.",
                who="builder",
            ),
        ),
        Cause(
            "procedure-fails",
            "{share} of the calls fail as the server's fault, most of them in {path} ({code}).",
            _failing,
            Remedy(
                "look-at-errors",
                "M",
                "pm2 logs platform-api --lines 100 --nostream --err   # by request_id",
                "none",
                "A new release? Roll back.",
                who="builder",
            ),
        ),
        Cause(
            "table-read-whole",
            "{table} is read whole ({rows} rows a scan, {n} times) while calls are slow.",
            _scans,
            Remedy(
                "look-at-scans",
                "M",
                "tenantry slow; tenantry slow --plan N   # of the statements that name it",
                "none",
                who="builder",
            ),
        ),
        Cause(
            "foreign-key-index-missing",
            "Foreign keys without an index, so that a delete of what they refer to reads whole tables: {which}.",
            _key_index,
            Remedy("create-key-index", "M", "create index concurrently on {table} ({columns});", "owner", who="L2"),
        ),
        Cause(
            "table-bloated",
            "{table} has {dead} dead rows beside {live} live ones.",
            _bloat,
            Remedy(
                "vacuum",
                "M",
                "vacuum (verbose, analyze) {table};",
                "owner",
                "And look for what holds old snapshots: idle in transaction, replication slots.",
                who="L2",
            ),
            frozenset({"statement-slow"}),
        ),
        Cause(
            "entering-slow",
            "Entering the tenant takes {ms} ms (p95; a trip takes {trip} ms): more than one trip, or a pooler in the way.",
            _entering,
            Remedy("look-at-entering", "M", "tenantry top; benchmarks in docs/benchmarks.md", "none", who="builder"),
        ),
    ),
    prose=(
        "The older runbook's query for missing indexes is wrong: it compares column names over all tables, so that an index on any `tenant_id` hides all that are "
        "missing; it counts a second column as indexed; and as platform `pg_stats` hides every table under row security. `ORDER BY mean_exec_time` finds the rare "
        "report and not what costs most: order by `total_exec_time`, or look at means with 20 calls and more. `ANALYZE;` of the whole database at the busiest hour "
        'reads every table; as platform it skips, with a warning, every table that it does not own. "set_config in pools is slow" (Phase 4) is solved: the tenant is '
        "entered in the statement's own trip."
    ),
)
