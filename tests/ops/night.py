"""One watcher as a process of its own, to be killed: `python -m tests.ops.night HOME URL`. The database is down all the time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tenantry.ops.alerts import Series
from tenantry.ops.watch import Watch
from tenantry.settings import Secret, Settings

TICK = 3.0
"""A fifth of the ordinary tick: the first page leaves two seconds after firing."""


async def sample() -> dict[Series, float | None]:
    """Health has failed for the fourth time."""
    return {Series.of("health_check_consecutive_failures"): 4.0}


if __name__ == "__main__":
    home, url = sys.argv[1:]
    asyncio.run(Watch(Settings(home=Path(home), notify_l1=Secret(url)), sample, tick_seconds=TICK).run(asyncio.Event()))
