"""Database connection issues: refused, silent, full, or not letting us in."""

from __future__ import annotations

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.probes.server import AS_OPS, AS_PLATFORM, LOG, PORT, PROCESS

FOLLOWS = frozenset({"api-has-stale-connections", "server-not-running"})
ENOUGH_BYTES = 200_000_000


def _signed_in(values: dict[str, object]) -> bool:
    return values.get("in") is True


def _disk_full(facts: Facts) -> Verdict | None:
    free = facts.of(PROCESS.name).get("free_bytes")
    if facts.of(LOG.name).get("disk_full") and free is not None and free < ENOUGH_BYTES:
        return Verdict("certain", (PROCESS.name, LOG.name, PORT.name), {"free": f"{free // 1_000_000} MB"})
    return None


def _silent(facts: Facts) -> Verdict | None:
    port, process = facts.of(PORT.name), facts.of(PROCESS.name)
    if port.get("why") != "silent" or facts.of(AS_PLATFORM.name).get("in") or facts.of(AS_OPS.name).get("in"):
        return None  # whoever lets us in is slow at most
    if process.get("stopped"):
        return Verdict("certain", (PORT.name, PROCESS.name), {"state": "stopped (T)", "pids": [process["pid"]]})
    if process.get("stuck"):
        return Verdict(
            "certain", (PORT.name, PROCESS.name), {"state": "stuck in the kernel (D)", "pids": [process["pid"]]}
        )
    return Verdict(
        "likely",
        (PORT.name, PROCESS.name),
        {"state": "no answer: stopped, or a network that swallows packets", "pids": []},
    )


def _not_running(facts: Facts) -> Verdict | None:
    if facts.of(PORT.name).get("why") != "refused" or facts.of(AS_PLATFORM.name).get("in"):
        return None
    return Verdict("certain", (PORT.name, PROCESS.name, LOG.name), {"port": facts.of(PORT.name).get("port")})


def _recovering(facts: Facts) -> Verdict | None:
    if facts.of(AS_PLATFORM.name).get("sqlstate") == "57P03":
        return Verdict("certain", (AS_PLATFORM.name, LOG.name), {"words": facts.of(AS_PLATFORM.name).get("words")})
    return None


def _refused(facts: Facts) -> Verdict | None:
    found = facts.of(AS_PLATFORM.name)
    words = {
        "28000": "no line of pg_hba.conf lets us in, or one refuses us", "28P01": "the password is wrong", "3D000": "there is no such database",
        "55000": "the database takes no connections",
    }.get(str(found.get("sqlstate")))  # fmt: skip
    return (
        None
        if words is None
        else Verdict("certain", (AS_PLATFORM.name, AS_OPS.name), {"why": words, "sqlstate": found["sqlstate"]})
    )


def _full(facts: Facts) -> Verdict | None:
    if facts.of(AS_PLATFORM.name).get("sqlstate") == "53300":
        return Verdict("certain", (AS_PLATFORM.name, AS_OPS.name), {"words": facts.of(AS_PLATFORM.name).get("words")})
    return None


IN_AGAIN = Verification(AS_PLATFORM.name, "SELECT 1 as platform", _signed_in, 30.0)
SECTION = Section(
    slug="database-connection-issues",
    title="Database Connection Issues",
    symptoms=(
        r"ECONNREFUSED",
        r"connection refused",
        r"could not connect",
        r"too many (clients|connections)",
        r"database unavailable",
    ),
    alerts=("DatabaseUnavailable",),
    probes=(PORT, AS_PLATFORM, AS_OPS, PROCESS, LOG),
    causes=(
        Cause(
            "disk-full",
            "The disk of the database is full ({free} left).",
            _disk_full,
            Remedy(
                "free-disk",
                "M",
                "df -h; du -xh $PGDATA | sort -h | tail",
                "os",
                "Make room (old logs, old backups), then start the server.",
                who="L2",
            ),
            FOLLOWS,
        ),
        Cause(
            "server-silent",
            "PostgreSQL accepts connections and is silent: {state}.",
            _silent,
            Remedy(
                "resume-server",
                "M",
                "kill -CONT {pids}",
                "os",
                "Find who stopped it; continue it, or restart it.",
                who="L2",
            ),
            FOLLOWS,
        ),
        Cause(
            "server-not-running",
            "PostgreSQL does not run: port {port} refuses connections.",
            _not_running,
            Remedy(
                "start-server",
                "S",
                "tenantry db start",
                "none",
                "Elsewhere: sudo systemctl start postgresql",
                hands.start_database,
                IN_AGAIN,
            ),
            frozenset({"api-has-stale-connections"}),
        ),
        Cause(
            "server-recovering",
            "PostgreSQL starts, stops or recovers: {words}.",
            _recovering,
            Remedy(
                "wait", "M", "tenantry doctor database-connection-issues --watch", "none", "Wait; it opens by itself."
            ),
            frozenset({"api-has-stale-connections"}),
        ),
        Cause(
            "server-refuses-us",
            "PostgreSQL does not let us in ({sqlstate}): {why}.",
            _refused,
            Remedy(
                "let-in",
                "M",
                "host platform platform 127.0.0.1/32 scram-sha-256   # in pg_hba.conf, then: select pg_reload_conf();",
                "superuser",
                "The runbook's md5 is only a fallback.",
                who="DB",
            ),
            frozenset({"api-has-stale-connections"}),
        ),
        Cause(
            "server-full",
            "PostgreSQL takes no more connections: {words}.",
            _full,
            None,
            frozenset({"api-has-stale-connections"}),
        ),
    ),
    prose="A server that is stopped accepts connections and is silent: only a deadline of the client shows it.",
)
