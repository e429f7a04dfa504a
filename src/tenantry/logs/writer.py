"""Lines to a file descriptor from a thread: who logs never waits for who reads.

Bounded: a reader that is too slow, or has stopped, costs lines (which are counted), not memory and not a request's time.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable

MOST_LINES = 10_000
"""Waiting to be written: more than a second of the busiest worker."""
GATHER_SECONDS = 0.1
"""Lines are written some at once: a system call for each would cost more than the line."""


class Writer:
    """Writes to `fd`. `dropped` is called with the count, in the writing thread, when lines had to be given up."""

    def __init__(self, fd: int, *, most_lines: int = MOST_LINES) -> None:
        """The thread begins with the first line, so that a process that forks first has one of its own."""
        self._fd = fd
        self._most = most_lines
        self._lines: list[str] = []
        self._lost = 0
        self._is_awake = False
        self._wakes = threading.Event()
        self._empty = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped: Callable[[int], None] = _nothing
        os.register_at_fork(after_in_child=self._forked)

    def put(self, line: str) -> None:
        """Have this written, its line break included."""
        if len(self._lines) >= self._most:
            self._lost += 1
            return
        # Asked for anew: the writing thread may just have taken the list, and what is added to that one now is lost.
        self._lines.append(line)
        if not self._is_awake:
            self._is_awake = True
            self._empty.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tenantry-log", daemon=True)
                self._thread.start()
            self._wakes.set()

    def flush(self, seconds: float = 1.0) -> None:
        """Wait until all is written, but not for long."""
        if self._thread is not None:
            self._empty.wait(seconds)

    def _forked(self) -> None:
        self._lines = []
        self._thread = None
        self._is_awake = False
        self._wakes = threading.Event()
        self._empty = threading.Event()

    def _run(self) -> None:
        while True:
            self._wakes.wait()
            self._wakes.clear()
            time.sleep(GATHER_SECONDS)
            self._is_awake = False
            # One piece, one write: each would give the interpreter's lock away and ask for it anew.
            waiting, self._lines = self._lines, []
            if waiting:
                self._write("".join(waiting).encode("utf-8", "backslashreplace"))
            lost, self._lost = self._lost, 0
            if lost:
                self.dropped(lost)
            if not self._lines:
                self._empty.set()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._fd, view)
            except BlockingIOError:
                select.select([], [self._fd], [], 1.0)
                continue
            except OSError:  # nobody reads any more: there is nobody to tell
                return
            view = view[written:]


def _nothing(_: int) -> None:
    return


def stderr_is_terminal() -> bool:
    """Whether a person reads along."""
    with contextlib.suppress(OSError):
        return os.isatty(2)
    return False
