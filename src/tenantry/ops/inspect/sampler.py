"""Where a worker's time goes: its stack, looked at a hundred times a second from a thread beside the loop.

Only the names of functions and lines are read, and of two kinds of frames of our own the procedure that is served. A sample in which the
loop waits for the network is `(idle)`; one in which it works inside the event loop's C code is told apart by the thread's own CPU clock.
Nothing is switched on in the code that serves: when nobody looks, it costs nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from msgspec import Struct

MOST_SECONDS = 300.0
MOST_RATE = 500.0
MOST_STACKS = 20_000
DEEPEST = 200
IDLE, IN_LOOP, NO_CALL, MORE = "(idle)", "(event loop)", "(no call)", "(more stacks)"
_WAITING = frozenset({
    ("runners.py", "Runner.run"), ("selectors.py", "EpollSelector.select"), ("selectors.py", "KqueueSelector.select"),
    ("selectors.py", "PollSelector.select"), ("selectors.py", "SelectSelector._select"),
})  # fmt: skip
_BUSY_SHARE = 0.5


class Profile(Struct):
    """Samples by stack, outermost first. The first name is the procedure's path, `(no call)` or `(idle)`; see `frame_name`."""

    stacks: dict[tuple[str, ...], int]
    seconds: float = 0.0
    samples: int = 0
    missed: int = 0
    """Looks that came too late, since the interpreter was not let go (C code) or the machine was busy."""
    rate: float = 100.0
    cpu_seconds: float = 0.0
    """Of the loop's thread, by its own clock."""
    sampler_seconds: float = 0.0
    """CPU time of the sampling thread itself."""


def sample(thread: int, seconds: float, rate: float, has_gone: Callable[[], bool], *, others: bool = False) -> Profile:
    """Look at the thread with that identifier; with `others` at all threads."""
    rate = max(1.0, min(rate, MOST_RATE))
    found = Profile({}, rate=rate)
    own, step = threading.get_ident(), 1.0 / rate
    clock = _clock(thread)
    names = {one.ident: one.name for one in threading.enumerate()} if others else {}
    began, cpu, mine = time.monotonic(), clock(), time.thread_time()
    until, due, cpu_before, at_before = began + min(seconds, MOST_SECONDS), began + step, cpu, began
    while (now := time.monotonic()) < until:
        if due > now:
            time.sleep(due - now)
        late = int((time.monotonic() - due) / step)
        found.missed += late
        due += step * (late + 1)
        cpu_now, at = clock(), time.monotonic()
        is_busy = cpu_now - cpu_before > _BUSY_SHARE * (at - at_before)
        cpu_before, at_before = cpu_now, at
        _look(found, thread, own, names, is_busy=is_busy, others=others)
        found.samples += 1
        if not found.samples % 50 and has_gone():
            break
    found.seconds = round(time.monotonic() - began, 3)
    found.cpu_seconds, found.sampler_seconds = round(clock() - cpu, 4), round(time.thread_time() - mine, 4)
    return found


def _look(found: Profile, thread: int, own: int, names: dict[int | None, str], *, is_busy: bool, others: bool) -> None:
    """One sample. No frame is held a moment longer than needed: what it holds must end in its own thread."""
    for ident, frame in sys._current_frames().items():
        if ident == thread:
            _add(found, _stack(frame, is_busy=is_busy))
        elif others and ident != own:
            _add(found, (f"(thread {names.get(ident, 'unknown')})", *_names(frame)[0]))


def _clock(thread: int) -> Callable[[], float]:
    """The CPU clock of another thread; where the system has none, one that says that it works always."""
    try:
        number = time.pthread_getcpuclockid(thread)
        time.clock_gettime(number)
    except (AttributeError, OSError):
        return time.monotonic
    return lambda: time.clock_gettime(number)


def _add(found: Profile, stack: tuple[str, ...]) -> None:
    stacks = found.stacks
    if stack not in stacks and len(stacks) >= MOST_STACKS:
        stack = (MORE,)
    stacks[stack] = stacks.get(stack, 0) + 1


def _stack(frame: FrameType, *, is_busy: bool) -> tuple[str, ...]:
    code = frame.f_code
    names, procedure = _names(frame)
    if (code.co_filename.rpartition("/")[2], code.co_qualname) in _WAITING:
        return (IN_LOOP,) if is_busy else (IDLE,)
    return (procedure or NO_CALL, *names)


def _names(frame: FrameType | None) -> tuple[tuple[str, ...], str | None]:
    """The frames' names, outermost first, without what carries the loop; and the procedure that is served."""
    names: list[str] = []
    procedure: str | None = None
    while frame is not None and len(names) < DEEPEST:
        code = frame.f_code
        file = code.co_filename
        if procedure is None and file.endswith(_OURS):
            procedure = _procedure(frame)
        if (file.rpartition("/")[2], code.co_qualname) in _WAITING:
            break  # beneath it: how the process was started, the same in every sample
        names.append(frame_name(file, code.co_qualname, code.co_firstlineno))
        frame = frame.f_back
    names.reverse()
    return tuple(names), procedure


def frame_name(file: str, qualified: str, line: int) -> str:
    """`/app/notes.py`, `recent`, 12 → `recent (notes.py:12)`; of a package, from its folder on."""
    _, is_package, inside = file.rpartition("/site-packages/")
    if is_package:
        return f"{qualified} ({inside}:{line})"
    parts = file.split("/")
    if "tenantry" in parts[:-1]:
        return f"{qualified} ({'/'.join(parts[parts.index('tenantry') :])}:{line})"
    return f"{qualified} ({'/'.join(parts[-2:])}:{line})"


_OURS = ("tenantry/dispatch/run.py", "tenantry/db/session.py")


def _procedure(frame: FrameType) -> str | None:
    """The path that a frame of the dispatcher's `Run` or the database's `Session` works for. Nothing else of it is read."""
    mine: Any = frame.f_locals.get("self")
    for way in (("procedure", "path"), ("entry", "procedure")):
        value = mine
        for name in way:
            value = getattr(value, name, None)
        if isinstance(value, str):
            return value
    return None
