"""Eight restarts and eight reloads at about 1,000 requests a second: none is dropped. The tables of docs/soak.md."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes.place import Place

CLIENTS, PAUSE_SECONDS = 40, 0.035
DEADLINE_SECONDS = float(os.environ.get("TENANTRY_SOAK_DEADLINE", "5"))
TIMES = int(os.environ.get("TENANTRY_SOAK_TIMES", "8"))
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


async def loaded(place: Place, change: Callable[[Place], Awaitable[None]], *clients_: str) -> dict[str, Any]:
    """Do it under a load (a module of this folder and its arguments); what the clients saw."""
    module, *arguments = clients_
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.soak.{module}", str(place.port), "/trpc/test.ping", *arguments],
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
    rows = [await loaded(place, change, "load", str(CLIENTS), str(PAUSE_SECONDS)) for _ in range(TIMES)]
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


@pytest.mark.soak
@pytest.mark.parametrize("change", [stop_and_start, restart, reload])
async def test_arrivals_that_do_not_wait_are_all_answered(
    place: Place, change: Callable[[Place], Awaitable[None]]
) -> None:
    """A thousand a second by a clock, whatever the service does; a start takes seconds, and all who came meanwhile are answered."""
    place.serve("--workers", "2")
    rows = [await loaded(place, change, "arrivals", "1000", str(DEADLINE_SECONDS)) for _ in range(TIMES)]
    for number, row in enumerate(rows, 1):
        sys.stderr.write(f"{change.__name__} {number}: {json.dumps(row)}\n")
    sys.stderr.write(
        f"{change.__name__}: {sum(row['begun'] for row in rows)} arrived, worst {max(row['worst_seconds'] for row in rows)} s\n"
    )
    assert [row["failures"] for row in rows] == [{}] * TIMES
    assert [row["never_over"] for row in rows] == [0] * TIMES
    assert all(set(row["statuses"]) == {"200"} for row in rows)
