"""One process of the supervisor's: started afresh (never forked), spoken to over its channel, ended with it.

A fresh interpreter costs a tenth of a second more than a fork and shares nothing: no libpq connection, no uvloop, no
thread's lock, no half-read random state; and after a reload it has the new code, which a fork of an old process would
not. The listening socket is inherited as a descriptor; everything else comes over the channel.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from tenantry.processes.channel import Channel, Message
from tenantry.processes.manager import children_environment

Role = Literal["prepare", "worker", "watcher", "stand_in"]
State = Literal["starting", "ready", "draining", "gone"]


class Child:
    """A process, what it last said, and futures for "ready" and "gone"."""

    def __init__(self, role: Role, number: int, listener: socket.socket | None, gone: Callable[[Child], None]) -> None:
        self.role = role
        self.number = number
        self.state: State = "starting"
        self.said: Message = {}
        self.why = ""
        self.is_mendable = False
        """Whether it failed for what saving a file of the application can mend."""
        self.started = self.beat_at = time.monotonic()
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[bool] = loop.create_future()
        """True when it says that it works, False when it ends before."""
        self.gone: asyncio.Future[int] = loop.create_future()
        """Its exit code; negative for a signal."""
        self._on_gone = gone
        ours, theirs = socket.socketpair()
        # Read by a thread of the child, so that a blocked loop hears of our end as well.
        lifeline, self._lifeline = os.pipe()
        passed = [theirs.fileno(), lifeline]
        arguments = [str(theirs.fileno()), str(lifeline), str(number)]
        if listener is not None:
            passed.append(listener.fileno())
            arguments.append(str(listener.fileno()))
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"tenantry.processes.{role}", *arguments],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                env=children_environment(),
            )
        finally:
            theirs.close()
            os.close(lifeline)
        self.pid = self.process.pid
        self._channel = Channel(ours, self._heard, self._ended)

    def say(self, **message: Any) -> None:
        """Send a message."""
        self._channel.say(**message)

    def drain(self, seconds: float) -> None:
        """Ask it to end: no new requests, what is under way within `seconds`."""
        if self.state != "gone":
            self.state = "draining"
            self.say(do="drain", seconds=seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it is there."""
        if self.state != "gone" and self.process.poll() is None:
            self.process.send_signal(number)

    async def end(self, seconds: float) -> int:
        """Wait for its end; after `seconds` it is killed."""
        done, _ = await asyncio.wait([self.gone], timeout=seconds)
        if not done:
            self.send(signal.SIGKILL)
        return await asyncio.shield(self.gone)

    def _heard(self, message: Message) -> None:
        self.beat_at = time.monotonic()
        match message.get("is"):
            case "ready":
                self.state = "ready"
                self._answer(is_ready=True)
            case "prepared":
                self.said = message
                self._answer(is_ready=True)
            case "failed":
                self.why = str(message.get("why", ""))
                self.is_mendable = bool(message.get("mend"))
            case _:
                self.said = message

    def _answer(self, *, is_ready: bool) -> None:
        if not self.ready.done():
            self.ready.set_result(is_ready)

    def _ended(self) -> None:
        """The channel is closed: the process ends, or has lost its mind. It is reaped as soon as it is dead."""
        self._reap(time.monotonic() + 2.0)

    def _reap(self, until: float) -> None:
        code = self.process.poll()
        if code is None:
            if time.monotonic() > until:
                self.process.kill()
            asyncio.get_running_loop().call_later(0.01, self._reap, until)
            return
        self._channel.close()
        os.close(self._lifeline)
        self.state = "gone"
        self._answer(is_ready=False)
        self.gone.set_result(code)
        self._on_gone(self)
