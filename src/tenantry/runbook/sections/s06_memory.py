"""Memory leaks: what grows, what was restarted for it, what crashes in a loop."""

from __future__ import annotations

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.probes.activity import CONNECTIONS
from tenantry.runbook.probes.counts import COUNTS
from tenantry.runbook.probes.manager import MEMORY, PM2

FULL = 0.8
SOON_SECONDS = 600.0
CRASHES = 3


def _near(facts: Facts) -> Verdict | None:
    share = facts.of(COUNTS.name).get("memory")
    if share is None or share <= FULL:
        return None
    rows = facts.rows(MEMORY.name, "processes")
    biggest = max(rows, key=lambda r: r["mb"]) if rows else {"pid": "?", "mb": 0.0}
    return Verdict(
        "certain",
        (COUNTS.name, MEMORY.name),
        {"share": f"{share:.0%}", "pid": biggest["pid"], "mb": f"{biggest['mb']:.0f}"},
    )


def _series(facts: Facts) -> Verdict | None:
    dropped = facts.of(COUNTS.name).get("series_dropped") or 0
    return Verdict("certain", (COUNTS.name,), {"n": f"{dropped:.0f}"}) if dropped else None


def _loop(facts: Facts) -> Verdict | None:
    found = facts.of(PM2.name)
    status, restarts = found.get("status"), found.get("restarts") or 0
    if status not in ("waiting restart", "errored") and not (
        restarts >= CRASHES and (found.get("uptime_seconds") or 1e9) < 60.0
    ):
        return None
    return Verdict(
        "certain" if status in ("waiting restart", "errored") else "likely",
        (PM2.name,),
        {"status": status, "n": restarts, "code": found.get("exit_code")},
    )


def _replaced(facts: Facts) -> Verdict | None:
    """A worker that is much younger than its supervisor, and was not asked to go."""
    memory, counts = facts.of(MEMORY.name), facts.of(COUNTS.name)
    youngest, oldest, n = memory.get("youngest"), memory.get("oldest"), counts.get("restarts") or 0
    if not n or youngest is None or oldest is None or youngest > SOON_SECONDS or oldest - youngest < 30.0:
        return None
    return Verdict("likely", (COUNTS.name, MEMORY.name), {"n": f"{n:.0f}", "ago": f"{youngest:.0f}"})


def _enough(values: dict[str, object]) -> bool:
    share = values.get("memory")
    return isinstance(share, float) and share <= FULL


RELOAD = Remedy(
    "reload-for-memory", "S", "pm2 reload platform-api", "none",
    "First, if there is time: tenantry heap snapshot; what grew is gone with the worker. Workers are replaced one by one. No limit yet? pm2 restart platform-api --max-memory-restart 500M, or TENANTRY_MEMORY_LIMIT.",
    hands.reload_api, Verification(COUNTS.name, "below 80 % of the limit", _enough, 30.0),
)  # fmt: skip

SECTION = Section(
    slug="memory-leaks",
    title="Memory Leaks",
    symptoms=(r"memory", r"\bheap\b", r"max_memory_restart", r"\boom\b"),
    alerts=("MemoryHigh",),
    probes=(COUNTS, MEMORY, PM2, CONNECTIONS),
    causes=(
        Cause(
            "crash-loop",
            "PM2 starts the API again and again ({status}, {n} restarts, exit code {code}).",
            _loop,
            Remedy(
                "look-at-crash",
                "M",
                "pm2 logs platform-api --lines 100 --nostream",
                "none",
                "Without --nostream it never ends. Roll back the last release.",
                who="L2",
            ),
            frozenset({"api-gone", "workers-replaced"}),
        ),
        Cause(
            "memory-nearly-full",
            "A process uses {share} of its memory limit; the biggest is pid {pid} with {mb} MB.",
            _near,
            RELOAD,
        ),
        Cause(
            "metrics-grew",
            "{n} events were counted as _other, since there was no room for their series: something invents label values.",
            _series,
            Remedy(
                "look-at-series",
                "M",
                "curl -s http://127.0.0.1:9464/metrics | cut -d'{{' -f1 | sort | uniq -c | sort -n | tail",
                "none",
                who="builder",
            ),
        ),
        Cause(
            "workers-replaced",
            "{n} workers were replaced because they died, hung or grew; the youngest began {ago} s ago.",
            _replaced,
            Remedy(
                "look-at-replaced",
                "M",
                "grep -E 'worker .* (died|hung|memory|signal)' in the log",
                "none",
                "Signal 9 and nobody's hand: the kernel's OOM killer (dmesg).",
                who="L2",
            ),
        ),
    ),
    prose=(
        "`node --heap-prof` profiles a Node program; here each worker writes a `Heap` line a minute (`rss_mb`, `py_mb`, `objects`, `series`, `pool`), and what grows is shown "
        "of the running worker: `tenantry heap snapshot`, minutes later once more, then `tenantry heap compare` (by type, and by the name of what holds it); "
        "`tenantry heap watch --seconds 60` names the lines that allocate what stays. No value is read, and requests go on. "
        "`pm2 logs platform-api --lines 100 | grep Heap` never ends: add `--nostream`. PM2 sees the memory of the process that it started, not of its children: the "
        'supervisor watches the workers, and replaces one above the limit gracefully. "Should see mostly idle connections" is right; `idle in transaction` is the leak. '
        "The metrics are bounded: 2,000 series a worker, whatever happens."
    ),
)
