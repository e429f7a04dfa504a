"""Health check failures: the API is gone, hangs, or finds its database or its isolation broken."""

from __future__ import annotations

from typing import Any

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.probes.api import HEALTH, LIVENESS, OPS_LIVENESS, PROCESSES
from tenantry.runbook.probes.schema import SCHEMA
from tenantry.runbook.probes.server import AS_PLATFORM
from tenantry.runbook.probes.sign_in import SETTINGS

RESTART = Remedy(
    "restart-api",
    "S",
    "pm2 restart platform-api",
    "none",
    "Start the API anew; clients wait, none is refused.",
    hands.restart_api,
    Verification(HEALTH.name, "health.check answers", lambda values: bool(values.get("reached")), 30.0),
    most_an_hour=3,
)
SILENT_SECONDS = 2.0
ALIVE = Verification(LIVENESS.name, "liveness answers", lambda values: bool(values.get("alive")), 30.0)


def _is_up(values: dict[str, Any]) -> bool:
    checks: dict[str, Any] = values.get("checks") or {}
    return checks.get("database") in ("up", "degraded")


def _is_migrated(values: dict[str, Any]) -> bool:
    return bool(values.get("is_same"))


DATABASE_UP = Verification(
    HEALTH.name,
    "health.check answers, and its database is up",
    _is_up,
    45.0,
)


def _faulty(facts: Facts) -> Verdict | None:
    faults = facts.rows(SETTINGS.name, "faults")
    if not faults:
        return None
    what = "; ".join(f"{one['name']} {one['why']}" for one in faults[:3])
    return Verdict("certain", (SETTINGS.name,), {"n": len(faults), "what": what, "cure": faults[0]["cure"]})


def _gone(facts: Facts) -> Verdict | None:
    health, processes = facts.of(HEALTH.name), facts.of(PROCESSES.name)
    if health.get("reached") is not False or health.get("why") != "refused":
        return None
    state = "nothing serves here" if not processes.get("serving") else "the supervisor lives, and nobody listens"
    return Verdict("certain", (HEALTH.name, PROCESSES.name), {"state": state})


def _stranger(facts: Facts) -> Verdict | None:
    """Somebody listens there, and it is not Tenantry: another program took the port."""
    health = facts.of(HEALTH.name)
    if not health.get("reached") or health.get("status") is not None:
        return None
    return Verdict("certain", (HEALTH.name, PROCESSES.name), {"http": health.get("http")})


def _stopped(facts: Facts) -> Verdict | None:
    found = [row for row in facts.rows(PROCESSES.name, "stopped") if row["role"] != "watcher"]
    if not found:
        return None
    what = ", ".join(f"{row['role']} (pid {row['pid']})" for row in found)
    pids = [row["pid"] for row in found]
    return Verdict(
        "certain", (PROCESSES.name, LIVENESS.name), {"what": what, "pids": pids, "list": " ".join(map(str, pids))}
    )


def _no_schema(facts: Facts) -> Verdict | None:
    return Verdict("certain", (SCHEMA.name,)) if facts.of(SCHEMA.name).get("is_there") is False else None


def _migrations(facts: Facts) -> Verdict | None:
    schema = facts.of(SCHEMA.name)
    if schema.get("is_same") is False:
        return Verdict("certain", (SCHEMA.name, HEALTH.name), {"message": schema["message"]})
    checks, messages = facts.table(HEALTH.name, "checks"), facts.table(HEALTH.name, "messages")
    if schema or checks.get("migrations") != "degraded" or checks.get("database") != "up":
        return None  # of a database that cannot be asked nothing is known
    return Verdict("certain", (HEALTH.name,), {"message": messages.get("migrations")})


def _hangs(facts: Facts) -> Verdict | None:
    """By the heartbeat that the port for operations sees; without that port by two silences at once."""
    ops, health = facts.of(OPS_LIVENESS.name), facts.of(HEALTH.name)
    lag = ops.get("lag_ms", "?")
    if ops.get("alive") is False:
        return Verdict("certain", (OPS_LIVENESS.name, LIVENESS.name, PROCESSES.name), {"lag": lag})
    if ops.get("alive"):
        return None
    is_silent = facts.of(LIVENESS.name).get("why") == "silent" and health.get("why") == "silent"
    beaten = facts.of(PROCESSES.name).get("silent_seconds")
    if beaten is not None and beaten < SILENT_SECONDS:
        return None  # its heartbeat says otherwise: this machine is busy, or the way to the port is blocked
    if is_silent and facts.of(PROCESSES.name).get("serving"):
        return Verdict("likely", (LIVENESS.name, HEALTH.name, PROCESSES.name), {"lag": lag})
    return None


def _stale(facts: Facts) -> Verdict | None:
    """The database is good from here, and bad in the API: its connections or its credentials are old."""
    checks = facts.table(HEALTH.name, "checks")
    if checks.get("database") == "down" and facts.of(AS_PLATFORM.name).get("in") is True:
        message = facts.table(HEALTH.name, "messages").get("database", "")
        if "Isolation" in str(message):
            return None  # that has causes of its own
        return Verdict("likely", (HEALTH.name, AS_PLATFORM.name), {"message": message})
    return None


SECTION = Section(
    slug="health-check-failures",
    title="Health Check Failures",
    symptoms=(r"\bunhealthy\b", r"\bdegraded\b", r"health check"),
    alerts=("HealthCheckFailing", "HealthDegraded"),
    probes=(HEALTH, LIVENESS, OPS_LIVENESS, PROCESSES, AS_PLATFORM, SETTINGS, SCHEMA),
    causes=(
        Cause(
            "settings-faulty",
            "{n} of the settings cannot be used, so the API does not start with them: {what}.",
            _faulty,
            Remedy("correct-settings", "M", "tenantry settings", "none", "{cure}"),
            frozenset({"api-gone", "auth-secret-missing"}),
        ),
        Cause(
            "process-stopped",
            "Processes of the API are stopped (T): {what}.",
            _stopped,
            Remedy(
                "continue-process",
                "A",
                "kill -CONT {list}",
                "os",
                "Find who stopped it: a debugger, a full terminal, a person.",
                hands.resume,
                Verification(PROCESSES.name, "none is stopped", lambda v: not v.get("stopped"), 15.0),
            ),
            frozenset({"loop-blocked", "api-gone", "api-has-stale-connections"}),
        ),
        Cause(
            "api-is-another",
            "What answers on the API's port is not Tenantry: health.check gives HTTP {http} and no status.",
            _stranger,
            Remedy(
                "look-at-port",
                "M",
                "ss -ltnp; tenantry env   # PORT, TENANTRY_BASE_PATH",
                "none",
                "Another program has the port, or a proxy answers for the API.",
            ),
            frozenset({"api-gone"}),
        ),
        Cause("api-gone", "The API does not listen: {state}.", _gone, RESTART),
        Cause(
            "loop-blocked",
            "The API's event loop is blocked: it accepts, and does not answer.",
            _hangs,
            Remedy(
                "restart-blocked-api",
                "S",
                "pm2 restart platform-api",
                "none",
                "Find the handler that blocks: kill -USR1 PID of the worker writes where it is into the log.",
                hands.restart_api,
                ALIVE,
                most_an_hour=3,
            ),
        ),
        Cause(
            "schema-missing",
            "Tenantry's schema, or its history of migrations, is not in this database: another one, an empty one, or one that lost it.",
            _no_schema,
            Remedy(
                "look-at-schema",
                "M",
                "tenantry env   # DATABASE_URL; then: tenantry db push, or tenantry db adopt, or restore a backup",
                "owner",
                "An empty database wants db push; one that lost its schema wants a backup.",
                who="L2",
            ),
            frozenset({"api-gone", "api-has-stale-connections", "migrations-differ", "tenant-function-missing"}),
        ),
        Cause(
            "migrations-differ",
            "The database's schema is not the code's: {message}.",
            _migrations,
            Remedy(
                "push-migrations",
                "A",
                "tenantry db push",
                "owner",
                "If the code is newer; a file that was edited after it was applied has to be restored.",
                hands.push,
                Verification(SCHEMA.name, "migrations are up", _is_migrated, 30.0),
            ),
            frozenset({"function-replaced", "function-missing"}),
        ),
        Cause(
            "api-has-stale-connections",
            "The database is well from here, and the API says: {message}.",
            _stale,
            Remedy(
                "restart-stale-api",
                "S",
                "pm2 restart platform-api",
                "none",
                "Its connections, or its credentials, are of before.",
                hands.restart_api,
                DATABASE_UP,
                most_an_hour=3,
            ),
        ),
    ),
    prose=(
        "`health.check` answers within a second or says why not; on the port for operations also while the loops are blocked. Remedies of this "
        "section that failed three times within an hour page level 1. Settings that cannot be used are the first finding, and no end of the doctor."
    ),
)
