"""What the doctor does is written down: in a file before and after, in the database when it is there, in the open incident.

The file is TENANTRY_HOME/watch/remedies.jsonl: it needs no database. `tenantry.remedies` is the same for other machines. A
finding that is an incident of its own kind (`rls_breach`, `corruption`) opens one when the doctor is told to act, once; and
three remedies of the health section that failed within an hour page level 1, also while all is only degraded.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from tenantry.ops.incidents.book import Book, Command
from tenantry.runbook.model import Finding, NotApplicable
from tenantry.runbook.place import Place, Refusal, masked

What = Literal["begins", "done", "failed", "verified", "not verified", "paged"]
HOUR_SECONDS = 3600.0
FAILURES_THAT_PAGE = 3
HEALTH = "health-check-failures"
_INSERT = """
insert into tenantry.remedies (service, what, cause, remedy, command, by, text)
values ($1, $2, $3, $4, pg_catalog.left($5, 2000), pg_catalog.left($6, 200), pg_catalog.left($7, 2000))
"""


class Deeds:
    """The written record of one installation."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.path = place.home / "watch" / "remedies.jsonl"
        self.book = Book(place.home)

    async def write(self, what: What, finding: Finding, by: str, text: str = "") -> None:
        """A line in the file, and in the database if it answers. Raises OSError where the file cannot be written."""
        remedy = finding.remedy
        line = {
            "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), "what": what, "section": finding.section,
            "cause": finding.cause, "remedy": "" if remedy is None else remedy.id,
            "command": "" if remedy is None else masked(remedy.command), "by": by, "text": masked(text)[:1000],
        }  # fmt: skip
        self.append(line)
        if what == "paged":
            return
        values = [self.place.settings.service, *(line[n] for n in ("what", "cause", "remedy", "command", "by", "text"))]
        with contextlib.suppress(Refusal, TimeoutError, NotApplicable, OSError):
            await self.place.do("ops", _INSERT, values, seconds=2.0)

    def append(self, line: dict[str, Any]) -> None:
        """One more line, on disk before this returns. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lately(self, seconds: float = HOUR_SECONDS) -> list[dict[str, Any]]:
        """What was written down within that time, oldest first; [] where there is nothing."""
        since = datetime.fromtimestamp(time.time() - seconds, timezone.utc).isoformat(timespec="milliseconds")
        try:
            text = self.path.read_bytes()[-500_000:].decode("utf-8", "replace")
        except OSError:
            return []
        found: list[dict[str, Any]] = []
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                one: Any = json.loads(line)
                if isinstance(one, dict) and str(one.get("at", "")) >= since:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - a line of JSON
                    found.append(one)  # pyright: ignore[reportUnknownArgumentType] - as above
        return found

    def times(self, command: str) -> int:
        """How often a command was begun within the hour, for whatever cause."""
        return sum(one.get("what") == "begins" and one.get("command") == masked(command) for one in self.lately())

    # ------------------------------------------------------------------ incidents

    def tell_incident(self, verb: Literal["cause", "remedy"], by: str, text: str) -> None:
        """A line in the timeline of what is open, if the watcher knows of anything open and not of this line."""
        text = masked(text)[:500]
        memory = self.book.read()
        open_ones = [] if memory is None else [incident for incident in memory.incidents if incident.is_open]
        if open_ones and not all(any(e.what == verb and e.text == text for e in i.timeline) for i in open_ones):
            self._say(Command(verb, by, text=text))

    def open_incidents(self, findings: Iterable[Finding], by: str) -> list[str]:
        """Open an incident for each finding that is one, unless one of that kind is open; gives what was opened."""
        opened: list[str] = []
        for finding in findings:
            if finding.kind is not None and finding.confidence == "certain" and not self._is_open(finding.kind):
                self._say(Command("open", by, kind=finding.kind, text=masked(finding.says)[:500]))
                opened.append(finding.kind)
        return list(dict.fromkeys(opened))

    async def page_after_failures(self, finding: Finding, by: str) -> bool:
        """Page level 1 when the health section's remedies failed three times within the hour; once an hour."""
        lately = self.lately()
        failures = [
            one for one in lately if one.get("section") == HEALTH and one.get("what") in ("failed", "not verified")
        ]
        if len(failures) < FAILURES_THAT_PAGE or any(one.get("what") == "paged" for one in lately):
            return False
        text = f"{len(failures)} remedies of {HEALTH} failed within an hour; the last one for {finding.cause}"
        self._say(Command("open", by, kind="alerts", text=text))
        await self.write("paged", finding, by, text)
        return True

    def _is_open(self, kind: str) -> bool:
        memory = self.book.read()
        is_known = memory is not None and any(i.kind == kind and i.is_open for i in memory.incidents)
        return is_known or any(c is not None and c.verb == "open" and c.kind == kind for _, c in self.book.commands())

    def _say(self, command: Command) -> None:
        with contextlib.suppress(OSError):
            self.book.say(command, wait_seconds=0.0)


def lock_of(home: Path) -> Path:
    """Held by the doctor that acts: one at a time."""
    return home / "watch" / "doctor.lock"
