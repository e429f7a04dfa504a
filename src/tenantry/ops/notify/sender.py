"""Sending: apprise in a thread, with a deadline of its own. Fails soft: whatever happens, a try is taken or not taken.

apprise blocks (4 s to connect, 4 s to read), so it never runs on the loop, and a channel that hangs holds its own thread only. Its
URLs hold secrets: neither they nor what it logs is ever logged here.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tenantry.ops.incidents import Notice
from tenantry.ops.notify.channel import Channel, addressed

DEADLINE_SECONDS = 10.0
MOST_AT_ONCE = 16
log = logging.getLogger("tenantry.notify")


class Sender:
    """Gives messages to channels."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def send(self, channel: Channel, notice: Notice) -> bool:
        """Whether the channel took it, within ten seconds."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="notify")
        loop = asyncio.get_running_loop()
        url = addressed(channel, notice.incident)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                is_taken = await loop.run_in_executor(self._threads, _notify, url, notice)
        except TimeoutError:
            is_taken = False
        except Exception as error:
            log.warning("channel %s failed: %s", channel.name, type(error).__name__)
            return False
        if not is_taken:
            log.warning("channel %s did not take a message of incident %s", channel.name, notice.incident)
        return is_taken

    def close(self) -> None:
        """Let no further thread begin; those that hang end by their own timeouts."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _notify(url: str, notice: Notice) -> bool:
    import apprise

    library: Any = apprise
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines hold URLs
    target = library.Apprise()
    if not target.add(url):
        return False
    kind = library.NotifyType.SUCCESS if notice.is_over else (
        library.NotifyType.FAILURE if notice.severity == "critical" else library.NotifyType.WARNING
    )  # fmt: skip
    return bool(target.notify(title=notice.title, body=notice.body, notify_type=kind))


def is_usable(channel: Channel) -> bool:
    """Whether apprise knows what to do with the channel's URL; nothing is sent."""
    import apprise

    library: Any = apprise
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    return bool(library.Apprise().add(channel.url.reveal()))
