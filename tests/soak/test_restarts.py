"""Eight restarts and eight reloads at about 1,000 requests a second: none is dropped. The table of docs/soak.md."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from tests.processes.place import Load, Place, get_request, under_load

TIMES = 8


async def stop_and_start(place: Place) -> None:
    assert place.served is not None
    place.served.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(place.served.wait, 20) == 0
    await asyncio.to_thread(place.serve, "--workers", "2")


async def restart(place: Place) -> None:
    assert (await asyncio.to_thread(place.command, "restart")).returncode == 0


async def reload(place: Place) -> None:
    assert (await asyncio.to_thread(place.command, "reload")).returncode == 0


@pytest.mark.soak
@pytest.mark.parametrize("change", [stop_and_start, restart, reload])
async def test_eight_of_eight_drop_nothing(place: Place, change: object) -> None:
    place.serve("--workers", "2")
    rows: list[Load] = []
    for _ in range(TIMES):
        async with under_load(place.port, get_request("test.ping"), clients=40, pause=0.03) as load:
            await asyncio.sleep(1)
            await change(place)  # type: ignore[operator]
            await asyncio.sleep(1)
        rows.append(load)
    for number, row in enumerate(rows, 1):
        sys.stderr.write(
            f"{getattr(change, '__name__', '')} {number}: {len(row.failures)} of {row.count} failed, worst {row.worst_seconds:.2f} s\n"
        )
    assert [row.failures for row in rows] == [[]] * TIMES
    assert all(row.answers.keys() == {200} for row in rows)
