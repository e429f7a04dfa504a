"""Who answers under `serve --reload` while the application does not start: in development with what is wrong, elsewhere a plain 503.

It loads neither driver nor application, and ends when the first worker is ready.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

from tenantry.processes.inside import Inside, begin, run
from tenantry.processes.log import start_log
from tenantry.processes.orders import settings_for
from tenantry.processes.worker import listener_of

if TYPE_CHECKING:
    from tenantry.http import Handler
    from tenantry.settings import Settings


def main(arguments: list[str]) -> int:
    """Arguments: as a worker's."""
    channel, lifeline, _, listener = arguments
    begin(lifeline)
    inside: list[Inside] = []

    async def work() -> None:
        inside.append(Inside(channel))
        await _work(inside[0], listener_of(listener))

    return run(work, inside)


async def _work(inside: Inside, listener: socket.socket) -> None:
    from tenantry.http import HttpLimits, NativeServer

    orders = await inside.next_orders()
    if orders is None:
        return
    settings = settings_for(orders)
    start_log(settings)
    server = NativeServer(_handler(settings), HttpLimits())
    await server.start([listener])
    inside.say("ready")
    inside.beat()
    await inside.end.wait()
    await asyncio.wait([asyncio.ensure_future(server.drain(inside.grace_seconds))])


def _handler(settings: Settings) -> Handler:
    if settings.env == "development":
        from tenantry.dev import stand_in

        return stand_in(settings)
    from tenantry.app import not_open

    def refuse(request: object, respond: object) -> None:
        del request
        respond(not_open())  # pyright: ignore[reportCallIssue] - a Respond

    return refuse  # pyright: ignore[reportReturnType] - a Handler


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
