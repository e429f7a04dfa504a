"""The desk: what becomes of alerts that fire. Grouping, muting, acknowledgement, the clocks of escalation. Pure.

Criticals of a service share one open incident; a warning has its own. What fires is told of after a short wait, changes at most
once a minute. The clocks run from the first message: L1 again at 5 and 10 minutes, L2 at 15, L3 at 45 and every 5 minutes, all
until somebody acknowledges; L2 at 60 if it is not resolved, acknowledged or not. Nothing here reads a clock or sends a byte:
`now` comes in, notices go out, and `incidents` is all that must be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

from tenantry.ops.alerts import Rule, Verdict
from tenantry.ops.incidents import messages
from tenantry.ops.incidents.model import AT_ONCE, Entry, Incident, Kind, Level, Notice, Part
from tenantry.ops.incidents.silence import Silence

MINUTE = 60.0
MUTES: Mapping[str, frozenset[str]] = {
    "DatabaseUnavailable": frozenset({"HealthDegraded", "DatabaseSlow", "ConnectionPoolHigh"}),
    "HealthCheckFailing": frozenset({"HealthDegraded"}),
}
"""What an alert makes pointless to tell of while it fires."""


class Pace(Struct, frozen=True):
    """The times of the desk, in seconds at the ordinary tick; `scaled` shrinks them all alike, for drills."""

    wait_critical: float = 10.0
    wait_warning: float = 30.0
    between_changes: float = MINUTE
    repeat_warning: float = 12 * 60 * MINUTE
    reopen: float = 10 * MINUTE
    again: tuple[float, ...] = (5 * MINUTE, 10 * MINUTE)
    second: float = 15 * MINUTE
    third: float = 45 * MINUTE
    third_again: float = 5 * MINUTE
    target: float = 60 * MINUTE
    lately: float = 15.0
    """What fired so long ago at the most is told of as of then: to sample took its time, and that is not waited for again."""

    def scaled(self, by: float) -> Pace:
        """The same, `by` times as long."""
        return Pace(
            self.wait_critical * by, self.wait_warning * by, self.between_changes * by, self.repeat_warning * by,
            self.reopen * by, tuple(t * by for t in self.again), self.second * by, self.third * by, self.third_again * by,
            self.target * by, self.lately * by,
        )  # fmt: skip


class Desk:
    """All incidents of a service."""

    def __init__(
        self, rules: Iterable[Rule], *, service: str, new_id: Callable[[], str], pace: Pace | None = None
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.service = service
        self.new_id = new_id
        self.pace = pace or Pace()
        self.incidents: dict[str, Incident] = {}
        self.silences: dict[str, Silence] = {}

    # ------------------------------------------------------------------ what comes in

    def tick(self, now: float, verdicts: Mapping[str, Verdict], *, ahead: float | None = None) -> list[Notice]:
        """What is to be sent after an evaluation, in order; nothing of it was given out before.

        `ahead` is how far the clock of `now` is ahead of the verdicts' own; None where what fires is taken to fire now.
        """
        firing = [name for name, verdict in verdicts.items() if verdict.state == "firing" and name in self.rules]
        told = [name for name in firing if not self.is_muted(name, firing, now)]
        for name in told:
            since = now if ahead is None else verdicts[name].since + ahead
            self._fires(name, verdicts[name], since if now - self.pace.lately <= since <= now else now)
        for incident in self.incidents.values():
            if incident.is_open and incident.kind == "alerts":
                self._ends(incident, set(firing), now)
        notices: list[Notice] = []
        for incident in self.incidents.values():
            if incident.is_open and self._is_silent(incident, firing, now):
                continue
            if incident.is_open and incident.is_silenced:
                self._speaks_again(incident, now)
            notices += self._due(incident, now)
        return notices

    def _is_silent(self, incident: Incident, firing: list[str], now: float) -> bool:
        """Whether all that fires in it is muted by now: then nothing of it is told."""
        mine = incident.firing
        if not mine or not all(self.is_muted(name, firing, now) for name in mine):
            return False
        incident.is_silenced = incident.is_silenced or any(self.is_silenced(name, now) for name in mine)
        return True

    def _speaks_again(self, incident: Incident, now: float) -> None:
        """A silence is over, and it still fires: that is told like a beginning, to L1 first, unless somebody has it."""
        incident.is_silenced = False
        incident.timeline.append(Entry(now, "watcher", "no longer silenced"))
        if incident.told_at is not None and incident.acked_at is None:
            self._again(incident)

    def is_muted(self, name: str, firing: Iterable[str], now: float) -> bool:
        """Whether an alert is not told of: another one says it better, or somebody silenced it."""
        return any(name in MUTES.get(other, ()) for other in firing) or self.is_silenced(name, now)

    def is_silenced(self, name: str, now: float) -> bool:
        """Whether somebody silenced it."""
        return any(silence.mutes(self.labels(name), now) for silence in self.silences.values())

    def labels(self, name: str) -> dict[str, str]:
        """The labels of an alert, as Prometheus would have them."""
        rule = self.rules[name]
        return {"alertname": name, "severity": rule.severity, "service": self.service, "section": rule.section}

    def acknowledge(self, id_: str, by: str, now: float) -> bool:
        """Somebody has it: no repeats and no next level. False if it is not open or has been acknowledged."""
        incident = self.incidents.get(id_)
        if incident is None or not incident.is_open or incident.acked_at is not None:
            return False
        incident.acked_at, incident.acked_by = now, by
        incident.timeline.append(Entry(now, by, "acknowledged"))
        return True

    def unacknowledge(self, id_: str, by: str, now: float) -> bool:
        """Nobody has it any more: the clocks go on from where they are. False if it is not open or nobody had it."""
        incident = self.incidents.get(id_)
        if incident is None or not incident.is_open or incident.acked_at is None:
            return False
        incident.acked_at = incident.acked_by = None
        incident.timeline.append(Entry(now, by, "gave it back"))
        return True

    def note(self, id_: str, by: str, text: str, now: float) -> bool:
        """A line of the timeline."""
        incident = self.incidents.get(id_)
        if incident is None:
            return False
        incident.timeline.append(Entry(now, by, "note", text))
        return True

    def resolve(self, id_: str, by: str, now: float) -> bool:
        """Somebody says that it is over. What still fires opens another one at the next tick."""
        incident = self.incidents.get(id_)
        if incident is None or not incident.is_open:
            return False
        self._close(incident, by, now)
        return True

    def open(self, kind: Kind, by: str, text: str, now: float) -> Incident:
        """An incident that a person, or the doctor, opens. One of the kinds that page further at once."""
        incident = Incident(self.new_id(), kind, "critical", self.service, kind, now, text=text, changed_at=now)
        incident.timeline.append(Entry(now, by, "opened", text))
        self.incidents[incident.id] = incident
        return incident

    def forget(self, before: float) -> None:
        """Drop what was resolved before that moment, and silences that are over: the memory stays small."""
        self.incidents = {i: x for i, x in self.incidents.items() if x.resolved_at is None or x.resolved_at >= before}
        self.silences = {i: s for i, s in self.silences.items() if s.until >= before}

    # ------------------------------------------------------------------ alerts and their incidents

    def _fires(self, name: str, verdict: Verdict, now: float) -> None:
        rule = self.rules[name]
        incident = self._of(name, now)
        part = incident.alerts.get(name)
        if part is not None and part.until is None:
            if verdict.false_since is None:  # of the quiet before its end it would say that nothing is the matter
                part.value, part.summary = verdict.value, messages.summary(rule, verdict.value)
            return
        incident.alerts[name] = Part(now, rule.section, messages.summary(rule, verdict.value), verdict.value)
        incident.timeline.append(Entry(now, "watcher", "fires", name))
        if incident.changed_at is None:
            incident.changed_at = now
        if incident.acked_at is not None and rule.severity == "critical":
            # Whoever has it does not know of this one: it pages like a new one.
            self._again(incident)

    def _of(self, name: str, now: float) -> Incident:
        rule = self.rules[name]
        group = "critical" if rule.severity == "critical" else name
        mine = [i for i in self.incidents.values() if i.group == group and i.kind == "alerts"]
        for incident in mine:
            if incident.is_open:
                return incident
        for incident in reversed(mine):
            if incident.resolved_at is not None and now - incident.resolved_at < self.pace.reopen:
                incident.resolved_at = incident.resolved_by = None
                incident.timeline.append(Entry(now, "watcher", "reopened"))
                self._again(incident)
                return incident
        made = Incident(self.new_id(), "alerts", rule.severity, self.service, group, now, changed_at=now)
        self.incidents[made.id] = made
        return made

    def _again(self, incident: Incident) -> None:
        incident.acked_at = incident.acked_by = None
        incident.told_at = None
        incident.steps = []
        incident.has_it = []
        incident.round += 1

    def _ends(self, incident: Incident, firing: set[str], now: float) -> None:
        for name, part in incident.alerts.items():
            if part.until is None and name not in firing:
                part.until = now
                incident.timeline.append(Entry(now, "watcher", "ended", name))
                if incident.changed_at is None:
                    incident.changed_at = now
        if not incident.firing:
            self._close(incident, "watcher", now)

    def _close(self, incident: Incident, by: str, now: float) -> None:
        incident.resolved_at, incident.resolved_by = now, by
        incident.changed_at = now
        incident.timeline.append(Entry(now, by, "resolved"))

    # ------------------------------------------------------------------ what is due

    def _due(self, incident: Incident, now: float) -> list[Notice]:
        pace = self.pace
        if not incident.is_open:
            return self._farewell(incident, now)
        if incident.told_at is None:
            wait = pace.wait_warning if incident.severity == "warning" else pace.wait_critical
            begun = incident.changed_at if incident.changed_at is not None else incident.opened_at
            return self._first(incident, now) if now - begun >= wait or incident.kind != "alerts" else []
        notices: list[Notice] = []
        if incident.changed_at is not None and now - incident.last_told_at >= pace.between_changes:
            notices += self._say(incident, "changed", None, now, f"changed-{incident.changed_at:.0f}")
            incident.changed_at = None
            incident.last_told_at = now
        notices += self._warn_again(incident, now) if incident.severity == "warning" else self._escalate(incident, now)
        return notices

    def _first(self, incident: Incident, now: float) -> list[Notice]:
        incident.told_at = incident.last_told_at = now
        incident.changed_at = None
        notices: list[Notice] = []
        if incident.severity == "critical":
            for level in AT_ONCE[incident.kind]:
                notices += self._say(incident, "first", level, now, "0")
        return notices + self._say(incident, "first", None, now, "0")

    def _warn_again(self, incident: Incident, now: float) -> list[Notice]:
        if incident.acked_at is not None or now - incident.last_told_at < self.pace.repeat_warning:
            return []
        incident.last_told_at = now
        return self._say(incident, "again", None, now, f"{now:.0f}")

    def _escalate(self, incident: Incident, now: float) -> list[Notice]:
        """The clocks. Of steps that were missed (the watcher was down) each is taken once, the repeats as one."""
        assert incident.told_at is not None
        pace = self.pace
        age = now - incident.told_at
        notices: list[Notice] = []
        if incident.acked_at is None:
            passed = [at for at in pace.again if at <= age]
            if passed and age < pace.second:
                notices += self._step(incident, f"again-{len(passed)}", "again", "L1", now)
            if age >= pace.second:
                notices += self._step(incident, "second", "escalated", "L2", now)
            if age >= pace.third:
                repeat = int((age - pace.third) // pace.third_again)
                notices += self._step(incident, f"third-{repeat}", "escalated", "L3", now)
        if age >= pace.target and "L2" not in incident.has_it:
            notices += self._step(incident, "target", "target", "L2", now)
        return notices

    def _step(
        self, incident: Incident, step: str, why: Literal["again", "escalated", "target"], level: Level, now: float
    ) -> list[Notice]:
        if step in incident.steps or (step == "second" and level in incident.has_it):
            return []
        incident.steps.append(step)
        return self._say(incident, why, level, now, step)

    def _farewell(self, incident: Incident, now: float) -> list[Notice]:
        """The end, to everyone who heard of the beginning; nobody who heard nothing hears of the end."""
        if incident.changed_at is None:
            return []
        incident.changed_at = None
        if incident.told_at is None and incident.round == 0:
            return []
        # One for all who were paged, whatever their level: the outbox knows which channels took a page of it.
        notices = self._say(incident, "resolved", incident.levels[0], now, "end") if incident.levels else []
        return notices + self._say(incident, "resolved", None, now, "end")

    def _say(
        self,
        incident: Incident,
        why: Literal["first", "again", "changed", "escalated", "target", "resolved"],
        level: Level | None,
        now: float,
        step: str,
    ) -> list[Notice]:
        if level is not None:
            for heard in (incident.levels, incident.has_it):
                if level not in heard:
                    heard.append(level)
            if why != "resolved":
                incident.timeline.append(Entry(now, "watcher", "paged", level))
        title, body = messages.write(incident, why, self.rules, now, self.pace)
        sections = tuple(dict.fromkeys(part.section for part in incident.alerts.values()))
        key = f"{incident.id}/{incident.round}/{why}/{level or 'read'}/{step}"
        return [Notice(key, incident.id, why, incident.severity, sections, level, title, body, why == "resolved")]
