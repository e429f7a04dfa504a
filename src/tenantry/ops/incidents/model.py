"""What an incident is, as values. Times are seconds since the epoch on the watcher's steady clock (`ops.watch`)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Severity = Literal["critical", "warning"]
Level = Literal["L1", "L2", "L3"]
LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")

Kind = Literal["alerts", "corruption", "rls_breach", "security", "data_breach"]
AT_ONCE: dict[Kind, tuple[Level, ...]] = {
    "alerts": ("L1",),
    "corruption": ("L1", "L2"),
    "rls_breach": ("L1", "L2"),
    "security": LEVELS,
    "data_breach": LEVELS,
}
"""Who is paged at the start (the runbook's "Escalation Contacts": L2 for corruption and RLS breaches, L3 for security)."""


class Part(Struct):
    """One alert of an incident."""

    since: float
    section: str
    summary: str
    value: float | None = None
    until: float | None = None
    """When it ended; None while it fires."""


class Entry(Struct, frozen=True):
    """A line of the timeline. `by` is a person, or `watcher`."""

    at: float
    by: str
    what: str
    text: str = ""


class Incident(Struct):
    """One incident, from its first alert to its end. `group` says what joins it: `critical`, or a warning's name."""

    id: str
    kind: Kind
    severity: Severity
    service: str
    group: str
    opened_at: float
    alerts: dict[str, Part] = field(default_factory=dict[str, Part])
    text: str = ""
    """What a person said who opened it."""
    told_at: float | None = None
    """When the first message left; the clocks of escalation start here."""
    changed_at: float | None = None
    """Since when there is a change that was not told yet."""
    last_told_at: float = 0.0
    acked_at: float | None = None
    acked_by: str | None = None
    resolved_at: float | None = None
    resolved_by: str | None = None
    levels: list[Level] = field(default_factory=list[Level])
    """Who has been paged, in all rounds: they hear of the end."""
    has_it: list[Level] = field(default_factory=list[Level])
    """Who has been paged in this round."""
    steps: list[str] = field(default_factory=list[str])
    """The clock's steps that were taken in this round."""
    round: int = 0
    """Counts the times that it pages anew: reopened, or a new critical after the acknowledgement."""
    is_silenced: bool = False
    """Whether a silence keeps all of it quiet."""
    timeline: list[Entry] = field(default_factory=list[Entry])

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved."""
        return self.resolved_at is None

    @property
    def firing(self) -> list[str]:
        """The alerts that fire now, in the order in which they came."""
        return [name for name, part in self.alerts.items() if part.until is None]


class Notice(Struct, frozen=True):
    """A message to be sent. `key` names it: one key is never sent twice."""

    key: str
    incident: str
    why: Literal["first", "again", "changed", "escalated", "target", "resolved"]
    severity: Severity
    sections: tuple[str, ...]
    level: Level | None
    """Whom it pages; None for the channel that only reads along."""
    title: str
    body: str
    is_over: bool = False
