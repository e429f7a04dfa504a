"""Health check failures: the API is gone, hangs, or finds its database or its isolation broken."""

from __future__ import annotations

from typing import Any

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.probes.api import HEALTH, LIVENESS, OPS_LIVENESS, PROCESSES
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
ALIVE = Verification(LIVENESS.name, "liveness answers", lambda values: bool(values.get("alive")), 30.0)


def _is_up(values: dict[str, Any]) -> bool:
    checks: dict[str, Any] = values.get("checks") or {}
    return checks.get("database") in ("up", "degraded")


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


def _hangs(facts: Facts) -> Verdict | None:
    """By the heartbeat that the port for operations sees; without that port by two silences at once."""
    ops, health = facts.of(OPS_LIVENESS.name), facts.of(HEALTH.name)
    lag = ops.get("lag_ms", "?")
    if ops.get("alive") is False:
        return Verdict("certain", (OPS_LIVENESS.name, LIVENESS.name, PROCESSES.name), {"lag": lag})
    if ops.get("alive"):
        return None
    is_silent = facts.of(LIVENESS.name).get("why") == "silent" and health.get("why") == "silent"
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
    probes=(HEALTH, LIVENESS, OPS_LIVENESS, PROCESSES, AS_PLATFORM, SETTINGS),
    causes=(
        Cause(
            "settings-faulty",
            "{n} of the settings cannot be used, so the API does not start with them: {what}.",
            _faulty,
            Remedy("correct-settings", "M", "tenantry settings", "none", "{cure}"),
            frozenset({"api-gone", "auth-secret-missing"}),
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
