"""The load: clients of two tenants in a loop, and every request that was not answered well, counted by tenant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from msgspec import Struct

from tenantry.drills.wire import call

CLIENTS = 2
"""Of each tenant: enough for rates, few enough for a small machine."""
PAUSE_SECONDS = 0.1
SERVER_FAULT = 500


class Tally(Struct):
    """What the clients of one tenant saw."""

    requests: int = 0
    lost: int = 0
    """Refused, cut off, late, or answered with a 5xx."""


async def _client(port: int, token: str, tally: Tally, number: int) -> None:
    turn = 0
    while True:
        turn += 1
        is_writing = turn % 5 == 0
        try:
            status, _ = await call(
                port, "notes.add" if is_writing else "notes.recent", {"body": f"client {number}, turn {turn}"} if is_writing else None,
                token=token, is_mutation=is_writing, seconds=10.0,
            )  # fmt: skip
            tally.lost += status >= SERVER_FAULT
        except (OSError, EOFError, TimeoutError, ValueError):
            tally.lost += 1
        tally.requests += 1
        await asyncio.sleep(PAUSE_SECONDS)


@contextlib.asynccontextmanager
async def under_load(port: int, tokens: dict[str, str]) -> AsyncGenerator[dict[str, Tally]]:
    """Clients of each tenant until the end of the block."""
    tallies = {name: Tally() for name in tokens}
    running = [
        asyncio.create_task(_client(port, token, tallies[name], number))
        for name, token in tokens.items()
        for number in range(CLIENTS)
    ]
    try:
        yield tallies
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
