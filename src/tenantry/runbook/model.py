"""What a runbook is made of, as values: probes, what they saw, causes, remedies, sections.

A probe is read-only and leaves evidence; a cause judges what was seen, without I/O, so that a table tests it; a remedy has a
class: S is safe and run by `--fix`, A needs somebody's approval, M is printed and never run. No cause is named only because a
symptom fits: each needs evidence of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from tenantry.runbook.place import Place

Confidence = Literal["certain", "likely", "possible"]
SURE: Mapping[Confidence, int] = {"certain": 0, "likely": 1, "possible": 2}
Class = Literal["S", "A", "M"]
Needs = Literal["none", "ops", "owner", "superuser", "os"]
State = Literal["ok", "failed", "late", "not_applicable"]
"""Of a probe: it has an answer (which may be bad news), it could not look, it had no answer in time, there is nothing to look at."""


class NotApplicable(Exception):
    """There is nothing to look at: this is not configured, or not of this kind of installation. Counts as having looked."""


class Evidence(Struct, frozen=True):
    """What was looked at, so that a person can look again. Secrets are masked."""

    probe: str
    command: str
    output: str
    at: str
    took_ms: float


class Look(Struct):
    """What a probe gives: values to judge by, and the words that are its evidence."""

    values: dict[str, Any]
    output: str


class Probe(Struct, frozen=True):
    """One way of looking. `command` is what a person would type to see the same."""

    name: str
    command: str
    look: Callable[[Place], Awaitable[Look]]
    deadline_seconds: float = 3.0


class Seen(Struct, frozen=True):
    """What became of a probe."""

    name: str
    state: State
    values: dict[str, Any]
    why: str
    evidence: Evidence


def rows_of(values: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of rows among values; [] where there is none."""
    found: list[dict[str, Any]] = values.get(key) or []
    return found


class Facts:
    """Everything that was seen, by probe."""

    def __init__(self, seen: Mapping[str, Seen]) -> None:
        self.seen = seen

    def of(self, probe: str) -> dict[str, Any]:
        """A probe's values; {} if it did not look, or saw nothing."""
        found = self.seen.get(probe)
        return found.values if found is not None and found.state == "ok" else {}

    def rows(self, probe: str, key: str) -> list[dict[str, Any]]:
        """A list of rows among a probe's values; [] where there is none."""
        return rows_of(self.of(probe), key)

    def table(self, probe: str, key: str) -> dict[str, Any]:
        """An object among a probe's values; {} where there is none."""
        found: dict[str, Any] = self.of(probe).get(key) or {}
        return found

    def state(self, probe: str) -> State | None:
        """What became of a probe; None if it was not asked."""
        found = self.seen.get(probe)
        return None if found is None else found.state

    def evidence(self, probes: Sequence[str]) -> list[Evidence]:
        """The evidence of these probes, as far as they looked."""
        return [self.seen[name].evidence for name in probes if name in self.seen]


class Verdict(Struct, frozen=True):
    """A cause that was found: how sure, by which probes, and the values that its words and remedy name."""

    confidence: Confidence
    probes: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    remedy: Remedy | None = None
    """Instead of the cause's own, where the same cause wants another remedy here."""


class Verification(Struct, frozen=True):
    """How it is known that a remedy worked: `holds` is polled with fresh facts of `probe` until `within_seconds`."""

    probe: str
    expected: str
    holds: Callable[[dict[str, Any]], bool]
    within_seconds: float = 30.0


Act = Callable[["Place", Mapping[str, Any]], Awaitable[str]]


class Remedy(Struct, frozen=True):
    """What to do. `command` is what a person types, a template over the verdict's fields; `act` does the same (None: class M)."""

    id: str
    kind: Class
    command: str
    needs: Needs
    says: str = ""
    act: Act | None = None
    verification: Verification | None = None
    who: str = "L1"
    most_an_hour: int = 10
    """A remedy that did not help so often will not help; then a person is wanted."""


class Cause(Struct, frozen=True):
    """One cause. `explains` are causes that follow from this one, and are listed after it."""

    id: str
    says: str
    judge: Callable[[Facts], Verdict | None]
    remedy: Remedy | None = None
    explains: frozenset[str] = frozenset()
    kind: str | None = None
    """Of the incident that it is: `rls_breach`, `corruption`; None for an ordinary one."""


class Section(Struct, frozen=True):
    """One section of the runbook: its symptoms (regular expressions, any case), its alerts, where it looks, what it finds.

    `prose` is Markdown for the page: what the section is about, and which commands of older runbooks are wrong or dangerous.
    """

    slug: str
    title: str
    symptoms: tuple[str, ...]
    alerts: tuple[str, ...]
    probes: tuple[Probe, ...]
    causes: tuple[Cause, ...]
    prose: str = ""


class Shown(Struct, frozen=True):
    """A remedy as it is shown and approved."""

    id: str
    kind: Class
    command: str
    needs: Needs
    says: str
    who: str


class Checked(Struct):
    """What a verification found."""

    probe: str
    expected: str
    got: str
    ok: bool


class Finding(Struct):
    """One cause with its evidence, what to do, and, when it was done, whether that worked."""

    section: str
    cause: str
    says: str
    confidence: Confidence
    evidence: list[Evidence]
    remedy: Shown | None
    verification: Checked | None = None
    kind: str | None = None
    is_explained: bool = False
    """Whether another finding explains this one."""


def remedy_of(cause: Cause, verdict: Verdict) -> Remedy | None:
    """The remedy of a cause as it was found."""
    return verdict.remedy or cause.remedy
