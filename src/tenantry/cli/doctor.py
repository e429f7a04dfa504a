"""`tenantry doctor`: what is the matter, by which evidence, what to do; and doing it, when told to."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.place import say, show, tell
from tenantry.errors import StartError

if TYPE_CHECKING:
    from tenantry.runbook import Diagnosis, Done, Section

FAILED = 3
"""Exit code: a remedy, or its verification, failed."""


class NoSuchSection(StartError):
    """Nothing in the runbook is called that, or answers to that symptom."""

    code = "NO_SUCH_SECTION"
    says = "The runbook has no section for {what}."
    remedy = "It has: {known}. Without a name the doctor looks everywhere."


class ApprovalUnnamed(StartError):
    """An approval is somebody's."""

    code = "APPROVAL_UNNAMED"
    says = "--approve needs the name of who approves."
    remedy = "As in: tenantry doctor --approve restart-api --by ann"


def run(arguments: argparse.Namespace) -> int:
    """The command. 0 all is well; 1 findings; 2 a probe could not look; 3 a remedy failed."""
    started = time.perf_counter()
    from tenantry.runbook import chosen, sections

    if arguments.approve and not arguments.by.strip():
        raise ApprovalUnnamed
    _load_application()
    known = sections()
    try:
        wanted = chosen(known, slug=arguments.section, alert=arguments.alert, symptom=arguments.symptom)
    except LookupError as error:
        what = arguments.section or arguments.alert or arguments.symptom
        raise NoSuchSection(what=repr(what), known=str(error)) from None
    while True:
        code = asyncio.run(_once(wanted, arguments, started))
        if not arguments.watch:
            return code
        time.sleep(5.0)
        started = time.perf_counter()
        say()


def _load_application() -> None:
    """For its own sections. A doctor that cannot read the patient's notes still looks at the patient."""
    import os
    from pathlib import Path

    from tenantry.cli.place import load
    from tenantry.runbook.opening import lenient

    settings = lenient(os.environ, Path(".env"))[0]
    if settings.app is None:
        return
    try:
        load(settings.app, settings)
    except Exception as error:  # whatever an application does at import
        tell(
            f"the application's own sections are left out: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        )


async def _once(wanted: list[Section], arguments: argparse.Namespace, started: float) -> int:
    from tenantry.runbook import diagnose, fix, open_place

    place = open_place(arguments.superuser_url, is_deep=arguments.deep)
    diagnosis = await diagnose(place, wanted, used_seconds=time.perf_counter() - started)
    took = time.perf_counter() - started
    done: list[Done] = []
    if arguments.fix or arguments.approve:
        approved: dict[str, str] = {str(id_): str(arguments.by) for id_ in arguments.approve}
        done = await fix(place, wanted, diagnosis, is_fixing=arguments.fix, approved=approved, say=tell)
    for id_ in arguments.approve:
        if not any(one.remedy == id_ for one in done):
            tell(f"{id_}: nothing was found that wants it")
    code = FAILED if any(one.outcome == "failed" for one in done) else diagnosis.exit_code
    if (
        done
        and code == 1
        and all(f.verification is not None and f.verification.ok for f in diagnosis.findings if not f.is_explained)
    ):
        code = 0
    if arguments.json:
        show(_plain(diagnosis, done, took))
    else:
        _print(diagnosis, done, took, is_long=arguments.long)
    return code


def _plain(diagnosis: Diagnosis, done: list[Done], took: float) -> dict[str, Any]:
    builtins: Any = msgspec.to_builtins
    findings: list[dict[str, Any]] = builtins(diagnosis.findings)
    for finding in findings:
        if finding["remedy"] is not None:
            finding["remedy"]["class"] = finding["remedy"].pop("kind")
    probes = [
        {"name": s.name, "state": s.state, "why": s.why, "took_ms": s.evidence.took_ms} for s in diagnosis.seen.values()
    ]
    return {"findings": findings, "probes": probes, "done": builtins(done), "seconds": round(took, 2)}


CLASSES = {
    "S": "safe: tenantry doctor --fix",
    "A": "needs approval: tenantry doctor --approve {id} --by YOU",
    "M": "by hand",
}


def _print(diagnosis: Diagnosis, done: list[Done], took: float, *, is_long: bool) -> None:
    outcomes = {one.finding: one for one in done}
    for number, finding in enumerate(diagnosis.findings, 1):
        after = "  (follows from the above)" if finding.is_explained else ""
        say(f"{number}. {finding.says}{after}")
        say(f"   {finding.confidence}; runbook: {finding.section}")
        for evidence in finding.evidence:
            lines = evidence.output.splitlines() or [""]
            say(f"   - {evidence.probe}: {lines[0][:160]}")
            if is_long:
                for line in lines[1:]:
                    say(f"       {line}")
                say(f"       $ {evidence.command}   ({evidence.took_ms:g} ms, {evidence.at})")
        if finding.remedy is not None:
            say(f"   -> {finding.remedy.command}")
            note = CLASSES[finding.remedy.kind].format(id=finding.remedy.id)
            say(f"      {finding.remedy.says + ' ' if finding.remedy.says else ''}({note})")
        outcome = outcomes.get(finding.cause)
        if outcome is not None:
            say(f"      {outcome.outcome}{': ' + outcome.text if outcome.text else ''}")
        if finding.verification is not None:
            say(f"      verified: {'yes' if finding.verification.ok else 'NO'} ({finding.verification.expected})")
        say()
    for seen in diagnosis.blind:
        say(f"{seen.name} could not look: {seen.why}")
    skipped = [f"{seen.name} ({seen.why})" for seen in diagnosis.seen.values() if seen.state == "not_applicable"]
    if skipped:
        say("Not applicable: " + "; ".join(skipped))
    looked = sum(seen.state == "ok" for seen in diagnosis.seen.values())
    verdict = "All is well" if not diagnosis.findings and not diagnosis.blind else f"{len(diagnosis.findings)} findings"
    say(f"{verdict}: {looked} of {len(diagnosis.seen)} probes looked, {took:.1f} s.")
