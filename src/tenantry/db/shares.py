"""Whose a trip is, how much of the pool its tenant holds, and what it may have. Pure: the time comes in.

Which tenant a credential belongs to, only the database knows, and tells it in `enter`'s answer; it is remembered here **for
scheduling only**. A wrong guess costs a place in a queue and opens nothing: every trip enters its tenant anew. Credentials are kept
as Python's keyed hash of them, never themselves. Bounds and reasons: docs/explanation/fair-shares.md.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

from tenantry.db.pacing import Pacing

if TYPE_CHECKING:
    from tenantry.db.trip import Entry

MOST_KNOWN = 32_768
"""Credentials in one of the two generations that are kept; some 5 MB when both are full."""
GENERATION_SECONDS = 300.0
"""A credential is asked for anew after five to ten minutes, so that one which has moved, or ended, is not believed for long."""
CONTENDED_SECONDS = 1.0
"""So long after a tenant within its share had to wait, nobody goes over theirs: else its next request would wait again."""
BURST_SECONDS = 10.0
"""A budget may be spent so much ahead."""


class Limits(Struct, frozen=True):
    """What one tenant may have of one worker."""

    share: float = 0.5
    """Part of the pool while others want it too."""
    rate: int = 0
    """Requests a second; 0 is any number."""
    budget: float = 0.0
    """Seconds of database time a second; 0 is any."""


class Noisy(Struct, frozen=True):
    """What one tenant asked for since the last look. `tenant` is None for all whose tenant is not known."""

    tenant: str | None
    calls: int
    refused: int
    seconds: float


class Share:
    """One tenant as the pool sees it."""

    __slots__ = (
        "budget", "budget_at", "busy", "calls", "flying", "is_free", "left", "looked", "rate_at", "refused", "seconds", "tenant", "tokens",
    )  # fmt: skip

    def __init__(self, tenant: bytes | None) -> None:
        self.tenant = tenant
        self.is_free = tenant is None
        """Not one tenant: bound by its turns alone."""
        self.busy = 0
        """Connections that it holds."""
        self.flying = 0
        """Its trips on shared connections."""
        self.left = inf
        """How many calls it may make at this moment, where it is paced."""
        self.calls = 0
        self.looked = 0
        self.refused = 0
        self.seconds = 0.0
        self.tokens = self.rate_at = 0.0
        self.budget = self.budget_at = 0.0


class Shares:
    """The tenants of one pool."""

    def __init__(self, size: int, lane_size: int, limits: Limits) -> None:
        """`size` connections, and room for `lane_size` trips on shared ones."""
        self.strangers = Share(None)
        """All whose tenant is not known yet: together they weigh as one tenant."""
        self.own = Share(None)
        """Statements of ours, without a credential."""
        self.limits = limits
        self.pacing = Pacing(limits.share)
        self.is_limited = bool(limits.rate or limits.budget)
        self.cap = max(1, int(size * limits.share))
        self.reserve = size // 8 if limits.share < 1 else 0
        """The last free connections go to tenants that hold none, so that a lonely one leaves the next something."""
        self.lane_cap = max(1, int(lane_size * limits.share))
        self.lane_most = max(1, lane_size - lane_size // 8) if limits.share < 1 else lane_size
        self.contended_until = 0.0
        self._known: dict[int, Share] = {}
        self._known_before: dict[int, Share] = {}
        self._tenants: dict[bytes, Share] = {}
        self._tenants_before: dict[bytes, Share] = {}
        self._turned_at = 0.0
        self._active: list[Share] = []

    # ------------------------------------------------------------------ whose

    def of(self, entry: Entry | None) -> Share:
        """Whose a trip is, by its credential; counts it."""
        if entry is None:
            return self.own
        key = hash(entry.credential)
        share = self._known.get(key)
        if share is None:
            share = self._known_before.get(key, self.strangers)
        if not share.calls:
            self._active.append(share)
        share.calls += 1
        return share

    def learn(self, credential: bytes, tenant: bytes | None) -> None:
        """`enter` has said which tenant a credential is in."""
        if tenant is None:
            return
        share = self._tenants.get(tenant)
        if share is None:
            share = self._tenants[tenant] = self._tenants_before.get(tenant) or Share(tenant)
        self._known[hash(credential)] = share
        if len(self._known) >= MOST_KNOWN:
            self._turn()

    def age(self, now: float) -> None:
        """Forget what is old."""
        if now - self._turned_at >= GENERATION_SECONDS:
            self._turned_at = now
            self._turn()

    def _turn(self) -> None:
        self._known_before, self._known = self._known, {}
        # One that holds or wants something stays the same, whatever its age: its counts must not be lost.
        busy = {tenant: share for tenant, share in self._tenants_before.items() if share.busy or share.flying}
        self._tenants_before, self._tenants = self._tenants, busy

    # ------------------------------------------------------------------ what it may have

    def may_hold(self, share: Share, idle: int, now: float) -> bool:
        """Whether it may have one more of the `idle` connections that are free."""
        if share.is_free:
            return True
        if share.left < 1 or (share.busy and idle <= self.reserve):
            return False
        return share.busy < self.cap or now >= self.contended_until

    def may_fly(self, share: Share, now: float) -> bool:
        """Whether it may have one more trip on the shared connections."""
        flying = share.flying
        if share.left < 1:
            return False
        return flying < self.lane_cap or share.is_free or (now >= self.contended_until and flying < self.lane_most)

    def waits(self, share: Share, others: int, now: float) -> None:
        """A trip must wait while others hold so many connections: when its tenant is within its share, all are to keep to theirs."""
        if others > 0 and share.busy < self.cap and share.left >= 1 and not share.is_free:
            self.contended_until = now + CONTENDED_SECONDS

    def waits_to_fly(self, share: Share, others: int, now: float) -> None:
        """The same for the shared connections, on which others have so many trips."""
        if others > 0 and share.flying < self.lane_cap and share.left >= 1 and not share.is_free:
            self.contended_until = now + CONTENDED_SECONDS

    def is_over(self, share: Share, now: float) -> bool:
        """Whether it has all that it may while others want theirs: then it is told so, and not that the pool is full."""
        if share.is_free:
            return False
        is_at_cap = share.busy >= self.cap or share.flying >= self.lane_cap
        return share.left < 1 or (is_at_cap and now < self.contended_until)

    def look(self, now: float, used: float) -> bool:
        """Whether somebody is paced; `used` is the CPU seconds of the loop's thread so far."""
        self.pacing.look(now, used, self._active)
        return self.pacing.paced is not None

    # ------------------------------------------------------------------ rate and budget

    def excess(self, share: Share, now: float) -> tuple[str, float] | None:
        """Which of its bounds the tenant is over, and for how many seconds; else the request is charged, and None."""
        limits = self.limits
        if share.is_free:
            return None
        if limits.budget:
            most = limits.budget * BURST_SECONDS
            share.budget = (
                min(most, share.budget + (now - share.budget_at) * limits.budget) if share.budget_at else most
            )
            share.budget_at = now
            if share.budget < 0:
                return "tenant_budget", -share.budget / limits.budget
        if limits.rate:
            tokens = (
                min(limits.rate, share.tokens + (now - share.rate_at) * limits.rate) if share.rate_at else limits.rate
            )
            share.rate_at = now
            share.tokens = tokens
            if tokens < 1:
                return "tenant_rate", (1 - tokens) / limits.rate
            share.tokens = tokens - 1
        return None

    # ------------------------------------------------------------------ who is noisy

    def noisiest(self, most: int) -> list[Noisy]:
        """Who took most of the database's time since the last look; the counts begin anew."""
        active, self._active = self._active, []
        found = [
            Noisy(None if one.tenant is None else str(UUID(bytes=one.tenant)), one.calls, one.refused, one.seconds)
            for one in heapq.nlargest(most, active, key=lambda one: (one.seconds, one.calls))
        ]
        for one in active:
            one.calls = one.refused = 0
            one.seconds = 0.0
        return found
