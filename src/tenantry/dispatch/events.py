"""A subscription as server-sent events: connected, values, pings, return or an error; each end has its own meaning to a client.

`return` stops the client for good. A stream that simply ends (its longest time, a deploy) makes it come back with the last id;
so does an internal error in the stream, and any other error stops it with that error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry.dispatch.exchange import Exchange
from tenantry.dispatch.held import Held, watched
from tenantry.dispatch.road import add_meta
from tenantry.dispatch.run import Run
from tenantry.errors import RpcError, Unauthorized
from tenantry.http import Stream
from tenantry.rpc.call import parameter
from tenantry.rpc.later import StreamLike
from tenantry.rpc.sse import HEADERS, PING, RETURN, Events, connected, serialized_error
from tenantry.rpc.tracked import tracked_of

if TYPE_CHECKING:
    from tenantry.dispatch.rounds import Turn
    from tenantry.rpc import Parsed, Procedure


class EventStream(Exchange):
    """A request of `httpSubscriptionLink`."""

    __slots__ = ("ending", "held", "last_event_id", "run")

    def begin(self, parsed: Parsed, known: dict[bytes, bytes]) -> None:
        """Send the head and `connected` before anything runs; whatever fails from here on is told in the stream."""
        call = parsed.calls[0]
        self.params = parsed.params
        self.media = parsed.media
        self.last_event_id = last_event_id(self.request.query, known)
        if self.road.hooks.response_meta is not None:
            self.paths, self.type = [call.path], "subscription"
        error: RpcError | None = None
        try:
            self.identify(known)
        except RpcError as wrong:
            error = wrong
        if call.error is not None and "allow" in call.error.data:
            self.reply_headers.append((b"allow", str(call.error.data["allow"]).encode("ascii")))
        call.error = call.error or error
        self.encodes_plainly = False
        self.held = Held()
        self.ending: Turn | None = None
        headers = [*self.head(HEADERS[0]), *HEADERS[2:]]
        status = add_meta(self.road, headers, 200, self.info(is_eager=True))
        self.held.write(connected(self.place.mount.sse))
        self.respond(Stream(status, headers, self.held.opened))
        self.place.streams.add(self)
        self.run = Run(self, self, call, 0)
        self.running.append(self.run)
        self.run.start()

    def caching(self) -> tuple[bytes, bytes] | None:
        return HEADERS[1]

    # ------------------------------------------------------------------ what a Run asks of its host

    def arguments(self, run: Run) -> tuple[Any, ...]:
        codec = self.place.codec
        if self.last_event_id:
            return codec.resumed(run.procedure, run.call.raw, self.last_event_id)
        return codec.arguments(run.procedure, run.call.raw)

    def encode(self, procedure: Procedure[..., Any], value: Any) -> Any:
        if hasattr(value, "__aiter__"):
            raise StreamLike
        message = f"the subscription {procedure.path} gave {type(value).__name__}, and no async iterator"
        raise TypeError(message)

    async def deliver(self, run: Run, value: Any) -> None:
        held, procedure, codec = self.held, run.procedure, self.place.codec
        events = Events(self.last_event_id)
        held.ping(self.place.sse_pings, PING)
        self.ending = self.place.sse_ends.join(self.drain)
        leave = watched(run, self.session_over)
        values = aiter(value)
        try:
            async for one in values:
                tracked = tracked_of(one)
                if tracked is not None:
                    held.write(events.value(codec.data(procedure, tracked.data), tracked.id))
                else:
                    held.write(events.value(codec.data(procedure, one)))
                await held.drained()
        finally:
            leave()
            self.leave()
            close = getattr(values, "aclose", None)
            if close is not None:
                await close()
        held.write(RETURN)
        self.finish()

    def failed(self, run: Run, error: BaseException, facts: dict[str, Any]) -> None:
        if self.is_done:
            return
        self.held.write(serialized_error(self.place.codec.error(facts)))
        self.finish()

    # ------------------------------------------------------------------ the ends

    def finish(self) -> None:
        """Nothing more is written."""
        if self.is_done:
            return
        self.is_done = True
        self.leave()
        self.held.end()

    def leave(self) -> None:
        """No pings and no end any more."""
        self.place.streams.discard(self)
        if self.held.turn is not None:
            self.held.turn.leave()
        if self.ending is not None:
            self.ending.leave()

    def session_over(self) -> None:
        """The session has ended, and so does what it opened."""
        self.failed(self.run, Unauthorized(), self.run.facts(Unauthorized()))
        self.run.cancel()

    def drain(self) -> None:
        """End without `return`, so that the client comes back, to another process perhaps."""
        self.finish()
        self.run.cancel()

    def cancel(self) -> None:
        super().cancel()
        self.leave()


def last_event_id(query: bytes, known: dict[bytes, bytes]) -> str | None:
    """The id after which the client goes on: the header's, else the URL's."""
    raw = known.get(b"last-event-id")
    if raw is None and b"vent" in query:
        raw = parameter(query, b"lastEventId")
        if raw is None:
            raw = parameter(query, b"Last-Event-Id")
    return None if raw is None else raw.decode("utf-8", "replace")
