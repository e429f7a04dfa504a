"""Monitoring and alerts: whether what should watch does, and whether what it says gets out."""

from __future__ import annotations

from tenantry.runbook import hands
from tenantry.runbook.model import Cause, Facts, Remedy, Section, Verdict, Verification
from tenantry.runbook.probes.watching import HEARTBEAT, RULES, WATCHER


def _dead(facts: Facts) -> Verdict | None:
    found = facts.of(WATCHER.name)
    if not found.get("serving") or not (found.get("late") or found.get("stopped")):
        return None
    state = (
        "is stopped (T)" if found.get("stopped") else "lives and writes nothing" if found.get("lives") else "is gone"
    )
    return Verdict(
        "certain",
        (WATCHER.name,),
        {"state": state, "pid": found.get("pid"), "ago": f"{found.get('written_ago', 0):.0f}"},
    )


def _stuck(facts: Facts) -> Verdict | None:
    found = facts.rows(WATCHER.name, "stuck")
    if not found:
        return None
    names = ", ".join(sorted({f"{one['channel']} ({one['tries']} tries)" for one in found}))
    return Verdict("certain", (WATCHER.name,), {"which": names})


def _no_heartbeat(facts: Facts) -> Verdict | None:
    return Verdict("certain", (HEARTBEAT.name,)) if facts.of(HEARTBEAT.name).get("is_set") is False else None


def _rules(facts: Facts) -> Verdict | None:
    found = facts.of(RULES.name)
    if not found.get("differ") and not found.get("missing"):
        return None
    return Verdict(
        "certain", (RULES.name,), {"file": found["file"], "which": ", ".join([*found["differ"], *found["missing"]])}
    )


TEST = Remedy(
    "test-alert", "S", "tenantry alerts test", "none", "Sends a test message to every channel, and says which took it.", hands.test_alert,
    Verification(WATCHER.name, "no message is stuck", lambda v: not v.get("stuck"), 60.0),
)  # fmt: skip

SECTION = Section(
    slug="monitoring-and-alerts",
    title="Monitoring and Alerts",
    symptoms=(r"no alerts?\b", r"not paged", r"heartbeat", r"prometheus", r"alertmanager"),
    alerts=("Watchdog",),
    probes=(WATCHER, HEARTBEAT, RULES),
    causes=(
        Cause(
            "watcher-silent",
            "The watcher {state} (pid {pid}): it last wrote {ago} s ago, and nobody is paged by it.",
            _dead,
            Remedy(
                "restart-watcher",
                "S",
                "kill -KILL {pid}   # of the watcher: its supervisor starts another, and no request notices",
                "none",
                "Where there is no supervisor: pm2 restart platform-api; beside a stock ASGI server: tenantry watch.",
                hands.replace_watcher,
                Verification(WATCHER.name, "it writes", lambda v: not v.get("late") and not v.get("stopped"), 60.0),
                most_an_hour=3,
            ),
        ),
        Cause("channel-failing", "Messages do not get out: {which}.", _stuck, TEST),
        Cause(
            "heartbeat-missing",
            "TENANTRY_HEARTBEAT_URL is not set: if this machine stops, nobody is told.",
            _no_heartbeat,
            Remedy(
                "set-heartbeat",
                "M",
                "TENANTRY_HEARTBEAT_URL=https://…   # in .env; then: tenantry reload",
                "none",
                "Any dead man's switch that pages after five minutes of silence.",
            ),
        ),
        Cause(
            "rules-drifted",
            "{file} is not what runs here: {which}.",
            _rules,
            Remedy(
                "export-rules", "M", "tenantry alerts export prometheus > rules.yaml", "none", "And reload Prometheus."
            ),
        ),
    ),
    prose=(
        "The nine alerts are the runbook's, exactly; `tenantry alerts list` has them with their thresholds, `tenantry alerts explain NAME` with their samples. "
        "The watcher outlives workers and database; what watches the watcher is outside, by the heartbeat."
    ),
)
