"""The watcher's memory on disk, and the way in for commands: files in TENANTRY_HOME, since incidents happen without a database.

`watch.json` is written whole and replaced in one step, after each change. Commands (`tenantry incident ack …`) are small files in
`inbox/`; the watcher takes them in order and answers beside them. Both are for this account only.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from tenantry.files import write_whole
from tenantry.ops.incidents.model import Incident
from tenantry.ops.incidents.silence import Silence
from tenantry.ops.incidents.steady import Base

Verb = Literal["ack", "unack", "note", "resolve", "open", "silence", "unsilence", "cause", "remedy"]
MOST_COMMANDS = 100
"""Taken in one go; what waits beyond it is taken at the next."""


class Memory(Struct):
    """Everything that outlives a restart. `evaluator` and `outbox` are the JSON of those rooms."""

    base: Base
    written_at: float
    evaluator: msgspec.Raw = msgspec.Raw(b"null")
    outbox: msgspec.Raw = msgspec.Raw(b"null")
    incidents: list[Incident] = field(default_factory=list[Incident])
    silences: list[Silence] = field(default_factory=list[Silence])
    firing: list[str] = field(default_factory=list[str])
    pid: int = 0
    heard: list[str] = field(default_factory=list[str])
    """The last events from outside that were obeyed, by their ids."""


class Command(Struct):
    """What somebody says to the watcher."""

    verb: Verb
    by: str
    id: str = ""
    text: str = ""
    kind: str = ""
    silence: Silence | None = None
    event: str = ""
    """Of what came from outside: its id there. One that comes again means nothing."""


class Reply(Struct):
    """What it answers."""

    is_done: bool
    text: str = ""


class Book:
    """The files of one TENANTRY_HOME."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "watch"
        self.path = self.folder / "watch.json"
        self.inbox = self.folder / "inbox"

    def read(self) -> Memory | None:
        """What was written last; None if there is nothing, or nothing that can be read (it is put aside, not lost)."""
        try:
            text = self.path.read_bytes()
        except OSError:
            return None
        try:
            return msgspec.json.decode(text, type=Memory)
        except msgspec.DecodeError:
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_suffix(".broken"))
            return None

    def write(self, memory: Memory) -> None:
        """Replace what was written. Raises OSError."""
        self.put(msgspec.json.encode(memory))

    def put(self, text: bytes) -> None:
        """The same, of a memory that is encoded already."""
        self._make()
        write_whole(self.path, text, is_durable=True)

    def say(self, command: Command, *, wait_seconds: float = 3.0) -> Reply | None:
        """Give a command to the watcher, and wait for its answer; None if it does not answer in that time.

        The command is then still there, and is taken when a watcher runs.
        """
        self._make()
        name = f"{time.monotonic_ns():020d}-{secrets.token_hex(4)}"
        write_whole(self.inbox / f"{name}.json", msgspec.json.encode(command), is_durable=True)
        answer = self.inbox / f"{name}.reply"
        until = time.monotonic() + wait_seconds
        while time.monotonic() < until:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                reply = msgspec.json.decode(answer.read_bytes(), type=Reply)
                answer.unlink()
                return reply
            time.sleep(0.05)
        return None

    def commands(self) -> list[tuple[Path, Command | None]]:
        """What waits, oldest first; None for what cannot be read."""
        try:
            paths = sorted(self.inbox.glob("*.json"))[:MOST_COMMANDS]
        except OSError:
            return []
        found: list[tuple[Path, Command | None]] = []
        for path in paths:
            try:
                found.append((path, msgspec.json.decode(path.read_bytes(), type=Command)))
            except (OSError, msgspec.DecodeError):
                found.append((path, None))
        return found

    def answer(self, path: Path, reply: Reply) -> None:
        """The command of that file is done; its answer lies there for whoever waits."""
        with contextlib.suppress(OSError):
            path.unlink()
        with contextlib.suppress(OSError):
            write_whole(path.with_suffix(".reply"), msgspec.json.encode(reply), is_durable=True)

    def tidy(self) -> None:
        """Remove answers that nobody fetched."""
        with contextlib.suppress(OSError):
            for path in self.inbox.glob("*.reply"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > 60:
                        path.unlink()

    def _make(self) -> None:
        self.inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)


__all__ = ["Book", "Command", "Memory", "Reply"]
