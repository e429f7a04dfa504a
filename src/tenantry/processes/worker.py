"""A worker: one event loop, one pool, the requests. It starts, says that it is ready, beats, and drains when told."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tenantry.errors import DatabaseNotReady
from tenantry.processes import heap
from tenantry.processes.application import load
from tenantry.processes.inside import Inside, begin, run
from tenantry.processes.log import start_log
from tenantry.processes.orders import settings_for
from tenantry.processes.probe import ends_within
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.http import NativeServer

LEAST_PAUSE, MOST_PAUSE = 0.2, 5.0
LAST_SECONDS = 1.0
log = logging.getLogger("tenantry")


def main(arguments: list[str]) -> int:
    """Arguments: descriptors of the channel and the lifeline, this worker's number, descriptor of the listener."""
    channel, lifeline, number, listener = arguments
    begin(lifeline)
    _load_libraries()
    inside: list[Inside] = []

    async def work() -> None:
        inside.append(Inside(channel))
        await _work(inside[0], int(number), listener_of(listener))

    return run(work, inside)


def _load_libraries() -> None:
    """While the supervisor looks at the database: what takes long to load, and does not depend on what it finds."""
    for name in (
        "psycopg",
        "uvloop",
        "tenantry.app",
        "tenantry.auth.opening",
        "tenantry.auth.procedures",
        "tenantry.db",
        "tenantry.db.migrate",
        "tenantry.dispatch",
        "tenantry.http",
        "tenantry.ops",
        "tenantry.tenancy",
    ):
        import_module(name)


def listener_of(argument: str) -> socket.socket:
    """The listening socket that was inherited, by the argument that names it."""
    os.set_inheritable(int(argument), False)
    listener = socket.socket(fileno=int(argument))
    listener.setblocking(False)
    return listener


async def _work(inside: Inside, number: int, listener: socket.socket) -> None:
    from tenantry.http import HttpLimits, NativeServer

    orders = await inside.next_orders()
    if orders is None:
        return
    started = time.monotonic()
    given = settings_for(orders)
    app = load(orders.app, given)
    settings = settings_for(orders, app.settings_type)
    start_log(settings)
    inside.beat()
    if not await _open(inside, app, settings, is_patient=orders.is_patient):
        return
    limits = HttpLimits(max_body_bytes=settings.max_body_bytes, max_header_bytes=settings.max_header_bytes)
    server = NativeServer(app.handler, limits)
    await server.start([listener])
    inside.say("ready")
    log.info("worker %d ready after %.0f ms", number, (time.monotonic() - started) * 1000)
    heap.start(app)
    await inside.end.wait()
    await _drain(app, server, inside.grace_seconds)


async def _open(inside: Inside, app: Tenantry[Any], settings: Settings, *, is_patient: bool) -> bool:
    """Open the application; a replacement waits for a database that is away, since there is nothing better to do."""
    pause = LEAST_PAUSE
    while True:
        try:
            await app.open(settings)
        except DatabaseNotReady as error:
            if not is_patient:
                raise
            log.warning("waiting for the database: %s", error.message)
            if await ends_within(inside.end, pause):
                return False
            pause = min(pause * 2, MOST_PAUSE)
        else:
            return True


async def _drain(app: Tenantry[Any], server: NativeServer, grace_seconds: float) -> None:
    """Not ready, no new connections, what is under way within the grace. What still runs in its last second is cancelled in
    the database, and so answered, instead of being cut off."""
    app.begin_drain()
    draining = asyncio.ensure_future(server.drain(grace_seconds))
    await asyncio.wait([draining], timeout=max(0.0, grace_seconds - LAST_SECONDS))
    await app.close(0.0 if draining.done() else 0.1)
    await draining


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
