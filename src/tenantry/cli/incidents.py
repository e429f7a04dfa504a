"""`tenantry incident`, `silence`, `oncall`, `alerts test`: what people say to the watcher, and what it knows.

They work without a database, and without a running watcher: a command then waits in its folder, and says so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from tenantry.cli.place import say, show, tell
from tenantry.errors import StartError
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops.incidents import Incident
    from tenantry.ops.incidents.book import Book, Memory, Verb
    from tenantry.ops.notify import Channel


class IncidentUnknown(StartError):
    """No incident, or nobody, of that name."""

    code = "INCIDENT_UNKNOWN"
    says = "There is no {what}."
    remedy = "See: tenantry incident list --all; tenantry oncall"


def _book() -> Book:
    from tenantry.ops.incidents.book import Book

    return Book(Settings.load().home)


def _memory() -> Memory | None:
    return _book().read()


def _incidents() -> list[Incident]:
    memory = _memory()
    return [] if memory is None else sorted(memory.incidents, key=lambda incident: incident.opened_at)


def list_(arguments: argparse.Namespace) -> int:
    """Open incidents, or all. Exit code 0 also when there is one: it was asked, not checked."""
    from tenantry.ops.incidents.messages import clock, length

    found = [incident for incident in _incidents() if incident.is_open or arguments.all]
    if arguments.json:
        show(msgspec.to_builtins(found))
        return 0
    if not found:
        say("No incident is open." if not arguments.all else "There was none.")
    for incident in found:
        ended = incident.resolved_at
        state = "resolved" if ended is not None else (f"{incident.acked_by} has it" if incident.acked_by else "OPEN")
        until = ended if ended is not None else datetime.now(timezone.utc).timestamp()
        what = " + ".join(incident.firing or list(incident.alerts)) or incident.kind
        day = datetime.fromtimestamp(incident.opened_at, timezone.utc).strftime("%Y-%m-%d")
        say(
            f"{incident.id}  {incident.severity:<8}  {day} {clock(incident.opened_at)}  {length(max(0, until - incident.opened_at)):>10}"
            f"  {state:<14}  {what}"
        )
    return 0


def show_one(arguments: argparse.Namespace) -> int:
    """One incident, whole."""
    from tenantry.ops.incidents.messages import clock

    incident = next((one for one in _incidents() if one.id == arguments.id), None)
    if incident is None:
        raise IncidentUnknown(what=f"incident {arguments.id}")
    if arguments.json:
        show(msgspec.to_builtins(incident))
        return 0
    day = datetime.fromtimestamp(incident.opened_at, timezone.utc).strftime("%Y-%m-%d")
    state = (
        "resolved"
        if not incident.is_open
        else f"{incident.acked_by} has it"
        if incident.acked_by
        else "open, nobody has it"
    )
    say(f"{incident.id}: {incident.severity}, {incident.kind}, since {day} {clock(incident.opened_at)}; {state}")
    if incident.text:
        say(incident.text)
    for name, part in incident.alerts.items():
        say(f"  {name}: {part.summary}" + ("" if part.until is None else f" (over at {clock(part.until)})"))
    for entry in incident.timeline:
        say(f"  {clock(entry.at)}  {entry.by:<12} {entry.what}{': ' + entry.text if entry.text else ''}")
    return 0


def ack(arguments: argparse.Namespace) -> int:
    """Take it."""
    return _say("ack", arguments, id=arguments.id, done=f"{arguments.by} has {arguments.id}.")


def unack(arguments: argparse.Namespace) -> int:
    """Give it back."""
    return _say("unack", arguments, id=arguments.id, done=f"Nobody has {arguments.id}.")


def resolve(arguments: argparse.Namespace) -> int:
    """Say that it is over."""
    return _say("resolve", arguments, id=arguments.id, done=f"{arguments.id} is resolved.")


def note(arguments: argparse.Namespace) -> int:
    """Write into the timeline."""
    return _say("note", arguments, id=arguments.id, text=arguments.text, done="Written down.")


def open_(arguments: argparse.Namespace) -> int:
    """Open one by hand."""
    return _say("open", arguments, kind=arguments.kind, text=arguments.text, done="Opened: {text}")


def silence(arguments: argparse.Namespace) -> int:
    """Make a silence."""
    from tenantry.ops.incidents.silence import make
    from tenantry.ops.incidents.steady import Steady

    memory = _memory()
    now = Steady(None if memory is None else memory.base).now()
    made = make(f"sil-{secrets.token_hex(3)}", arguments.match, arguments.length, arguments.by, arguments.why, now)
    return _say("silence", arguments, silence=made, done="Silenced: {text}")


def silences(arguments: argparse.Namespace) -> int:
    """The silences that hold."""
    from tenantry.ops.incidents.messages import clock

    memory = _memory()
    found = [] if memory is None else [s for s in memory.silences if s.until > memory.written_at]
    if arguments.json:
        show(msgspec.to_builtins(found))
        return 0
    if not found:
        say("Nothing is silenced.")
    for one in found:
        day = datetime.fromtimestamp(one.until, timezone.utc).strftime("%Y-%m-%d")
        say(f"{one.id}  until {day} {clock(one.until)}  {one.by}: {one.why}   {' '.join(map(str, one.matchers))}")
    return 0


def end_silence(arguments: argparse.Namespace) -> int:
    """End one."""
    return _say("unsilence", arguments, id=arguments.id, done="It is over.")


def _say(verb: Verb, arguments: argparse.Namespace, *, done: str, **fields: Any) -> int:
    from tenantry.ops.incidents.book import Command

    reply = _book().say(Command(verb, arguments.by, **fields))
    if arguments.json:
        show(
            {
                "done": reply is not None and reply.is_done,
                "waits": reply is None,
                "text": "" if reply is None else reply.text,
            }
        )
    elif reply is None:
        tell(
            "No watcher answers (tenantry serve runs one; beside another server: tenantry watch). It is taken when one runs."
        )
    elif reply.is_done:
        say(done.format(text=reply.text))
    else:
        tell(f"Nothing was done: {reply.text}.")
    return 0 if reply is None or reply.is_done else 1


# ------------------------------------------------------------------ who is paged


def oncall(arguments: argparse.Namespace) -> int:
    """Who has each level; 1 if a level is empty."""
    from tenantry.ops.incidents import LEVELS
    from tenantry.ops.notify.oncall import empty_levels, read
    from tenantry.ops.watch import given_levels, oncall_path

    settings = Settings.load()
    found = read(oncall_path(settings))
    now = datetime.now(timezone.utc) if arguments.at is None else _moment(arguments.at)
    levels = given_levels(settings)
    names = {level: [c.name for c in [*found.channels(level, now, os.environ), *levels[level]]] for level in LEVELS}
    people = {level: found.person(level, now) for level in LEVELS}
    empty = empty_levels(found, levels, now, os.environ)
    if arguments.json:
        show({"levels": {n: {"person": people[n], "channels": names[n]} for n in LEVELS}, "empty": empty})
    else:
        for level in LEVELS:
            reached = ", ".join(names[level]) or "nobody: a page falls to the next level"
            say(f"{level}  {people[level] or '-':<12} {reached}")
    return 1 if empty else 0


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise IncidentUnknown(what=f"moment {text!r} (2026-12-24T09:00:00+01:00)") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def test(arguments: argparse.Namespace) -> int:
    """A test message to every channel, each by itself; 1 if one did not take it, or if there is none."""
    from tenantry.ops.incidents import Notice
    from tenantry.ops.notify import Sender

    settings = Settings.load()
    wanted = _channels(settings, arguments.person)
    notice = Notice(
        "test", "inc-test", "first", "warning", (), None, f"TEST {settings.service}",
        "This is a test of the alert chain; nothing is the matter.\nSent by: tenantry alerts test",
    )  # fmt: skip

    async def send() -> list[bool]:
        sender = Sender()
        try:
            return await asyncio.gather(*(sender.send(channel, notice) for _, channel in wanted))
        finally:
            await sender.close()

    taken = asyncio.run(send())
    rows = [{"who": who, "channel": c.name, "taken": ok} for (who, c), ok in zip(wanted, taken, strict=True)]
    if arguments.json:
        show(rows)
    else:
        for row in rows:
            say(f"{row['who']:<14} {row['channel']:<24} {'taken' if row['taken'] else 'NOT TAKEN'}")
        if not rows:
            tell("There is no channel: set TENANTRY_NOTIFY and TENANTRY_NOTIFY_L1, or write oncall.toml.")
    return 0 if rows and all(taken) else 1


def _channels(settings: Settings, person: str | None) -> list[tuple[str, Channel]]:
    from tenantry.ops.incidents import LEVELS
    from tenantry.ops.notify import Channel
    from tenantry.ops.notify.oncall import read, urls_of
    from tenantry.ops.watch import channels_of, given_levels, oncall_path

    found = read(oncall_path(settings))
    if person is not None:
        if person not in found.people:
            raise IncidentUnknown(what=f"person {person} in the on-call list")
        return [(person, Channel.of(url)) for url in urls_of(found.people[person], os.environ)]
    wanted = [("reads along", channel) for channel in channels_of(settings.notify)]
    levels = given_levels(settings)
    wanted += [(level, channel) for level in LEVELS for channel in levels[level]]
    wanted += [(name, Channel.of(url)) for name, human in found.people.items() for url in urls_of(human, os.environ)]
    return list({channel.name: (who, channel) for who, channel in wanted}.values())
