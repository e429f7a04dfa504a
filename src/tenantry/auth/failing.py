"""Credentials that open nothing, presented at procedures: counted by sender, and refused by 429 when they are too many.

Each is counted once a minute: a page that goes on asking with a session that has ended guesses nothing.
A good credential is never looked at here, so nobody is shut out for what their neighbours do. PostgreSQL counts for all workers
(`take_limits`, the same window as for sign-in's own paths); who is over is remembered here until the window ends. So a flood costs
a look into a table of bounded size, and never more than `MOST_ASKING` statements at once of the pool that sign-in lives by.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenantry.errors import TenantryError

if TYPE_CHECKING:
    from tenantry.auth.accounts import Accounts

log = logging.getLogger("tenantry.auth")

MOST, SECONDS = 30, 60
MOST_SENDERS = 10_000
"""Windows that one worker remembers; a sender whose window was dropped for others is counted by PostgreSQL all the same."""
MOST_REQUESTS = 1000
MOST_ASKING = 2
Tell = Callable[[int], None]
"""Hears how many seconds the sender must wait; 0: it need not."""


class Window:
    """One sender's running minute, as far as this worker knows."""

    __slots__ = ("ends", "is_over", "seen")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.seen: set[int] = set()
        """Hashes (of this process) of what was presented; one more than MOST at most."""
        self.is_over = False


class Failing:
    """The counts of one worker."""

    def __init__(self, accounts: Accounts, *, is_on: bool) -> None:
        self.accounts = accounts
        self.is_on = is_on
        self.windows: OrderedDict[str, Window] = OrderedDict()
        self._told: OrderedDict[str, int | list[Tell]] = OrderedDict()
        self._asking: set[asyncio.Task[None]] = set()

    def count(self, sender: str, presented: int, request_id: str, tell: Tell) -> None:
        """Count one request of the sender, whatever many calls of it failed; `tell` hears of it, now or a trip later.

        `presented` is a hash of the credential: the same one again is no guess.
        """
        if not self.is_on:
            tell(0)
            return
        known = self._told.get(request_id)
        if isinstance(known, int):
            tell(known)
            return
        if known is not None:
            known.append(tell)
            return
        window = self._window(sender)
        if presented in window.seen:
            self._keep(request_id, 0)
            tell(0)
            return
        if len(window.seen) > MOST:
            window.is_over = True
        else:
            window.seen.add(presented)
            window.is_over = window.is_over or len(window.seen) > MOST
        if window.is_over or len(self._asking) >= MOST_ASKING:
            wait = self._wait(window)
            self._keep(request_id, wait)
            tell(wait)
            return
        self._keep(request_id, [tell])
        task = asyncio.get_running_loop().create_task(self._ask(sender, window, request_id))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, sender: str, window: Window, request_id: str) -> None:
        try:
            wait = await self.accounts.wait_of([(f"token:{sender}", MOST, SECONDS, 1)])
        except TenantryError as error:
            # Limits are no reason to fail: the credential was refused already.
            log.warning("a failing credential was not counted: %s", error.code)
            wait = 0
        if wait:
            window.is_over = True
            window.ends = time.monotonic() + wait
        tells = self._told.get(request_id)
        self._keep(request_id, wait)
        for tell in tells if isinstance(tells, list) else ():
            tell(wait)

    def _window(self, sender: str) -> Window:
        now = time.monotonic()
        found = self.windows.get(sender)
        if found is None or found.ends <= now:
            found = self.windows[sender] = Window(now + SECONDS)
        self.windows.move_to_end(sender)
        if len(self.windows) > MOST_SENDERS:
            self.windows.popitem(last=False)
        return found

    @staticmethod
    def _wait(window: Window) -> int:
        return max(1, round(window.ends - time.monotonic())) if window.is_over else 0

    def _keep(self, request_id: str, told: int | list[Tell]) -> None:
        """The calls of a batch, and of a WebSocket, fail together: they are one try."""
        self._told[request_id] = told
        # One that still waits for its answer is never the one to go: of those there are MOST_ASKING.
        while len(self._told) > MOST_REQUESTS:
            oldest = next(iter(self._told))
            if isinstance(self._told[oldest], list):
                self._told.move_to_end(oldest)
                continue
            del self._told[oldest]
