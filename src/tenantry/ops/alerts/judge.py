"""From readings to states: inactive → pending → firing → inactive. Pure: no clock, no I/O; a table tests it.

Fires when its condition was true for the hold, both ends counted (60 s at a tick of 15 s are five evaluations). Ends when it was
false for the keep, counted from the first false evaluation; true again inside the keep is still the same firing. Only `now` moves
the clocks: evaluations that were missed (a suspended machine) are not made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, structs

from tenantry.ops.alerts.history import ALMOST, History
from tenantry.ops.alerts.rules import Reading, Rule

State = Literal["inactive", "pending", "firing"]


class Verdict(Struct, frozen=True):
    """Where an alert stands. Times are seconds of the monotonic clock."""

    state: State = "inactive"
    since: float = 0.0
    """When it came into this state."""
    true_since: float | None = None
    """Since when the condition has held without a break."""
    false_since: float | None = None
    """While firing: the first evaluation of the present quiet."""
    value: float | None = None
    """What the last evaluation saw."""

    def shifted(self, by: float) -> Verdict:
        """The same on a clock that is `by` seconds ahead (it starts anew at a reboot)."""
        move = {
            name: moment + by
            for name, moment in (
                ("since", self.since),
                ("true_since", self.true_since),
                ("false_since", self.false_since),
            )
            if moment is not None
        }
        return structs.replace(self, **move)


class Transition(Struct, frozen=True):
    """A change of state of one alert."""

    at: float
    alert: str
    to: State
    value: float | None = None


def judge(rule: Rule, before: Verdict, reading: Reading, now: float, *, scale: float = 1.0) -> Verdict:
    """The state after an evaluation at `now`; `scale` shrinks hold and keep alike."""
    value = reading.value
    if reading.is_true:
        true_since = now if before.true_since is None else before.true_since
        if before.state == "firing":
            return Verdict("firing", before.since, true_since, None, value)
        if now - true_since >= rule.hold_seconds * scale - ALMOST:
            return Verdict("firing", now, true_since, None, value)
        since = before.since if before.state == "pending" else now
        return Verdict("pending", since, true_since, None, value)
    if before.state == "firing":
        false_since = now if before.false_since is None else before.false_since
        if now - false_since < rule.keep_seconds * scale - ALMOST:
            return Verdict("firing", before.since, None, false_since, value)
        return Verdict("inactive", now, None, None, value)
    since = before.since if before.state == "inactive" else now
    return Verdict("inactive", since, None, None, value)


def evaluate(
    rules: Iterable[Rule],
    verdicts: Mapping[str, Verdict],
    history: History,
    now: float,
    limits: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, Verdict], list[Transition]]:
    """One evaluation of all rules: the new verdicts by name, and what changed, in the order of the rules."""
    after: dict[str, Verdict] = {}
    changes: list[Transition] = []
    for rule in rules:
        before = verdicts.get(rule.name, Verdict())
        reading = rule.condition(history, now, limits[rule.name])
        verdict = after[rule.name] = judge(rule, before, reading, now, scale=history.scale)
        if verdict.state != before.state:
            changes.append(Transition(now, rule.name, verdict.state, verdict.value))
    return after, changes
