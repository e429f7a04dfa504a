"""What verify says: findings with their remedy, what was tried, what cannot be proved. Values only; nothing is read here."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Level = Literal["hole", "leak", "note"]
"""hole: rows of another tenant can be read or written, and nothing is served; leak: something can be inferred or reached; note: slow or untidy."""

Outcome = Literal["blocked", "LEAK", "skipped", "control", "failed"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that speaks against isolation."""

    check: str
    """V01 to V45; docs/guides/verify.md has the list."""
    name: str
    """The check in a word: `unprotected`, `row-security`…"""
    level: Level
    kind: str
    """What the object is: table, view, function, role…"""
    object: str
    wrong: str
    gain: str
    """What an attacker gets."""
    remedy: str
    """SQL to paste."""


class Accepted(Struct, frozen=True):
    """What PostgreSQL cannot prevent, or what no look can prove, and how far it goes."""

    what: str
    bound: str


class Tried(Struct, frozen=True):
    """One crossing that was attempted."""

    kind: str
    object: str
    attempt: str
    outcome: Outcome
    detail: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """The whole answer."""

    database: str
    server: str
    role: str
    judged: dict[str, int]
    """How many objects of each kind were looked at."""
    findings: list[Finding]
    accepted: list[Accepted]
    tried: list[Tried] | None = None
    """None without --probe."""
    seconds: float = 0.0

    @property
    def leaks(self) -> list[Tried]:
        """Crossings that succeeded, and controls that failed."""
        return [one for one in self.tried or () if one.outcome in ("LEAK", "failed")]

    @property
    def is_proven(self) -> bool:
        """No hole and no leak was found, and nothing that was tried went through. Notes are advice, and speak against nothing."""
        return all(finding.level == "note" for finding in self.findings) and not self.leaks
