"""A million requests (TENANTRY_SOAK_REQUESTS): the worker's memory is flat after the first tenth."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import psutil
import pytest

from tests.conftest import Database
from tests.processes.place import Place, get_request, one_request, post_request

REQUESTS = int(os.environ.get("TENANTRY_SOAK_REQUESTS", "1000000"))
MOST_GROWTH = 0.05


@pytest.mark.soak
async def test_memory_stays_flat(place: Place, database: Database) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    place.serve()
    worker = psutil.Process(place.workers[0])
    done = 0
    sizes: list[tuple[int, float]] = []

    async def client(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        while done < REQUESTS:
            done += 1
            turn = done
            path = ("test.read", "users.list", f"invented.number{turn}", "health.liveness")[(number + turn) % 4]
            request = get_request(path, token)
            if turn % 50 == 0:
                request = post_request("test.add", b'{"body":"n%d"}' % turn, token)
            status, _, _ = await one_request(reader, writer, request)
            assert status in (200, 404), status
            if turn % max(1, REQUESTS // 20) == 0:
                sizes.append((turn, worker.memory_info().rss / 1e6))
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(client(n) for n in range(16)))
    seconds = time.monotonic() - started
    sys.stderr.write(
        f"{REQUESTS} requests in {seconds:.0f} s; " + ", ".join(f"{n}: {mb:.1f} MB" for n, mb in sizes) + "\n"
    )
    settled = sizes[1][1]
    assert sizes[-1][1] < settled * (1 + MOST_GROWTH), sizes
