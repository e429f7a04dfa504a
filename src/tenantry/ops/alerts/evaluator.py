"""The rules over time: one call a tick, and a memory that outlives a restart.

Times are seconds of the monotonic clock, which the caller reads: setting the wall clock changes nothing. `dump` and `load` carry
verdicts and samples over a restart of the watcher, so that there is no second page, no lost end, and the clocks go on; after
a reboot, when the monotonic clock starts anew, the time in between is taken from the wall clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tenantry.ops.alerts import promql
from tenantry.ops.alerts.history import History, Series
from tenantry.ops.alerts.judge import Transition, Verdict, evaluate
from tenantry.ops.alerts.limits import Limits, defaults
from tenantry.ops.alerts.rules import METRICS, RULES, Rule

TICK_SECONDS = 15.0
"""The tick that the rules' durations are written for; another one shrinks or stretches them all alike."""


class Memory(Struct):
    """What `dump` gives: JSON through msgspec. `boot` tells whether the monotonic clock is still the same one."""

    boot: str
    monotonic: float
    wall: float
    verdicts: dict[str, Verdict]
    samples: list[tuple[str, dict[str, str], bool, list[tuple[float, float]]]]


class Evaluator:
    """Judges the rules each tick."""

    def __init__(
        self,
        rules: Sequence[Rule] = RULES,
        *,
        limits: Limits | None = None,
        tick_seconds: float = TICK_SECONDS,
        increase: promql.Increase = promql.rises,
    ) -> None:
        self.rules = rules
        self.limits = limits or defaults(rules)
        self.history = History(METRICS, scale=tick_seconds / TICK_SECONDS, increase=increase)
        self.verdicts: dict[str, Verdict] = {}

    def tick(self, now: float, values: Mapping[Series, float | None] | None) -> list[Transition]:
        """One sampling and one evaluation; `values` is None when the sampling failed. Gives what changed."""
        if values is not None:
            self.history.record(now, values)
        self.verdicts, changes = evaluate(self.rules, self.verdicts, self.history, now, self.limits)
        return changes

    def firing(self) -> list[str]:
        """The names of the alerts that fire, in the order of the rules."""
        return [rule.name for rule in self.rules if self.verdicts.get(rule.name, Verdict()).state == "firing"]

    def dump(self, *, boot: str, monotonic: float, wall: float) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode(Memory(boot, monotonic, wall, self.verdicts, self.history.dump()))

    def load(self, dumped: bytes, *, boot: str, monotonic: float, wall: float) -> bool:
        """Go on from what `dump` gave. False, and nothing taken, if it cannot be read or comes from the future."""
        try:
            memory = msgspec.json.decode(dumped, type=Memory)
        except msgspec.DecodeError:
            return False
        if memory.boot == boot:
            shift = 0.0
            if memory.monotonic > monotonic:
                return False
        else:
            shift = (monotonic - memory.monotonic) - max(0.0, wall - memory.wall)
        known: dict[str, Any] = {rule.name: rule for rule in self.rules}
        self.verdicts = {name: verdict.shifted(shift) for name, verdict in memory.verdicts.items() if name in known}
        self.history.load(memory.samples, shift=shift)
        return True
