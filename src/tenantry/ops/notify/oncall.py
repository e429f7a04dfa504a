"""Who is on call, by level, now: rotations with a hand-over in somebody's time zone, and overrides. Pure but for `read`.

    [people.ann]
    urls = ["pagerduty://…"]            # or "$ANN_URL": from the environment, so that the file holds no secret
    [levels.L1]
    people = ["ann", "ben"]             # a week each, in turn
    from = 2026-11-23T09:00:00          # the first one's beginning, by the wall clock of `zone`
    zone = "Europe/Berlin"
    days = 7
    [[overrides]]
    level = "L1"
    person = "ben"
    from = 2026-12-24T09:00:00
    until = 2026-12-27T09:00:00

A level without people has only the URLs of its setting (`TENANTRY_NOTIFY_L1`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct, field

from tenantry.errors import StartError
from tenantry.ops.incidents import LEVELS, Level
from tenantry.ops.notify.channel import Channel


class OncallFaulty(StartError):
    """The on-call list cannot be used."""

    code = "ONCALL_FAULTY"
    says = "The on-call list {file} cannot be used: {why}."
    remedy = "The form is described in docs/guides/alerts.md; tenantry oncall list shows what is read."


class Human(Struct, forbid_unknown_fields=True):
    """Somebody who can be paged."""

    urls: list[str]


class Rotation(Struct, forbid_unknown_fields=True):
    """A level's people in turn. `from_` is local time in `zone`, so a hand-over at nine stays at nine over the summer."""

    people: list[str]
    zone: str = "UTC"
    days: int = 7
    from_: datetime = field(name="from", default=datetime(2026, 1, 5, 9, tzinfo=None))  # noqa: DTZ001 - local time of `zone`


class Override(Struct, forbid_unknown_fields=True):
    """Somebody else for a while; the last one that holds counts."""

    level: Level
    person: str
    from_: datetime = field(name="from")
    until: datetime
    zone: str = "UTC"


class Oncall(Struct, forbid_unknown_fields=True):
    """The whole list."""

    people: dict[str, Human] = field(default_factory=dict[str, Human])
    levels: dict[Level, Rotation] = field(default_factory=dict[Level, Rotation])
    overrides: list[Override] = field(default_factory=list[Override])

    def person(self, level: Level, now: datetime) -> str | None:
        """Who has the level at that moment (aware)."""
        for override in reversed(self.overrides):
            if override.level == level and _at(override.from_, override.zone) <= now < _at(
                override.until, override.zone
            ):
                return override.person
        rotation = self.levels.get(level)
        if rotation is None or not rotation.people:
            return None
        zone = ZoneInfo(rotation.zone)
        local = now.astimezone(zone).replace(tzinfo=None)
        first = rotation.from_
        if first.tzinfo is not None:  # with an offset of its own: what the clocks of the zone showed then
            first = first.astimezone(zone).replace(tzinfo=None)
        turns = (local - first) // timedelta(days=rotation.days)
        return rotation.people[turns % len(rotation.people)]

    def channels(self, level: Level, now: datetime, environ: Mapping[str, str]) -> list[Channel]:
        """The channels of whoever has the level now."""
        who = self.person(level, now)
        return [] if who is None else [Channel.of(url) for url in urls_of(self.people[who], environ)]


def urls_of(human: Human, environ: Mapping[str, str]) -> list[str]:
    """A person's URLs, those of the environment filled in; what is not set there, or is no URL, is left out."""
    urls = (environ.get(url[1:], "").strip() if url.startswith("$") else url for url in human.urls)
    return [url for url in urls if "://" in url]


def _at(moment: datetime, zone: str) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)


def parse(text: str, file: str) -> Oncall:
    """The list of a text. Raises OncallFaulty."""
    try:
        loaded: Any = tomllib.loads(text)
        found = msgspec.convert(loaded, Oncall)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise OncallFaulty(file=file, why=str(error)) from None
    named = [(f"level {level}", name) for level, rotation in found.levels.items() for name in rotation.people]
    named += [(f"an override of {override.level}", override.person) for override in found.overrides]
    for where, name in named:
        if name not in found.people:
            raise OncallFaulty(file=file, why=f"{where} names {name}, who is not among the people")
    for zone in [r.zone for r in found.levels.values()] + [o.zone for o in found.overrides]:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise OncallFaulty(file=file, why=f"there is no time zone {zone}") from None
    for override in found.overrides:
        if _at(override.from_, override.zone) >= _at(override.until, override.zone):
            raise OncallFaulty(
                file=file, why=f"an override of {override.level} for {override.person} ends before it begins"
            )
    for level, rotation in found.levels.items():
        if rotation.days < 1:
            raise OncallFaulty(file=file, why=f"level {level} has turns of less than a day")
    for human in found.people.values():
        for url in human.urls:
            if not url.startswith("$") and "://" not in url:
                raise OncallFaulty(file=file, why="a person's URL is none (slack://…, or $NAME from the environment)")
    return found


def read(path: Path) -> Oncall:
    """The list of a file; an empty one if there is no file. Raises OncallFaulty."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Oncall()
    except (OSError, UnicodeDecodeError) as error:
        raise OncallFaulty(file=path.name, why=type(error).__name__) from None
    return parse(text, path.name)


def empty_levels(
    oncall: Oncall, given: Mapping[Level, list[Channel]], now: datetime, environ: Mapping[str, str]
) -> list[Level]:
    """The levels that nobody answers for: a page for them falls to the next one."""
    return [level for level in LEVELS if not given.get(level) and not oncall.channels(level, now, environ)]
