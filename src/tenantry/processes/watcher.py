"""The watcher: a process of its own for all that looks from the side, whatever workers and PostgreSQL do.

`PARTS` is what it runs, each until the end is told. A part that fails is logged and begun again a tick later; it never
takes the others with it, for that is what the watcher is for.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from tenantry.processes.alarm import alarm
from tenantry.processes.diagnosis import diagnosis
from tenantry.processes.inside import Inside, begin, run
from tenantry.processes.log import start_log
from tenantry.processes.orders import settings_for
from tenantry.processes.probe import ends_within
from tenantry.processes.sparing import give_back, one_arena
from tenantry.settings import Settings

Part = Callable[[Settings, asyncio.Event], Awaitable[None]]
log = logging.getLogger("tenantry.watcher")


def main(arguments: list[str]) -> int:
    """Arguments: descriptors of the channel and the lifeline, a number that is not used."""
    channel, lifeline, *_ = arguments
    one_arena()
    begin(lifeline)
    inside: list[Inside] = []

    async def work() -> None:
        inside.append(Inside(channel))
        orders = await inside[0].next_orders()
        if orders is not None:
            inside[0].beat()
            inside[0].say("ready")
            settings = settings_for(orders)
            start_log(settings)
            await watch(settings, inside[0].end)

    return run(work, inside)


async def watch(settings: Settings, ended: asyncio.Event) -> None:
    """Run every part until the end."""
    await asyncio.gather(*(_keep_running(part, settings, ended) for part in PARTS))


async def sparing(settings: Settings, ended: asyncio.Event) -> None:
    """Each minute, what is free goes back to the system."""
    while not await ends_within(ended, 4.0 * settings.tick):
        give_back()


async def _keep_running(part: Part, settings: Settings, ended: asyncio.Event) -> None:
    while not ended.is_set():
        try:
            await part(settings, ended)
        except Exception:
            log.exception("%s failed, and is begun again", getattr(part, "__name__", "a part"))
            await ends_within(ended, settings.tick)


PARTS: tuple[Part, ...] = (alarm, diagnosis, sparing)


def watch_alone(settings: Settings) -> None:
    """`tenantry watch`: in the foreground until Ctrl-C or SIGTERM, for an API under a stock ASGI server."""
    import uvloop

    async def work() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await watch(settings, ended)

    uvloop.run(work())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
