"""The watcher's doctor: for each incident that opens, `tenantry doctor` once, in a process of its own, and what it found into the incident.

Whoever is paged then reads the cause and the remedy's command with the page, or with the next message. Nothing waits for it: it reads
the watcher's file, speaks to the desk as a person would (a command in the inbox), is alone, has a deadline, and is polite to the CPU.
What it finds certain and an incident of its own kind (`corruption`, `rls_breach`) is opened, as the runbook wants it. It repairs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenantry.processes.probe import ends_within

if TYPE_CHECKING:
    from tenantry.ops.incidents.model import Incident
    from tenantry.settings import Settings

LOOK_SECONDS = 1.0
DEADLINE_SECONDS = 25.0
"""The doctor ends within five seconds; this is for a machine that has no time at all."""
REST_SECONDS = 60.0
"""Between two runs, at a tick of 15 s: a storm of incidents is no storm of doctors."""
NICE = 10
MOST_CAUSES = 3
_LITERAL = re.compile(r"'[^']*'")
BY = "doctor"
log = logging.getLogger("tenantry.watcher")


async def diagnosis(settings: Settings, ended: asyncio.Event) -> None:
    """Until the end."""
    from tenantry.ops.incidents.book import Book

    book = Book(settings.home)
    looked: set[str] = set()
    written = 0.0
    while not await ends_within(ended, LOOK_SECONDS):
        try:
            at = book.path.stat().st_mtime
        except OSError:
            continue
        if at == written:
            continue
        written = at
        memory = await asyncio.to_thread(book.read)
        new = [] if memory is None else wanted(memory.incidents, looked)
        if not new:
            continue
        looked |= {incident.id for incident in new}
        report = await _doctor()
        if report is not None:
            await asyncio.to_thread(_tell, settings, [incident.id for incident in new], report)
        if await ends_within(ended, REST_SECONDS * settings.tick / 15.0):
            return


def wanted(incidents: Sequence[Incident], looked: set[str]) -> list[Incident]:
    """Those that are open, and that no doctor has looked for. Pure."""
    return [
        one for one in incidents
        if one.is_open and one.id not in looked and not any(entry.what == "cause" for entry in one.timeline)
    ]  # fmt: skip


class Remedy(Struct):
    """Of the doctor's report: what to type."""

    command: str = ""


class Found(Struct):
    """One finding of the report, as far as an incident wants it."""

    says: str
    confidence: str
    is_explained: bool = False
    kind: str | None = None
    remedy: Remedy | None = None


class Report(Struct):
    """`tenantry doctor --json`."""

    findings: list[Found]


def causes(report: Report) -> list[str]:
    """The first causes in words, each with its remedy's command; literals of statements are nobody's business. Pure."""
    told: list[str] = []
    for finding in report.findings:
        if finding.is_explained or finding.confidence == "possible":
            continue
        command = f" -> {finding.remedy.command}" if finding.remedy is not None and finding.remedy.command else ""
        told.append(_LITERAL.sub("'…'", finding.says + command)[:500])
    return told[:MOST_CAUSES]


def kinds(report: Report) -> dict[str, str]:
    """Incidents of their own kind that the report is certain of, with words. Pure."""
    found: dict[str, str] = {}
    for finding in report.findings:
        if finding.kind is not None and finding.confidence == "certain":
            found.setdefault(finding.kind, _LITERAL.sub("'…'", finding.says)[:500])
    return found


async def _doctor() -> Report | None:
    """What `tenantry doctor --json` says; None if it says nothing in time."""
    import psutil

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tenantry.cli.main", "doctor", "--json",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    with contextlib.suppress(psutil.Error):
        psutil.Process(process.pid).nice(NICE)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            output, _ = await process.communicate()
        return msgspec.json.decode(output, type=Report)
    except (TimeoutError, msgspec.DecodeError):
        log.warning("the doctor had nothing to say of the incident")
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _tell(settings: Settings, ids: Sequence[str], report: Report) -> None:
    from tenantry.ops.incidents.book import Book, Command

    book = Book(settings.home)
    memory = book.read()
    open_kinds: set[str] = set() if memory is None else {one.kind for one in memory.incidents if one.is_open}
    with contextlib.suppress(OSError):
        for text in causes(report) or ["nothing was found that explains it"]:
            for id_ in ids:
                book.say(Command("cause", BY, id_, text=text), wait_seconds=0.0)
        for kind, text in kinds(report).items():
            if kind not in open_kinds:
                book.say(Command("open", BY, kind=kind, text=text), wait_seconds=0.0)
