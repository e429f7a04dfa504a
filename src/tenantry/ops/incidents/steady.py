"""A clock that setting the wall clock does not move, and that goes on over restarts: seconds since the epoch.

It is the wall clock of the first look, carried on by the monotonic one. After a reboot, when the monotonic clock starts anew, it
takes the wall clock again, and never goes back.
"""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Base(Struct):
    """What must outlive a restart."""

    boot: str
    offset: float
    last: float = 0.0


def boot_id() -> str:
    """What changes when the monotonic clock starts anew."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        import psutil

        # Whole minutes: what other systems say of their start moves a little when the wall clock is corrected.
        return f"{psutil.boot_time() / 60:.0f}"


class Steady:
    """`now()` in seconds since the epoch."""

    def __init__(self, base: Base | None = None) -> None:
        boot = boot_id()
        wall = time.time()
        if base is None or base.boot != boot:
            before = 0.0 if base is None else base.last
            base = Base(boot, max(wall, before) - time.monotonic())
        self.base = base

    def now(self) -> float:
        """Seconds since the epoch."""
        self.base.last = time.monotonic() + self.base.offset
        return self.base.last
