"""Eight restarts and eight reloads at about 1,000 requests a second: none is dropped. The table of docs/soak.md."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes.place import Place

TIMES = 8
CLIENTS, PAUSE_SECONDS = 40, 0.035
ROOT = Path(__file__).parents[2]


async def stop_and_start(place: Place) -> None:
    """What `pm2 restart` and `pm2 reload` do to a program that is not Node."""
    assert place.served is not None
    place.served.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(place.served.wait, 20) == 0
    await asyncio.to_thread(place.serve, "--workers", "2")


async def restart(place: Place) -> None:
    assert (await asyncio.to_thread(place.command, "restart")).returncode == 0


async def reload(place: Place) -> None:
    assert (await asyncio.to_thread(place.command, "reload")).returncode == 0


async def loaded(place: Place, change: Callable[[Place], Awaitable[None]]) -> dict[str, Any]:
    """Do it under load; what the clients saw."""
    arguments = [str(place.port), "/trpc/test.ping", str(CLIENTS), str(PAUSE_SECONDS)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.soak.load", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as clients:
        await asyncio.sleep(2)
        await change(place)
        await asyncio.sleep(2)
        out, _ = await asyncio.to_thread(clients.communicate, b"", 60)
    return json.loads(out)


@pytest.mark.soak
@pytest.mark.parametrize("change", [stop_and_start, restart, reload])
async def test_eight_of_eight_drop_nothing(place: Place, change: Callable[[Place], Awaitable[None]]) -> None:
    place.serve("--workers", "2")
    rows = [await loaded(place, change) for _ in range(TIMES)]
    for number, row in enumerate(rows, 1):
        sys.stderr.write(f"{change.__name__} {number}: {json.dumps(row)}\n")
    answers = sum(sum(row["statuses"].values()) for row in rows)
    rates = sorted(row["median_rate"] for row in rows)
    worst = max(row["worst_seconds"] for row in rows)
    sys.stderr.write(
        f"{change.__name__}: {answers} answered, median of {rates[len(rates) // 2]} a second, worst {worst} s\n"
    )
    assert [row["failures"] for row in rows] == [[]] * TIMES
    assert all(set(row["statuses"]) == {"200"} for row in rows)
