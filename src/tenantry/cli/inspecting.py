"""What `tenantry heap`, `profile` and `slow` have in common: which worker is meant, and where their files lie."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops.inspect import Worker


def meant(settings: Settings, arguments: argparse.Namespace) -> list[Worker]:
    """The workers that `--worker` names: a process id, or `all`; without it the one that has served longest. Raises InspectFailed."""
    from tenantry.ops.inspect import InspectFailed, workers

    found = workers(settings.home)
    if not found:
        raise InspectFailed(
            what="Looking for workers", why=f"none runs in {settings.home}",
            cure="Start one: tenantry serve   (or set TENANTRY_HOME to where it runs, as the same account)",
        )  # fmt: skip
    if arguments.worker == "all":
        return found
    if arguments.worker is None:
        return found[:1]
    chosen = [one for one in found if str(one.pid) == arguments.worker]
    if not chosen:
        pids = ", ".join(str(one.pid) for one in found)
        raise InspectFailed(
            what=f"Worker {arguments.worker[:20]}", why=f"there is none of that process id; there are {pids}",
            cure="Name one of them, or all.",
        )  # fmt: skip
    return chosen


def folder(settings: Settings, name: str, given: Path | None) -> Path:
    """Where files go, for this account only."""
    place = given or settings.home / name
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def stamp() -> str:
    """`20261125-041503-271`, UTC: two in one second are two."""
    now = time.time()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now * 1000) % 1000:03}"


def size(number: float) -> str:
    """`1.2 MB`, with its sign where it is below zero."""
    for unit in ("B", "kB", "MB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def seconds(text: str) -> float:
    """Of an option: above 0."""
    number = float(text)
    if not 0 < number <= 600:
        raise ValueError
    return number
