"""What every open stream has: bytes that may come before their outlet, a ping, an end, and a session that is looked after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tenantry.dispatch.watch import Holder

if TYPE_CHECKING:
    from tenantry.dispatch.rounds import Rounds, Turn
    from tenantry.dispatch.run import Run
    from tenantry.http import Outlet


class Held:
    """The outlet of a stream, which ASGI servers give a moment later than it is asked for."""

    __slots__ = ("early", "outlet", "turn")

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.early: list[bytes] | None = []
        self.turn: Turn | None = None

    def opened(self, outlet: Outlet) -> None:
        """The head is sent: what was written meanwhile follows."""
        self.outlet = outlet
        early, self.early = self.early, None
        if early:
            outlet.send(b"".join(part for part in early if part))
        if early is not None and b"" in early:
            outlet.end()

    def write(self, data: bytes) -> None:
        """Send, and count as a word."""
        if self.turn is not None:
            self.turn.heard()
        if self.outlet is not None:
            self.outlet.send(data)
        elif self.early is not None:
            self.early.append(data)

    async def drained(self) -> None:
        """Wait until the client has taken enough."""
        if self.outlet is not None and self.outlet.is_full:
            await self.outlet.drained()

    def ping(self, rounds: Rounds, word: bytes) -> None:
        """Send `word` after each silence of the rounds."""

        def speak() -> None:
            outlet = self.outlet
            if outlet is not None and not outlet.is_full:
                outlet.send(word)

        self.turn = rounds.join(speak)

    def end(self) -> None:
        """The stream is complete."""
        if self.turn is not None:
            self.turn.leave()
        if self.outlet is not None:
            self.outlet.end()
        elif self.early is not None:
            self.early.append(b"")


def watched(run: Run, ended: Callable[[], None]) -> Callable[[], Any]:
    """Have the session or key of a tenant's stream looked after while it is open; gives what ends that."""
    session, credential = run.session, run.visit.credential
    if session is None or credential is None:
        return _nothing
    tenant = None if session.membership is None else session.membership.tenant_id
    return run.visit.road.watch.add(Holder(credential.token, run.procedure.need or "member", tenant), ended)


def _nothing() -> None:
    return None
