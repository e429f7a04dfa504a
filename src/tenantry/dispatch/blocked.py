"""In development: who holds the worker's loop, while every other request waits (LOOP_BLOCKED). A thread looks, and only says.

The loop beats; when a beat is late the thread takes the stack of the loop's thread, finds the application's own line in it, and
tells with the next beat how long it took. In production nothing of this runs: the supervisor's heartbeat is enough there.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any

from msgspec import Struct

from tenantry.errors import LoopBlocked
from tenantry.rpc import Procedure
from tenantry.source import is_foreign, place

BEAT_SECONDS = 0.02
LATE_SECONDS = 0.1
"""Longer than an import's or a collection's pause, shorter than what a person notices."""
_CALL = re.compile(r"([A-Za-z_][\w.]*)\(")
MOST_ARGUMENTS = 60
"""Characters of a call's arguments that the cure repeats."""
log = logging.getLogger("tenantry.request")


class Place(Struct, frozen=True):
    """Where the loop was held."""

    procedure: str
    call: str
    arguments: str
    """As they are written: `url, timeout=3`; `…` where they are long, or no call is on the line."""
    where: str


class LoopWatch:
    """Begins with `start` in the loop's own thread; ends with `stop`."""

    def __init__(self, procedures: Mapping[str, Procedure[..., Any]]) -> None:
        self._paths: dict[CodeType, str] = {one.handler.__code__: path for path, one in procedures.items()}
        self._stop = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._seen: Place | None = None
        self._seen_at = 0.0

    def start(self) -> None:
        """Look from now on."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._at = time.monotonic()
        self._beat()
        threading.Thread(target=self._look, daemon=True, name="tenantry-loop-watch").start()

    def stop(self) -> None:
        """Look no longer."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        now = time.monotonic()
        seen, self._seen = self._seen, None
        if seen is not None:
            took_ms = round((now - self._seen_at) * 1000)
            error = LoopBlocked(
                procedure=seen.procedure, ms=took_ms, call=seen.call, where=seen.where,
                arguments=f", {seen.arguments}" if seen.arguments else "",
            )  # fmt: skip
            log.warning("%s", error, extra={"error": error})
        self._at = now
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)

    def _look(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            at = self._at
            if self._seen is None and time.monotonic() - at > LATE_SECONDS:
                place = found_in(sys._current_frames().get(self._thread), self._paths)  # pyright: ignore[reportPrivateUsage] - the only way to another thread's stack
                if place is not None and at == self._at:
                    self._seen_at, self._seen = at, place


def found_in(frame: FrameType | None, paths: Mapping[CodeType, str]) -> Place | None:
    """The application's innermost line of a stack, and the procedure that it belongs to; None if no handler runs."""
    line: FrameType | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if line is None and not is_foreign(file):
            line = frame
        path = paths.get(frame.f_code)
        if path is not None:
            line = line or frame
            text = linecache.getline(line.f_code.co_filename, line.f_lineno)
            call, arguments = call_on(text)
            where = place(line.f_code.co_filename, line.f_lineno)
            return Place(path, call or line.f_code.co_name, arguments, where)
        frame = frame.f_back
    return None


def call_on(text: str) -> tuple[str, str]:
    """The first call on a line of source, `requests.get` and `url`; ("", "…") where there is none."""
    found = _CALL.search(text)
    if found is None:
        return "", "…"
    depth, start = 1, found.end()
    for at in range(start, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0:
            inside = text[start:at].strip()
            return found[1], inside if len(inside) <= MOST_ARGUMENTS else "…"
    return found[1], "…"
