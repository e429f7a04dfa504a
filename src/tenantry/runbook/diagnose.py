"""Look everywhere at once, then think. Looking has deadlines, each probe its own and all together five seconds; thinking is pure."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import import_module

from msgspec import Struct

from tenantry.runbook.model import (
    SURE,
    Cause,
    Evidence,
    Facts,
    Finding,
    Needs,
    NotApplicable,
    Probe,
    Section,
    Seen,
    Shown,
    Verdict,
    remedy_of,
)  # fmt: skip
from tenantry.runbook.place import Place, Refusal, masked

USUAL_SECONDS, MOST_PATIENCE = 0.7, 2.2
"""Loading takes half a second on a machine that has time; on one that has none, deadlines are longer alike."""
WHOLE_SECONDS, LEAST_SECONDS = 4.3, 2.8
"""For looking, counted from the start of the command; less than the least tells nothing."""
MOST_OUTPUT = 4000


class Diagnosis(Struct):
    """What was seen, and what follows."""

    seen: dict[str, Seen]
    findings: list[Finding]

    @property
    def blind(self) -> list[Seen]:
        """The probes that could not look, which is itself evidence."""
        return [seen for seen in self.seen.values() if seen.state in ("failed", "late")]

    @property
    def exit_code(self) -> int:
        """0: all is well, and every probe looked or had nothing to look at; 1: findings; 2: a probe could not look."""
        if self.findings:
            return 1
        return 2 if self.blind else 0


async def look(place: Place, probes: Iterable[Probe], *, seconds: float = WHOLE_SECONDS) -> dict[str, Seen]:
    """Every probe side by side, for so long; what has no answer in time says so."""
    # Those that take long by themselves begin first: on a busy machine the last one begins late.
    wanted = {probe.name: probe for probe in sorted(probes, key=lambda probe: -probe.deadline_seconds)}
    tasks = {name: asyncio.create_task(_look(place, probe)) for name, probe in wanted.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    seen: dict[str, Seen] = {}
    for name, task in tasks.items():
        if task.done():
            seen[name] = task.result()
        else:
            task.cancel()
            seen[name] = _seen(wanted[name], "late", {}, "no answer in the time of the whole run", "", seconds * 1000)
    await asyncio.gather(
        *tasks.values(), return_exceptions=True
    )  # those that were cancelled: their connections end now
    return seen


async def _look(place: Place, probe: Probe) -> Seen:
    started = time.perf_counter()

    def took() -> float:
        return round((time.perf_counter() - started) * 1000, 1)

    try:
        async with asyncio.timeout(probe.deadline_seconds * place.patience):
            found = await probe.look(place)
        return _seen(probe, "ok", found.values, "", found.output, took())
    except NotApplicable as error:
        return _seen(probe, "not_applicable", {}, str(error), str(error), took())
    except TimeoutError:
        return _seen(probe, "late", {}, f"no answer in {probe.deadline_seconds:g} s", "", took())
    except Refusal as error:
        return _seen(
            probe,
            "failed",
            {"sqlstate": error.sqlstate},
            f"{error.sqlstate} {error.words}".strip(),
            error.words,
            took(),
        )
    except Exception as error:  # a probe that breaks is evidence, and no reason to stop
        why = f"{type(error).__name__}: {error}"
        return _seen(probe, "failed", {}, masked(why), masked(why), took())


def _seen(probe: Probe, state: str, values: dict[str, object], why: str, output: str, took_ms: float) -> Seen:
    at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    words = masked(output if output else why)[:MOST_OUTPUT]
    evidence = Evidence(probe.name, probe.command, words, at, took_ms)
    return Seen(probe.name, state, values, why, evidence)  # pyright: ignore[reportArgumentType] - a State


def think(
    sections: Sequence[Section], seen: Mapping[str, Seen], rights: Mapping[Needs, bool] | None = None
) -> list[Finding]:
    """The causes that the facts show: what explains others first, then by confidence, then in the sections' order.

    `rights` says what a remedy may need and has here; a remedy that needs more is for a person (class M).
    """
    rights = rights or {}
    facts = Facts(seen)
    found: list[tuple[Section, Cause, Verdict]] = []
    known: set[str] = set()
    for section in sections:
        for cause in section.causes:
            if cause.id in known:
                continue
            verdict = cause.judge(facts)
            if verdict is not None:
                known.add(cause.id)
                found.append((section, cause, verdict))
    explained = {other for _, cause, verdict in found if verdict.confidence != "possible" for other in cause.explains}
    ordered = sorted(enumerate(found), key=lambda e: (e[1][1].id in explained, SURE[e[1][2].confidence], e[0]))
    return [
        _finding(section, cause, verdict, facts, rights, is_explained=cause.id in explained)
        for _, (section, cause, verdict) in ordered
    ]


def _finding(
    section: Section,
    cause: Cause,
    verdict: Verdict,
    facts: Facts,
    rights: Mapping[Needs, bool],
    *,
    is_explained: bool,
) -> Finding:
    fields = _Fields(verdict.fields)
    remedy = remedy_of(cause, verdict)
    shown = None
    if remedy is not None:
        kind, says = remedy.kind, remedy.says.format_map(fields)
        if kind != "M" and not rights.get(remedy.needs, True):
            kind, says = "M", f"{says} It needs {NEEDED[remedy.needs]}.".strip()
        if remedy.act is None:
            kind = "M"
        command = remedy.command.format_map(fields)
        shown = Shown(remedy.id, kind, command, remedy.needs, says, remedy.who)
    return Finding(
        section.slug, cause.id, cause.says.format_map(fields), verdict.confidence, facts.evidence(verdict.probes), shown,
        kind=cause.kind, is_explained=is_explained,
    )  # fmt: skip


NEEDED: Mapping[Needs, str] = {
    "none": "nothing",
    "ops": "a sign-in as tenantry_ops (DATABASE_OPS_URL), which is not to be had",
    "owner": "a sign-in as tenantry_migrate (DATABASE_ADMIN_URL), which is not to be had",
    "superuser": "a superuser of the database: tenantry doctor --superuser-url URL",
    "os": "another account of the operating system",
}


class _Fields(dict[str, object]):
    """Fields of a template; one that is missing shows its name rather than breaking the doctor."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


async def diagnose(place: Place, sections: Sequence[Section], *, used_seconds: float = 0.0) -> Diagnosis:
    """Look and think, for these sections. `used_seconds` of the run are gone already: loading takes longer on a busy machine."""
    started = time.perf_counter() - used_seconds
    for heavy in ("psutil", "psycopg"):
        import_module(heavy)  # before any deadline runs, not within one
    probes = {probe.name: probe for section in sections for probe in section.probes}
    try:
        used = time.perf_counter() - started
        # Slow is not dead, and late is better than blind: whoever was slow to load is slow to look.
        place.patience = min(MOST_PATIENCE, max(1.0, used / USUAL_SECONDS))
        left = max(LEAST_SECONDS * place.patience, WHOLE_SECONDS - used)
        seen, rights = await asyncio.gather(look(place, probes.values(), seconds=left), place.rights(left))
    finally:
        place.rest()
    return Diagnosis(seen, think(sections, seen, rights))


def chosen(
    sections: Sequence[Section], *, slug: str | None = None, alert: str | None = None, symptom: str | None = None
) -> list[Section]:
    """The sections of a slug, an alert or a symptom; all of them for nothing. Raises LookupError with the near names."""
    if slug is not None:
        found = [section for section in sections if section.slug == slug]
    elif alert is not None:
        found = [section for section in sections if alert.lower() in (name.lower() for name in section.alerts)]
    elif symptom is not None:
        found = [
            section
            for section in sections
            if any(re.search(pattern, symptom, re.IGNORECASE) for pattern in section.symptoms)
        ]
    else:
        return list(sections)
    if not found:
        message = ", ".join(section.slug for section in sections)
        raise LookupError(message)
    return found
