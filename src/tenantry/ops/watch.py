"""The watcher's work: each tick a sampling and an evaluation, each second the desk, the outbox and the commands. Fails soft.

It goes on when workers hang and when PostgreSQL is gone: what it must remember lies in files (`incidents.book`), and the database
gets a copy when it is there. Whatever fails in one part is logged by its kind, and the other parts go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from tenantry.ops.alerts import RULES, Evaluator, Series, limits
from tenantry.ops.incidents import Desk, Entry, Level, Notice, Pace
from tenantry.ops.incidents.book import Book, Command, Memory, Reply
from tenantry.ops.incidents.heartbeat import Heartbeat
from tenantry.ops.incidents.record import Record
from tenantry.ops.incidents.steady import Steady, boot_id
from tenantry.ops.notify import Channel, Oncall, Outbox, Sender, Sending, channels
from tenantry.ops.notify.oncall import read as read_oncall
from tenantry.ops.notify.oncall import urls_of
from tenantry.ops.notify.routing import route
from tenantry.settings import Secret, Settings
from tenantry.signals import Signals

log = logging.getLogger("tenantry.watch")
Sample = Callable[[], Awaitable[Mapping[Series, float | None] | None]]
QUICK_SECONDS = 0.25
LAST_SECONDS = 2.0
LOOK_SECONDS = 4.0
"""A sampling may take at least so long, whatever the tick: an API that is silent is known to be so after its own deadline, not before."""
MOST_EVIDENCE, MOST_LINES = 500, 50
"""Characters of one thing that is broken, and things in one incident."""
MOST_HEARD = 500
"""Events from outside that are remembered."""
STUCK_SECONDS = 300.0
"""A page that no channel has taken for so long: the heartbeat stops, so that whoever is outside wakes somebody."""
KEEP_SECONDS = 30 * 86_400.0
"""How long a resolved incident stays in the watcher's file."""


class Watch:
    """One watcher. `sample` gives the metrics of now, or None when they cannot be had."""

    def __init__(
        self, settings: Settings, sample: Sample, *, tick_seconds: float = 15.0, signals: Signals | None = None
    ) -> None:
        self.settings = settings
        self.signals = signals or Signals()
        self.sample = sample
        self.scale = tick_seconds / 15.0
        self.tick_seconds = tick_seconds
        self.book = Book(settings.home)
        self.levels = given_levels(settings)
        self.readers = channels_of(settings.notify)
        self.oncall = Oncall()
        self.evaluator = Evaluator(limits=limits.load(settings.home)[0], tick_seconds=tick_seconds)
        self.desk = Desk(
            RULES,
            service=settings.service,
            new_id=lambda: f"inc-{secrets.token_hex(4)}",
            pace=Pace().scaled(self.scale),
        )
        self.outbox = Outbox(scale=self.scale)
        self.sender = Sender()
        self.known: dict[str, Channel] = {}
        self.ticks = 0
        self.last_tick = 0.0
        self.sending: set[asyncio.Task[None]] = set()
        self.heard: deque[str] = deque(maxlen=MOST_HEARD)
        self.news = asyncio.Event()
        """Set when the desk should look at once."""
        self.disk = ThreadPoolExecutor(1, "tenantry-watch-disk")
        self.heartbeat = Heartbeat(
            settings.heartbeat_url, every_seconds=60.0 * self.scale,
            sent=lambda: self.signals.count("heartbeat_sent_total"),
        )  # fmt: skip
        self.record = Record(settings)
        self.steady = self._remember()
        self.is_changed = True

    def _remember(self) -> Steady:
        memory = self.book.read()
        steady = Steady(None if memory is None else memory.base)
        if memory is not None:
            self.desk.incidents = {incident.id: incident for incident in memory.incidents}
            self.desk.silences = {silence.id: silence for silence in memory.silences}
            self.evaluator.load(bytes(memory.evaluator), boot=boot_id(), monotonic=time.monotonic(), wall=steady.now())
            self.outbox = restored(bytes(memory.outbox), self.scale)
            self.heard.extend(memory.heard)
        return steady

    # ------------------------------------------------------------------ the loop

    async def run(self, stopped: asyncio.Event) -> None:
        """Until it is told to stop; then what is under way is written down.

        The desk has a loop of its own: a sampling waits for a server that is silent, and no page waits for a sampling.
        """
        ticking = asyncio.create_task(self._ticks(stopped))
        ending = asyncio.create_task(self._end(stopped))
        try:
            while not stopped.is_set():
                self.news.clear()
                await self._soft("the desk", self.turn())
                pause = QUICK_SECONDS if self._is_about_to_tell() else min(1.0, self.tick_seconds)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self.news.wait()
            await asyncio.wait([ticking], timeout=LAST_SECONDS)
        finally:
            ticking.cancel()
            ending.cancel()
            await asyncio.gather(ticking, ending, return_exceptions=True)
        await self.close()

    async def _ticks(self, stopped: asyncio.Event) -> None:
        """Each tick, until the end. Ticks that were missed are not made up: one evaluation now, and the next a tick later."""
        next_tick = time.monotonic()
        while not stopped.is_set():
            late = time.monotonic() - next_tick
            due = next_tick if late < self.tick_seconds / 4 else next_tick + late
            next_tick = due + self.tick_seconds
            await self._soft("the tick", self.tick(due))
            self.news.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.001, next_tick - time.monotonic())):
                    await stopped.wait()

    async def _end(self, stopped: asyncio.Event) -> None:
        await stopped.wait()
        self.news.set()

    def _is_about_to_tell(self) -> bool:
        """Whether something waits for its first message: then the clock is looked at more often."""
        about = any(incident.is_open and incident.told_at is None for incident in self.desk.incidents.values())
        if (about or self._is_uneasy()) and (self.readers or any(self.levels.values()) or self.oncall.people):
            self.sender.warm()
        return about

    def _is_uneasy(self) -> bool:
        """Whether a critical may soon fire: a courier is made ready by then, for a busy machine takes seconds to start one."""
        verdicts = self.evaluator.verdicts
        failing = verdicts.get("HealthCheckFailing")
        return (failing is not None and bool(failing.value)) or any(
            verdict.state == "pending" and rule.severity == "critical"
            for name, verdict in verdicts.items()
            if (rule := self.desk.rules.get(name)) is not None
        )

    async def _soft(self, what: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            log.exception("%s of the watcher failed: %s", what, type(error).__name__)

    async def tick(self, due: float | None = None) -> None:
        """Sample, and judge. `due` is the moment that the evaluation is for.

        By the clock of now a hold of 60 s would end a tick too late whenever the fifth evaluation began a millisecond less late
        than the first.
        """
        self.oncall = self._oncall()
        self._know_everybody()
        try:
            async with asyncio.timeout(max(LOOK_SECONDS, self.tick_seconds * 0.8)):
                values = await self.sample()
        except Exception as error:
            log.warning("no sample at this tick: %s", type(error).__name__)
            values = None
        now = time.monotonic()
        changes = self.evaluator.tick(now if due is None else due, values)
        for change in changes:
            log.warning("alert %s is %s (value %s)", change.alert, change.to, change.value)
        self.ticks += 1
        self.last_tick = now
        self.signals.set("alerts_firing", float(len(self.evaluator.firing())))
        self.is_changed = True
        self.record.put(self.desk, self.evaluator, self.steady.now())

    async def turn(self) -> None:
        """Commands, what is due, and sending it."""
        now = self.steady.now()
        for path, command in self.book.commands():
            self.is_changed = True
            reply = Reply(False, "it cannot be read") if command is None else self.obey(command, now)
            self.book.answer(path, reply)
        for notice in self.desk.tick(now, self.evaluator.verdicts, ahead=self.steady.base.offset):
            self.is_changed = True
            self.outbox.add(notice, self.candidates(notice), now)
        for sending in self.outbox.due(now):
            task = asyncio.create_task(self._send(sending))
            self.sending.add(task)
            task.add_done_callback(self.sending.discard)
        if self.is_changed:
            self.desk.forget(now - KEEP_SECONDS)
            self.outbox.forget(now - KEEP_SECONDS, list(self.desk.incidents))
            self.book.tidy()
            self.is_changed = False
            await self._write_down()
        is_well = time.monotonic() - self.last_tick < 2 * self.tick_seconds
        await self.heartbeat.turn(
            time.monotonic(), is_well=is_well and self.outbox.oldest_page_seconds(now) < STUCK_SECONDS * self.scale
        )

    async def _send(self, sending: Sending) -> None:
        channel = self.known.get(sending.channel)
        is_taken = channel is not None and await self.sender.send(channel, sending.notice)
        self.signals.count("notifications_total", sending.channel, "sent" if is_taken else "failed")
        self.outbox.tried(sending, is_taken=is_taken, now=self.steady.now())
        self.is_changed = True
        await self._write_down()

    async def _write_down(self) -> None:
        """In a thread of its own: a disk takes its time, and messages leave meanwhile. One after another, so that the newest stays."""
        # Encoded here: what the desk changes while the disk is busy must not be half in it.
        text = msgspec.json.encode(self.memory())
        try:
            await asyncio.get_running_loop().run_in_executor(self.disk, self.book.put, text)
        except OSError:
            self.is_changed = True
            raise

    async def close(self) -> None:
        """Write down what is under way."""
        if self.sending:
            # What a channel has taken should be known, or it is sent again after the restart.
            await asyncio.wait(self.sending, timeout=LAST_SECONDS)
        for task in list(self.sending):
            task.cancel()
        await self.sender.close()
        await self._write_down()
        self.disk.shutdown(wait=False)
        await self.record.close()

    # ------------------------------------------------------------------ who

    def _oncall(self) -> Oncall:
        try:
            return read_oncall(oncall_path(self.settings))
        except Exception as error:
            log.warning("the on-call list cannot be read; the last one stands: %s", type(error).__name__)
            return self.oncall

    def _know_everybody(self) -> None:
        """The channels of all people: the end of an incident goes to whoever was paged, on call or not by then."""
        urls = [url for person in self.oncall.people.values() for url in urls_of(person, os.environ)]
        given = [*self.readers, *(channel for level in self.levels.values() for channel in level)]
        self.known.update({channel.name: channel for channel in [*(Channel.of(url) for url in urls), *given]})

    def candidates(self, notice: Notice) -> list[str]:
        """The channels of a notice by name, in the order in which they are tried."""
        now = datetime.now(timezone.utc)
        found = route(notice, self.readers, self.levels, self.oncall, now, os.environ)
        if notice.level is not None and not found:
            log.error("a page of incident %s has nobody to go to: no level has a channel for it", notice.incident)
        return [channel.name for channel in found]

    # ------------------------------------------------------------------ commands

    def obey(self, command: Command, now: float) -> Reply:  # noqa: PLR0911 - one line a verb
        """Do what somebody says."""
        desk = self.desk
        if command.event:
            if command.event in self.heard:
                return Reply(False, "it was obeyed already")
            self.heard.append(command.event)
        match command.verb:
            case "unack":
                return Reply(desk.unacknowledge(command.id, command.by, now), "it is not open, or nobody has it")
            case "ack":
                is_done = desk.acknowledge(command.id, command.by, now)
                return Reply(is_done, "" if is_done else "it is not open, or somebody has it already")
            case "resolve":
                return Reply(desk.resolve(command.id, command.by, now), "it is not open")
            case "note":
                return Reply(desk.note(command.id, command.by, command.text, now), "there is no such incident")
            case "cause" | "remedy":
                return Reply(self._found(command, now))
            case "open":
                return Reply(True, desk.open(command.kind, command.by, command.text, now).id)  # pyright: ignore[reportArgumentType] - checked by the command
            case "silence":
                if command.silence is None:
                    return Reply(False, "no silence was given")
                desk.silences[command.silence.id] = command.silence
                return Reply(True, command.silence.id)
            case "unsilence":
                return Reply(desk.silences.pop(command.id, None) is not None, "there is no such silence")

    def _found(self, command: Command, now: float) -> bool:
        """What the doctor found or did goes into every open incident, or the one that it names."""
        found = [i for i in self.desk.incidents.values() if i.is_open and command.id in ("", i.id)]
        for incident in found:
            incident.timeline.append(Entry(now, command.by, command.verb, command.text))
        return bool(found)

    def breach(self, missing: Sequence[str]) -> None:
        """Isolation itself is broken: an incident of its own kind, one while it is open. It ends when somebody says so.

        Each thing that is broken is a line of evidence in its timeline; what is found later joins it.
        """
        opened = next((i for i in self.desk.incidents.values() if i.is_open and i.kind == "rls_breach"), None)
        seen = (
            {entry.text for entry in opened.timeline if entry.what == "evidence"} if opened is not None else set[str]()
        )
        fresh = [thing for thing in missing if thing[:MOST_EVIDENCE] not in seen][: MOST_LINES - len(seen)]
        if not fresh:
            return
        log.error("isolation is broken: %s", "; ".join(fresh))
        now = self.steady.now()
        if opened is None:
            opened = self.desk.open("rls_breach", "watcher", "; ".join(fresh)[:MOST_EVIDENCE], now)
        elif opened.changed_at is None:
            opened.changed_at = now
        opened.timeline += [Entry(now, "watcher", "evidence", thing[:MOST_EVIDENCE]) for thing in fresh]
        self.is_changed = True

    # ------------------------------------------------------------------ memory

    def memory(self) -> Memory:
        """Everything that must outlive a restart."""
        now = self.steady.now()
        evaluator = self.evaluator.dump(boot=boot_id(), monotonic=time.monotonic(), wall=now)
        return Memory(
            self.steady.base, now, msgspec.Raw(evaluator), msgspec.Raw(kept(self.outbox)),
            list(self.desk.incidents.values()), list(self.desk.silences.values()), self.evaluator.firing(), os.getpid(),
            list(self.heard),
        )  # fmt: skip


def kept(outbox: Outbox) -> bytes:
    """An outbox as JSON."""
    return msgspec.json.encode([list(outbox.deliveries.items()), outbox.sent, outbox.reached])


def restored(text: bytes, scale: float) -> Outbox:
    """An outbox from what `kept` gave; an empty one from anything else."""
    from tenantry.ops.notify.outbox import Delivery

    outbox = Outbox(scale=scale)
    form: Any = tuple[list[tuple[str, Delivery]], dict[str, float], dict[str, list[str]]]
    try:
        deliveries, outbox.sent, outbox.reached = msgspec.json.decode(text, type=form)
    except msgspec.DecodeError:
        return outbox
    outbox.deliveries = dict(deliveries)
    outbox.restarted()
    return outbox


def channels_of(setting: Secret | None) -> list[Channel]:
    """The channels of a setting. Raises ValueError, without its text."""
    return [] if setting is None else channels(setting.reveal())


def given_levels(settings: Settings) -> dict[Level, list[Channel]]:
    """The channels that the settings name for each level."""
    given: dict[Level, Secret | None] = {"L1": settings.notify_l1, "L2": settings.notify_l2, "L3": settings.notify_l3}
    return {level: channels_of(setting) for level, setting in given.items()}


def oncall_path(settings: Settings) -> Path:
    """Where the on-call list lies."""
    return settings.oncall or settings.home / "oncall.toml"
