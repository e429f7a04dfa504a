"""Whether those who subscribe are still signed in: one clock for all of a worker, one statement for a thousand credentials.

The statement names who is live and as what. Who is missing from it, or has another role, is judged by `tenantry.enter` itself, with
the procedure's need: whatever a credential may be one day, one rule decides. Within 5 s of its session's end a subscription raises.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING

from tenantry.errors import TenantryError
from tenantry.events.channel import REFUSED, Member
from tenantry.events.places import look

if TYPE_CHECKING:
    from tenantry.events.hub import Hub

log = logging.getLogger("tenantry.events")

EVERY_SECONDS = 1.5
BATCH = 1000
LIVE = """
select l.n::text, l.role
  from tenantry.live_sessions(
           array(select pg_catalog.decode(h.hash, 'hex')
                   from pg_catalog.string_to_table($1::text, ',') with ordinality as h (hash, n)
                  order by h.n),
           pg_catalog.string_to_array($2::text, ',')::uuid[]) l
"""


class Watch:
    """Credentials of live subscriptions, and who lives by each."""

    def __init__(self, hub: Hub) -> None:
        """Checks while anybody is here."""
        self.hub = hub
        self.members: dict[bytes, set[Member]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, member: Member) -> None:
        """A subscription is live."""
        self.members.setdefault(member.entry.credential, set()).add(member)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._check_again())

    def remove(self, member: Member) -> None:
        """A subscription is over."""
        token = member.entry.credential
        held = self.members.get(token)
        if held is not None:
            held.discard(member)
            if not held:
                del self.members[token]

    def refuse(self, member: Member, error: TenantryError) -> None:
        """A credential no longer lets this subscription in: nor any of the same credential that needs as much."""
        for one in list(self.members.get(member.entry.credential, ())):
            if one.entry.need == member.entry.need:
                one.end(error)

    def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def _check_again(self) -> None:
        try:
            while self.members:
                await asyncio.sleep(EVERY_SECONDS)
                try:
                    await self.check()
                except TenantryError as error:
                    # Nobody is ended because the database is away: without it there are no events either.
                    log.warning("sessions of subscriptions cannot be checked: %s", error.code)
        finally:
            self._task = None

    async def check(self) -> None:
        """Ask about every credential once."""
        tokens = list(self.members)
        for first in range(0, len(tokens), BATCH):
            batch = [
                (token, next(iter(held)))
                for token in tokens[first : first + BATCH]
                if (held := self.members.get(token))
            ]
            if not batch:
                continue
            rows = await self.hub.accounts.fetch(
                LIVE,
                ",".join(hashlib.sha256(token).hexdigest() for token, _ in batch),
                ",".join(str(member.entry.tenant) for _, member in batch),
            )
            roles = {int(n): role for n, role in rows}
            doubtful = [
                member
                for n, (token, _) in enumerate(batch, 1)
                for member in list(self.members.get(token, ()))
                if roles.get(n) != member.role
            ]
            await asyncio.gather(*(self._judge(member) for member in _one_each(doubtful)))

    async def _judge(self, member: Member) -> None:
        try:
            async with self.hub.reads:
                role = await look(self.hub.pool, member.entry)
        except REFUSED as error:
            self.refuse(member, error)
        except TenantryError as error:
            log.warning("a session of a subscription cannot be checked: %s", error.code)
        else:
            for one in self.members.get(member.entry.credential, ()):
                if one.entry.need == member.entry.need:
                    one.role = role


def _one_each(members: list[Member]) -> list[Member]:
    """One member for each credential and need: the others share its judgement."""
    return list({(m.entry.credential, m.entry.need): m for m in members}.values())
