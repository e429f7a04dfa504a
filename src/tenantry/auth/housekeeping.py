"""What sign-in does beside requests, in every worker: chain the trail, clear away what is over, note when keys were used.

Each piece is small, may be done by several workers at once, and is done again later when it failed. Nothing here is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tenantry.auth.credential import KEY_PREFIX
from tenantry.auth.seal import mark_of
from tenantry.errors import TenantryError

if TYPE_CHECKING:
    from tenantry.auth.accounts import Accounts

log = logging.getLogger("tenantry.auth")

SEAL_SECONDS = 60.0
CLEAN_SECONDS = 3600.0
"""More often than the day that is promised: a worker that is replaced every few hours gets to it as well."""
CLEAN_BATCH = 1000
MOST_BATCHES = 200
USES_SECONDS = 60.0
SECRET_SECONDS = 4.0
REMIND_DAYS = 90
MOST_KEYS = 10_000
"""Keys that one worker notes in a minute; more are noted the next time that they come by."""


class Housekeeping:
    """The tasks of one worker."""

    def __init__(self, accounts: Accounts, secret: bytes | None = None) -> None:
        """`secret` is the one that signs."""
        self.accounts = accounts
        self.secret = secret
        self._used: set[bytes] = set()
        self._tasks = [
            asyncio.get_running_loop().create_task(self._again(what, seconds, name))
            for what, seconds, name in (
                (accounts.seal, SEAL_SECONDS, "the trail was not sealed"),
                (self.clean, CLEAN_SECONDS, "expired sessions were not cleared away"),
                (self.write_uses, USES_SECONDS, "the keys' last use was not noted"),
            )
        ]
        if secret is not None:
            self._tasks.append(asyncio.get_running_loop().create_task(self._look_after_secret()))

    async def _look_after_secret(self) -> None:
        """Soon after the start, since a rotation is followed by one; then each day, for the reminder."""
        await asyncio.sleep(SECRET_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter is no secret
        with contextlib.suppress(TenantryError):
            await self.note_secret()
        await self._again(self.note_secret, 86_400.0, "the secret's age is not known")

    async def note_secret(self) -> int:
        """Note since when the secret signs, and remind of its rotation; its age in days."""
        if self.secret is None:
            return 0
        days = int(await self.accounts.secret_in_use(mark_of(self.secret)) // 86_400)
        if days > REMIND_DAYS:
            log.warning(
                "AUTH_SECRET has signed for %d days; change it: tenantry secret rotate && tenantry reload", days
            )
        return days

    async def _again(self, what: Callable[[], Awaitable[int]], seconds: float, failed: str) -> None:
        """Each at a moment of its own, so that workers that start together do not ask together."""
        while True:
            await asyncio.sleep(seconds * (0.5 + random.random()))  # noqa: S311 - jitter is no secret
            try:
                await what()
            except TenantryError as error:
                log.warning("%s: %s", failed, error.code)

    async def clean(self) -> int:
        """Delete sessions, links, invitations and limits that are over, batch by batch; how many."""
        gone = 0
        for _ in range(MOST_BATCHES):
            found = await self.accounts.clean(CLEAN_BATCH)
            gone += found
            if found < CLEAN_BATCH:
                break
            await asyncio.sleep(0.05)
        return gone

    def used(self, key: bytes) -> None:
        """An API key was presented; whether it is a good one, the writing finds out."""
        if len(self._used) < MOST_KEYS:
            self._used.add(key)

    async def write_uses(self) -> int:
        """Write down which keys were used since the last time; how many."""
        if not self._used:
            return 0
        used, self._used = self._used, set()
        start = len(KEY_PREFIX)
        return await self.accounts.keys_used(
            [(key[start : start + 10].decode("ascii"), hashlib.sha256(key).hexdigest()) for key in used]
        )

    async def close(self) -> None:
        """Stop, and write what is known of the keys, if the database answers at once."""
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TenantryError, TimeoutError):
            await asyncio.wait_for(self.write_uses(), 1.0)
