"""The dead man's switch: a GET each minute to somebody outside, who pages when it stops. Fails soft, and says so in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tenantry.settings import Secret

DEADLINE_SECONDS = 5.0
log = logging.getLogger("tenantry.watch")


class Heartbeat:
    """Sends while the watcher is well."""

    def __init__(self, url: Secret | None, *, every_seconds: float, sent: Callable[[], None]) -> None:
        """`sent` is called for each beat that was taken."""
        self.url = url
        self.sent = sent
        self.every_seconds = every_seconds
        self.next_at = 0.0
        self.under_way: asyncio.Task[None] | None = None

    async def turn(self, now: float, *, is_well: bool) -> None:
        """Begin a beat if one is due; it is not waited for."""
        if self.url is None or not is_well or now < self.next_at or self.under_way is not None:
            return
        self.next_at = now + self.every_seconds
        self.under_way = asyncio.create_task(self._beat(self.url))

    async def _beat(self, url: Secret) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS + 1):
                await asyncio.to_thread(_get, url.reveal())
            self.sent()
        except Exception as error:
            log.warning("the heartbeat could not be sent: %s", type(error).__name__)
        finally:
            self.under_way = None


def _get(url: str) -> None:
    import urllib.request  # 3 MB, and most have no such URL

    if not url.startswith(("http://", "https://")):
        message = "a heartbeat goes to http(s)"
        raise ValueError(message)
    with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:  # noqa: S310 - the scheme is checked above
        answer.read(1024)
