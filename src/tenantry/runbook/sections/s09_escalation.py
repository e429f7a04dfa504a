"""Escalation contacts and useful commands: whether somebody answers for each level, and the tools are there."""

from __future__ import annotations

import shutil

from tenantry.runbook.model import Cause, Facts, Look, NotApplicable, Probe, Remedy, Section, Verdict
from tenantry.runbook.place import Place
from tenantry.runbook.probes.watching import ONCALL

TOOLS = ("psql", "curl", "jq")


async def _tools(place: Place) -> Look:
    if place.settings.env != "production":
        why = "in development nobody is called at night"
        raise NotApplicable(why)
    missing = [name for name in TOOLS if shutil.which(name) is None]
    return Look({"missing": missing}, f"not here: {', '.join(missing)}" if missing else f"{', '.join(TOOLS)} are here")


COMMANDS = Probe("commands", "command -v psql curl jq", _tools)


def _empty(facts: Facts) -> Verdict | None:
    found: list[str] = facts.of(ONCALL.name).get("empty") or []
    return Verdict("certain", (ONCALL.name,), {"levels": ", ".join(found)}) if found else None


def _faulty(facts: Facts) -> Verdict | None:
    why = facts.of(ONCALL.name).get("faulty")
    return Verdict("certain", (ONCALL.name,), {"why": why}) if why else None


def _missing(facts: Facts) -> Verdict | None:
    found: list[str] = facts.of(COMMANDS.name).get("missing") or []
    return (
        Verdict("possible", (COMMANDS.name,), {"names": ", ".join(found)})
        if found and len(found) < len(TOOLS)
        else None
    )


SECTION = Section(
    slug="escalation-contacts",
    title="Escalation Contacts",
    symptoms=(r"escalat", r"on.?call", r"level [123]"),
    alerts=(),
    probes=(ONCALL, COMMANDS),
    causes=(
        Cause(
            "oncall-faulty",
            "The on-call list cannot be used: {why}",
            _faulty,
            Remedy("correct-oncall", "M", "tenantry oncall", "none", "Its form: docs/guides/alerts.md"),
        ),
        Cause(
            "level-empty",
            "Nobody answers for {levels}: a page for it falls to the next level.",
            _empty,
            Remedy(
                "fill-level", "M", "TENANTRY_NOTIFY_L1=…, or a level in oncall.toml; then: tenantry alerts test", "none"
            ),
        ),
        Cause(
            "tools-missing",
            "Tools of the runbook are not on this machine: {names}.",
            _missing,
            Remedy("install-tools", "M", "sudo apt-get install postgresql-client curl jq", "os"),
        ),
    ),
    prose=(
        "Level 1 answers within 15 minutes and resolves within an hour; level 2 is for corruption and breaches of isolation, and is paged at once for them; level 3 for "
        "security incidents and leaks of data. `SELECT * FROM pg_stat_statements …` and `pg_stat_database` run as platform as written; of other roles' statements platform "
        "sees `<insufficient privilege>`. The last command's `tablename IN (SELECT tablename FROM pg_policies)` ignores schemas: `tenantry verify` compares by table."
    ),
)
