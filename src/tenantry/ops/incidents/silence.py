"""Silences: which alerts are not told of, until when, by whom and why. Pure.

A silenced alert goes on being evaluated, shown and counted; what still fires when the silence ends is told of then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from tenantry.errors import StartError

MOST_SECONDS = 7 * 86_400.0
Operator = Literal["=", "!=", "=~", "!~"]


class SilenceFaulty(StartError):
    """A silence that cannot be made."""

    code = "SILENCE_FAULTY"
    says = "This silence cannot be made: {why}."
    remedy = 'As in: tenantry silence --match alertname=MemoryHigh --for 2h --by ann --why "resizing"'


class Matcher(Struct, frozen=True):
    """One condition on a label."""

    label: str
    operator: Operator
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it; a label that is missing is empty, as in Alertmanager."""
        has = labels.get(self.label, "")
        match self.operator:
            case "=":
                return has == self.value
            case "!=":
                return has != self.value
            case "=~":
                return re.fullmatch(self.value, has) is not None
            case "!~":
                return re.fullmatch(self.value, has) is None

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{self.value}"


class Silence(Struct, frozen=True):
    """Matchers that must all hold, from `since` to `until`."""

    id: str
    matchers: tuple[Matcher, ...]
    since: float
    until: float
    by: str
    why: str

    def mutes(self, labels: Mapping[str, str], now: float) -> bool:
        """Whether it silences an alert with these labels now. The Watchdog is never silenced."""
        if labels.get("alertname") == "Watchdog" or not self.since <= now < self.until:
            return False
        return all(matcher.holds(labels) for matcher in self.matchers)


LABELS = ("alertname", "severity", "service", "section")
_MATCHER = re.compile(r"(?P<label>[a-z_]+)(?P<operator>!=|=~|!~|=)(?P<value>.{1,200})", re.DOTALL)


def matcher(text: str) -> Matcher:
    """`alertname=MemoryHigh`, `section=~"perf.*"`. Raises SilenceFaulty."""
    found = _MATCHER.fullmatch(text.strip())
    if found is None:
        raise SilenceFaulty(why=f"{text!r} is no matcher (label=value, !=, =~, !~)")
    if found["label"] not in LABELS:
        raise SilenceFaulty(why=f"there is no label {found['label']} (there are: {', '.join(LABELS)})")
    value = found["value"].strip('"')
    if "~" in found["operator"]:
        try:
            re.compile(value)
        except re.error as error:
            raise SilenceFaulty(why=f"{value!r} is no regular expression ({error})") from None
    return Matcher(found["label"], found["operator"], value)  # pyright: ignore[reportArgumentType] - the pattern's own


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h`, `7d`. Raises SilenceFaulty, also beyond seven days."""
    found = re.fullmatch(r"(\d{1,6})\s*([smhd])", text.strip())
    if found is None:
        raise SilenceFaulty(why=f"{text!r} is no length of time (30m, 2h, 7d)")
    length = int(found[1]) * _UNITS[found[2]]
    if not 0 < length <= MOST_SECONDS:
        raise SilenceFaulty(why="a silence always ends, at the latest after 7 days")
    return length


def make(id_: str, matchers: list[str], length: str, by: str, why: str, now: float) -> Silence:
    """A silence from now on. Raises SilenceFaulty."""
    if not matchers:
        raise SilenceFaulty(why="it matches nothing (--match)")
    if not by.strip() or not why.strip():
        raise SilenceFaulty(why="it needs a person (--by) and a reason (--why)")
    return Silence(id_, tuple(matcher(text) for text in matchers), now, now + seconds(length), by.strip(), why.strip())
