"""What a worker and the watcher have in common: signals that are not theirs, orders, a heartbeat, and an end in time."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from importlib import import_module

import msgspec

from tenantry.errors import (
    AppBroken,
    BuilderError,
    IsolationBroken,
    MigrationChanged,
    MigrationFailed,
    ResourcesFailed,
    SettingsFaulty,
    StartError,
    TableNotProtected,
    TenantryError,
)
from tenantry.processes.channel import Channel, Message, from_argument
from tenantry.processes.orders import Orders
from tenantry.processes.outside import soften

BEAT_SECONDS = 1.0
ORPHAN_SECONDS = 10.0
"""How long a process may still finish its work when its supervisor is gone; then it ends itself, whatever it does."""


class Inside:
    """The child's side: `orders` once they came, `end` when it should end, and `grace_seconds` for what is under way."""

    def __init__(self, channel_argument: str) -> None:
        loop = asyncio.get_running_loop()
        self.orders: asyncio.Future[Orders] = loop.create_future()
        self.end = asyncio.Event()
        self.grace_seconds = 5.0
        self._channel = Channel(from_argument(channel_argument), self._heard, self.end.set)
        self._loop = loop
        # By hand at one worker (`kill PID`): it drains, and the supervisor puts another in its place.
        loop.add_signal_handler(signal.SIGTERM, self.end.set)

    def say(self, word: str, **more: object) -> None:
        """Tell the supervisor."""
        self._channel.say(**{"is": word, **more})

    def beat(self) -> None:
        """Say from now on, each second, that this loop turns."""
        self.say("beat")
        self._loop.call_later(BEAT_SECONDS, self.beat)

    async def next_orders(self) -> Orders | None:
        """The orders, or None if it is to end before they came."""
        ended = self._loop.create_task(self.end.wait())
        await asyncio.wait([self.orders, ended], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        return self.orders.result() if self.orders.done() else None

    def _heard(self, message: Message) -> None:
        if message.get("do") == "work" and not self.orders.done():
            self.orders.set_result(msgspec.convert(message["orders"], Orders))
        elif message.get("do") == "warm":
            # While it waits for its orders: the rooms of development, which no other worker loads before it must.
            import_module("tenantry.dev")
            import_module("tenantry.dispatch.blocked")
        elif message.get("do") == "drain":
            self.grace_seconds = float(message.get("seconds", self.grace_seconds))
            self.end.set()


def is_mended_by_saving(error: TenantryError) -> bool:
    """Whether a start that failed so may go well when a file of the application is saved."""
    code = (
        AppBroken,
        BuilderError,
        IsolationBroken,
        MigrationChanged,
        MigrationFailed,
        ResourcesFailed,
        TableNotProtected,
    )
    return isinstance(error, code)


def begin(lifeline: str) -> None:
    """Before the loop: leave the terminal's and PM2's signals to the supervisor, and do not outlive it."""
    soften()
    # A terminal and PM2 send SIGINT to the whole tree, a closed terminal SIGHUP: the supervisor decides.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()  # SIGABRT, sent to a process that hangs: where it hangs stands in the log
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    threading.Thread(target=_watch, args=(int(lifeline),), daemon=True).start()


def _watch(lifeline: int) -> None:
    os.set_inheritable(lifeline, False)
    while os.read(lifeline, 1):
        pass
    time.sleep(ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def run(work: Callable[[], Awaitable[None]], say_failed: list[Inside]) -> int:
    """Run the process's work; foreseen faults are words for the log and the supervisor, and an exit code."""
    import uvloop

    async def working() -> int:
        try:
            await work()
        except (StartError, BuilderError) as error:
            sys.stderr.write(f"{error}\n")
            for inside in say_failed:
                inside.say("failed", why=str(error), mend=is_mended_by_saving(error))
            return 2 if isinstance(error, SettingsFaulty) else 1
        return 0

    return uvloop.run(working())
