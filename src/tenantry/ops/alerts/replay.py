"""Written cases, run through the rules with a clock of their own: what would have fired, and when.

The form is YAML: an `interval` in seconds and `cases`, each with `series` of values in a short notation, and the `transitions`
that are expected. A token is `v*n` (n samples of v), `+d*n` (each the one before plus d), `_*n` (missed), `S` (ends here;
values after it begin the series anew).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct, field

from tenantry.errors import StartError
from tenantry.ops.alerts import promql
from tenantry.ops.alerts.evaluator import Evaluator
from tenantry.ops.alerts.history import Series
from tenantry.ops.alerts.rules import RULES

MOST_SAMPLES = 100_000
"""In one series: a day at 15 s is 5,760."""


class CasesFaulty(StartError):
    """A file of cases that cannot be read."""

    code = "CASES_FAULTY"
    says = "{file} cannot be replayed: {why}."
    remedy = "The form is described in docs/guides/alerts.md."


class Samples(Struct, forbid_unknown_fields=True):
    """One series: metric, labels, and its values in the short notation."""

    metric: str
    values: str
    labels: dict[str, str] = {}


class Expected(Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """A change of state, `t` seconds after the start."""

    t: float
    alert: str
    to: str


class Case(Struct, forbid_unknown_fields=True):
    """One story. `only: prometheus` marks what needs `up`, which only a scraper has."""

    name: str
    series: list[Samples]
    transitions: list[Expected]
    why: str = ""
    only: str | None = None
    until: float | None = None


class Cases(Struct, forbid_unknown_fields=True):
    """A file of them."""

    cases: list[Case]
    interval: float = 15.0


class Told(Struct):
    """What became of a case: nothing is missing and nothing too much when it is ok."""

    name: str
    is_skipped: bool = False
    missing: list[Expected] = field(default_factory=list[Expected])
    unexpected: list[Expected] = field(default_factory=list[Expected])

    @property
    def is_ok(self) -> bool:
        """Whether what happened is what was expected."""
        return not self.missing and not self.unexpected


def read(text: str, file: str) -> Cases:
    """The cases of a file. Raises CasesFaulty."""
    import yaml

    try:
        loaded: Any = yaml.safe_load(text)
        return msgspec.convert(loaded, Cases)
    except yaml.YAMLError as error:
        raise CasesFaulty(file=file, why=str(error).replace("\n", " ")) from None
    except msgspec.ValidationError as error:
        raise CasesFaulty(file=file, why=str(error)) from None


_TOKEN = re.compile(r"(?P<plus>\+)?(?P<value>_|S|[-]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?:\*(?P<times>\d+))?")


def expand(values: str) -> Iterator[float | str | None]:
    """Each sample in turn: a number, None for a missed one, "S" where the series ends. Raises ValueError.

    Decimals are added as decimals: sixteen times 0.02 must not come out above 0.32.
    """
    before = Decimal(0)
    given = 0
    for token in values.split():
        found = _TOKEN.fullmatch(token)
        if found is None:
            message = f"the token {token!r} is none of v*n, +d*n, _*n, S"
            raise ValueError(message)
        times = int(found["times"] or 1)
        given += times
        if given > MOST_SAMPLES:
            message = f"more than {MOST_SAMPLES} samples in a series"
            raise ValueError(message)
        if found["value"] in ("_", "S"):
            yield from ([None] if found["value"] == "_" else ["S"]) * times
            continue
        for _ in range(times):
            before = before + Decimal(found["value"]) if found["plus"] else Decimal(found["value"])
            yield float(before)


def run(case: Case, interval: float, file: str, *, increase: promql.Increase = promql.rises) -> Told:
    """Play one case; with `promql.increase` as Prometheus would. Raises CasesFaulty if its values cannot be read."""
    if case.only == "prometheus":
        return Told(case.name, is_skipped=True)
    try:
        series = [(Series.of(s.metric, s.labels), list(expand(s.values))) for s in case.series]
    except ValueError as error:
        raise CasesFaulty(file=file, why=f"{case.name}: {error}") from None
    length = max((len(values) for _, values in series), default=1)
    if case.until is not None:
        length = int(case.until // interval) + 1
    evaluator = Evaluator([rule for rule in RULES if rule.is_of_the_runbook], increase=increase)
    happened: list[Expected] = []
    ended: set[Series] = set()
    for step in range(length):
        now: dict[Series, float | None] = {}
        for key, values in series:
            value = values[step] if step < len(values) else None
            if isinstance(value, str):
                ended.add(key)
                continue
            if value is not None:
                ended.discard(key)
            if key not in ended:  # a series that is not named has ended
                now[key] = value
        at = step * interval
        happened += [Expected(change.at, change.alert, change.to) for change in evaluator.tick(at, now)]
    missing = [e for e in case.transitions if e not in happened]
    return Told(case.name, False, sorted(missing), sorted(e for e in happened if e not in case.transitions))
