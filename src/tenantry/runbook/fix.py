"""Doing what was proposed: bounded, written down before and after, and verified; what fails is left, and the next cause is next.

Class S is done by `--fix`, class A for the ids that somebody approved, class M never. Findings that another one explains are
not touched: what they need may be gone when the first is cured. Every remedy may be run twice. What cannot be written down
is not done (`deeds.py`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from tenantry.locks import take_lock
from tenantry.runbook.deeds import Deeds, lock_of
from tenantry.runbook.diagnose import Diagnosis, look
from tenantry.runbook.model import Checked, Facts, Finding, NotApplicable, Probe, Remedy, Section, Verdict, remedy_of
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
    """Run what may be run, in order. `approved`: remedy id → by whom."""
    deeds = Deeds(place)
    who = next(iter(approved.values()), "doctor")
    for kind in deeds.open_incidents(diagnosis.findings, who):
        say(f"an incident of kind {kind} is opened")
    lock = _lock(place)
    if lock is None:
        return [
            Done(f.cause, f.remedy.id, "failed", "another doctor is at work here, or its folder cannot be written")
            for f in diagnosis.findings[:1]
            if f.remedy is not None
        ]
    try:
        return await _all(place, sections, diagnosis, deeds, is_fixing=is_fixing, approved=approved, say=say)
    finally:
        place.rest()
        os.close(lock)


def _lock(place: Place) -> int | None:
    try:
        lock_of(place.home).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return take_lock(lock_of(place.home))
    except OSError:
        return None


async def _all(
    place: Place,
    sections: Sequence[Section],
    diagnosis: Diagnosis,
    deeds: Deeds,
    *,
    is_fixing: bool,
    approved: Mapping[str, str],
    say: Callable[[str], None],
) -> list[Done]:
    causes = {cause.id: cause for section in sections for cause in section.causes}
    probes = {probe.name: probe for section in sections for probe in section.probes}
    done: list[Done] = []
    begun: set[str] = set()
    for finding in diagnosis.findings:
        verdict = causes[finding.cause].judge(Facts(diagnosis.seen))
        remedy = None if verdict is None else remedy_of(causes[finding.cause], verdict)
        if verdict is None or remedy is None or finding.remedy is None or finding.is_explained:
            continue
        by = approved.get(remedy.id, "--fix" if finding.remedy.kind == "S" and is_fixing else "")
        if finding.remedy.kind == "M":
            done.append(Done(finding.cause, remedy.id, "manual"))
        elif not by:
            done.append(
                Done(
                    finding.cause, remedy.id, "waits for approval" if finding.remedy.kind == "A" else "waits for --fix"
                )
            )
        elif remedy.id in begun:
            continue  # one cure for two causes is done once
        else:
            begun.add(remedy.id)
            deeds.tell_incident("cause", by, finding.says)
            say(f"{finding.cause}: {finding.remedy.command}")
            outcome = await _one(place, deeds, finding, remedy, verdict, by, probes)
            deeds.tell_incident("remedy", by, f"{finding.remedy.command}: {outcome.outcome}")
            done.append(outcome)
            if outcome.outcome == "failed" and await deeds.page_after_failures(finding, by):
                say("three remedies of the health section failed within an hour: level 1 is paged")
    return done


async def _one(
    place: Place, deeds: Deeds, finding: Finding, remedy: Remedy, verdict: Verdict, by: str, probes: Mapping[str, Probe]
) -> Done:
    """Act, write it down, verify."""
    outcome = await _act(place, deeds, finding, remedy, verdict, by)
    if outcome.outcome == "done" and remedy.verification is not None:
        wanted = remedy.verification
        found = finding.verification = await _verified(place, remedy, probes.get(wanted.probe))
        await deeds.write("verified" if found.ok else "not verified", finding, by, found.got)
        if not found.ok:
            outcome.outcome = "failed"
            outcome.text = f"expected {wanted.expected}, got {found.got}"
    return outcome


async def _act(place: Place, deeds: Deeds, finding: Finding, remedy: Remedy, verdict: Verdict, by: str) -> Done:
    if remedy.act is None:
        return Done(finding.cause, remedy.id, "manual")
    if finding.remedy is not None and deeds.times(finding.remedy.command) >= remedy.most_an_hour:
        why = f"it was done {remedy.most_an_hour} times within the hour: a person is wanted"
        return Done(finding.cause, remedy.id, "failed", why)
    try:
        await deeds.write("begins", finding, by)
    except OSError as error:
        return Done(
            finding.cause, remedy.id, "failed", f"it cannot be written down, so it is not done: {error.strerror}"
        )
    try:
        text = await remedy.act(place, verdict.fields)
    except (Refusal, OSError, TimeoutError, RuntimeError, NotApplicable, LookupError) as error:
        why = masked(str(error) or type(error).__name__)
        await deeds.write("failed", finding, by, why)
        return Done(finding.cause, remedy.id, "failed", why)
    await deeds.write("done", finding, by, text)
    return Done(finding.cause, remedy.id, "done", text)


async def _verified(place: Place, remedy: Remedy, probe: Probe | None) -> Checked:
    assert remedy.verification is not None
    wanted = remedy.verification
    if probe is None:
        return Checked(wanted.probe, wanted.expected, "there is no such probe", False)
    until = time.monotonic() + wanted.within_seconds
    while True:
        seen = (await look(place, [probe]))[probe.name]
        place.rest()
        got = seen.evidence.output or seen.why
        if seen.state == "ok" and wanted.holds(seen.values):
            return Checked(wanted.probe, wanted.expected, got, True)
        if time.monotonic() >= until:
            return Checked(wanted.probe, wanted.expected, got, False)
        await asyncio.sleep(POLL_SECONDS)


__all__ = ["Done", "fix"]
