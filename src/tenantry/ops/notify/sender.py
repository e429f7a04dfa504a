"""Sending: by a courier (a process that has apprise loaded), each message with a deadline. Fails soft: a try is taken or not taken.

apprise blocks (4 s to connect, 4 s to read), so it never runs on the loop, and a channel that hangs holds one thread of a courier
only. A courier in which something hung gets no further messages; the next message has a fresh one. URLs hold secrets: neither
they nor what apprise says of them is ever logged here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import sys
from pathlib import Path

from tenantry.ops.incidents import Notice
from tenantry.ops.notify.channel import Channel, addressed

COURIER = str(Path(__file__).with_name("courier.py"))
"""Run as a file: of this package it needs nothing, and loading it would be a fifth of its start."""
DEADLINE_SECONDS = 10.0
START_SECONDS = 20.0
"""An interpreter and apprise: a second, and more where the machine is the trouble."""
IDLE_SECONDS = 30.0
KILLED_SECONDS = 5.0
MOST_COURIERS = 4
log = logging.getLogger("tenantry.notify")


class CourierGone(Exception):
    """It ended before it answered."""


class Courier:
    """One process, and the messages that it has not answered for."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ready.add_done_callback(_seen)
        self.is_leaving = False
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._leaves: asyncio.TimerHandle | None = None
        self.life = loop.create_task(self._live())

    async def carry(self, url: str, notice: Notice) -> bool:
        """Whether the channel took it. Raises CourierGone."""
        self._stay()
        async with asyncio.timeout(START_SECONDS):
            await asyncio.shield(self.ready)
        assert self._process is not None  # it is ready
        assert self._process.stdin is not None  # a pipe
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        kind = "over" if notice.is_over else notice.severity
        line = {"id": number, "url": url, "title": notice.title, "body": notice.body, "kind": kind}
        try:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await answer
        finally:
            self._waiting.pop(number, None)
            self._stay()

    def leave(self) -> None:
        """Take no more; what is under way is still answered."""
        self.is_leaving = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _stay(self) -> None:
        """From now on for so long, unless something is under way then."""
        if self._leaves is not None:
            self._leaves.cancel()
        self._leaves = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._rest)

    def _rest(self) -> None:
        if self._waiting:
            self._stay()
        else:
            self.leave()

    async def _live(self) -> None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", COURIER, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            if self.is_leaving:
                self.leave()
            assert self._process.stdout is not None  # a pipe
            async for line in self._process.stdout:
                self._heard(json.loads(line))
            await self._process.wait()
        finally:
            self.is_leaving = True
            if self._leaves is not None:
                self._leaves.cancel()
            for answer in [self.ready, *self._waiting.values()]:
                if not answer.done():
                    answer.set_exception(CourierGone())

    def _heard(self, said: dict[str, object]) -> None:
        if "id" not in said:
            if not self.ready.done():
                self.ready.set_result(None)
            return
        answer = self._waiting.get(int(str(said["id"])))
        if answer is not None and not answer.done():
            answer.set_result(said.get("taken") is True)

    async def end(self, seconds: float) -> None:
        """Leave, and be gone after that time at the latest."""
        self.leave()
        await asyncio.wait([self.life], timeout=seconds)
        if not self.life.done() and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await asyncio.wait([self.life], timeout=KILLED_SECONDS)


class Sender:
    """Gives messages to channels."""

    def __init__(self) -> None:
        self._couriers: list[Courier] = []

    def warm(self) -> None:
        """A message is about to leave: have a courier ready for it."""
        self._courier()

    async def send(self, channel: Channel, notice: Notice) -> bool:
        """Whether the channel took it, within ten seconds."""
        courier: Courier | None = None
        try:
            courier = self._courier()
            is_taken = await courier.carry(addressed(channel, notice.incident), notice)
        except TimeoutError:
            if courier is not None:
                courier.leave()
            is_taken = False
        except Exception as error:
            log.warning("channel %s failed: %s", channel.name, type(error).__name__)
            return False
        if not is_taken:
            log.warning("channel %s did not take a message of incident %s", channel.name, notice.incident)
        return is_taken

    def _courier(self) -> Courier:
        """The one that takes messages. Where several hang, no further one is begun before one of them is gone."""
        self._couriers = [courier for courier in self._couriers if not courier.life.done()]
        for courier in self._couriers:
            if not courier.is_leaving:
                return courier
        if len(self._couriers) >= MOST_COURIERS:
            raise CourierGone
        self._couriers.append(Courier())
        return self._couriers[-1]

    async def close(self, seconds: float = 1.0) -> None:
        """Let no further message go; those that hang end with their courier."""
        await asyncio.gather(*(courier.end(seconds) for courier in self._couriers))


def _seen(answer: asyncio.Future[None]) -> None:
    """An end that nobody waits for is no warning."""
    if not answer.cancelled():
        answer.exception()
