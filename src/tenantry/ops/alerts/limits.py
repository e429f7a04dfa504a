"""Thresholds as they are set: the defaults of the rules, and what `tenantry alerts set` wrote over them.

They lie in one small file, `TENANTRY_HOME/alerts.json`, so that the watcher reads them with the database gone. Faults in it
are told all at once, and the default stands for what cannot be used: a mistake here must not silence an alert.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from tenantry.errors import StartError
from tenantry.files import SHARED, write_whole
from tenantry.ops.alerts.rules import RULES, Rule, Threshold, named

Limits = dict[str, dict[str, float]]


class ThresholdFaulty(StartError):
    """A threshold that is not there, or a value that it cannot have."""

    code = "THRESHOLD_FAULTY"
    says = "{given} cannot be set: {why}."
    remedy = "See: tenantry alerts list --json   (as in: tenantry alerts set HighErrorRate.ratio=0.02)"


def defaults(rules: Iterable[Rule] = RULES) -> Limits:
    """Every threshold by rule and name."""
    return {rule.name: {name: t.default for name, t in rule.thresholds.items()} for rule in rules}


def parsed(given: str) -> tuple[Rule, str, float | None]:
    """`Alert.threshold=value`; an empty value means the default. Raises ThresholdFaulty."""
    name, _, text = given.partition("=")
    alert, _, threshold = name.strip().partition(".")
    rule = named(alert)
    if rule is None:
        raise ThresholdFaulty(given=given, why=f'there is no alert "{alert}"')
    bounds = rule.thresholds.get(threshold)
    if bounds is None:
        known = ", ".join(rule.thresholds) or "none"
        raise ThresholdFaulty(given=given, why=f"{rule.name} has no such threshold (it has: {known})")
    if not text.strip():
        return rule, threshold, None
    why = fault(bounds, text)
    if why is not None:
        raise ThresholdFaulty(given=given, why=why)
    return rule, threshold, float(text)


def fault(bounds: Threshold, value: Any) -> str | None:
    """Why a value cannot be used, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return "the value is not a number"
    if not math.isfinite(number) or not bounds.least <= number <= bounds.most:
        return f"the value is not between {bounds.least:g} and {bounds.most:g}"
    return None


def path_in(home: Path) -> Path:
    """Where they lie."""
    return home / "alerts.json"


def load(home: Path) -> tuple[Limits, list[str]]:
    """The thresholds in force, and what of the file cannot be used."""
    found = defaults()
    try:
        written: Any = json.loads(path_in(home).read_text("utf-8"))
    except FileNotFoundError:
        return found, []
    except (OSError, ValueError) as error:
        return found, [f"{path_in(home).name} cannot be read ({type(error).__name__}); the defaults stand"]
    faults: list[str] = []
    for key, value in cast("dict[str, Any]", written if isinstance(written, dict) else {}).items():
        try:
            rule, threshold, number = parsed(f"{key}={value}")
        except ThresholdFaulty as error:
            faults.append(str(error).splitlines()[0])
            continue
        if number is not None:
            found[rule.name][threshold] = number
    return found, faults


def save(home: Path, changes: Iterable[tuple[Rule, str, float | None]]) -> Mapping[str, float]:
    """Write these over what is there; None puts the default back. Gives what the file holds now."""
    path = path_in(home)
    try:
        held: dict[str, float] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        held = {}
    for rule, threshold, value in changes:
        key = f"{rule.name}.{threshold}"
        if value is None or value == rule.thresholds[threshold].default:
            held.pop(key, None)
        else:
            held[key] = value
    home.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(held, indent=1, sort_keys=True) + "\n").encode(), mode=SHARED)
    return held
