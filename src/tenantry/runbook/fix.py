"""Doing what was proposed: bounded, written down before and after, and verified; else it stops.

Class S is done by `--fix`, class A for the ids that somebody approved, class M never. Findings that another one explains are
not touched: what they need may be gone when the first is cured. Every remedy may be run twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec import Struct

from tenantry.runbook.diagnose import Diagnosis, look
from tenantry.runbook.model import Checked, Facts, Finding, Remedy, Section, Verdict
from tenantry.runbook.place import Place, Refusal, masked

POLL_SECONDS = 1.0


class Done(Struct):
    """What became of a finding's remedy."""

    finding: str
    remedy: str
    outcome: str
    """`done`, `failed`, `waits for approval`, `manual`."""
    text: str = ""


async def fix(
    place: Place,
    sections: Sequence[Section],
    diagnosis: Diagnosis,
    *,
    is_fixing: bool,
    approved: Mapping[str, str],
    say: Callable[[str], None] = lambda _: None,
) -> list[Done]:
    """Run what may be run, in order; the first that fails, or is not verified, ends it. `approved`: remedy id → by whom."""
    causes = {cause.id: cause for section in sections for cause in section.causes}
    probes = {probe.name: probe for section in sections for probe in section.probes}
    done: list[Done] = []
    for finding in diagnosis.findings:
        remedy = causes[finding.cause].remedy
        if remedy is None or finding.remedy is None or finding.is_explained:
            continue
        by = approved.get(remedy.id, "" if remedy.kind != "S" or not is_fixing else "--fix")
        if remedy.kind == "M" or remedy.act is None:
            done.append(Done(finding.cause, remedy.id, "manual"))
            continue
        if not by:
            done.append(Done(finding.cause, remedy.id, "waits for approval"))
            continue
        verdict = causes[finding.cause].judge(Facts(diagnosis.seen))
        say(f"{finding.cause}: {finding.remedy.command}")
        outcome = await _run(place, finding, remedy, verdict, by)
        done.append(outcome)
        if outcome.outcome == "done" and remedy.verification is not None:
            verification = remedy.verification
            finding.verification = await _verified(place, remedy, probes.get(verification.probe))
            write_down(
                place.home, "verified", finding, by, "yes" if finding.verification.ok else finding.verification.got
            )
            if not finding.verification.ok:
                outcome.outcome = "failed"
                outcome.text = f"expected {verification.expected}, got {finding.verification.got}"
        if outcome.outcome == "failed":
            break
    return done


async def _run(place: Place, finding: Finding, remedy: Remedy, verdict: Verdict | None, by: str) -> Done:
    if verdict is None or remedy.act is None:
        return Done(finding.cause, remedy.id, "failed", "what was found is not there any more")
    write_down(place.home, "begins", finding, by, "")
    try:
        text = await remedy.act(place, verdict.fields)
    except (Refusal, OSError, TimeoutError, RuntimeError) as error:
        why = masked(str(error) or type(error).__name__)
        write_down(place.home, "failed", finding, by, why)
        return Done(finding.cause, remedy.id, "failed", why)
    write_down(place.home, "done", finding, by, text)
    return Done(finding.cause, remedy.id, "done", text)


async def _verified(place: Place, remedy: Remedy, probe: Any) -> Checked:
    assert remedy.verification is not None
    wanted = remedy.verification
    if probe is None:
        return Checked(wanted.probe, wanted.expected, "there is no such probe", False)
    until = time.monotonic() + wanted.within_seconds
    got = ""
    while True:
        seen = (await look(place, [probe]))[probe.name]
        got = seen.evidence.output or seen.why
        if seen.state == "ok" and wanted.holds(seen.values):
            return Checked(wanted.probe, wanted.expected, got, True)
        if time.monotonic() >= until:
            return Checked(wanted.probe, wanted.expected, got, False)
        await asyncio.sleep(POLL_SECONDS)


def write_down(home: Path, what: str, finding: Finding, by: str, text: str) -> None:
    """A line in TENANTRY_HOME/watch/remedies.jsonl, before and after: also when there is no database. Raises OSError."""
    folder = home / "watch"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = {
        "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), "what": what, "cause": finding.cause,
        "remedy": None if finding.remedy is None else finding.remedy.id,
        "command": None if finding.remedy is None else finding.remedy.command, "by": by, "text": masked(text)[:1000],
    }  # fmt: skip
    with os.fdopen(
        os.open(folder / "remedies.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8"
    ) as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


__all__ = ["Done", "fix", "write_down"]
