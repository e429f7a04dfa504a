"""Server-sent events as bytes, as `httpSubscriptionLink` reads them (tRPC 11, `stream/sse.ts`). Pure.

Every event has a `data:` line, even an empty one: an EventSource does not dispatch an event without it, and `return` unheard
makes clients reconnect for ever. Values are JSON of one line, so no line is ever split.
"""

from __future__ import annotations

import msgspec

from tenantry.rpc.mount import Sse

HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
PING = b"event: ping\ndata: \n\n\n"
RETURN = b"event: return\ndata: \n\n\n"


def connected(options: Sse) -> bytes:
    """The first event: what the client should know."""
    client = {}
    if options.reconnect_after_inactivity_ms:
        client["reconnectAfterInactivityMs"] = options.reconnect_after_inactivity_ms
    return b"event: connected\ndata: " + msgspec.json.encode(client) + b"\n\n\n"


def serialized_error(shape: bytes) -> bytes:
    """An error in the stream, which ends after it."""
    return b"event: serialized-error\ndata: " + shape + b"\n\n\n"


class Events:
    """The values of one stream; it remembers the id that the client's EventSource holds."""

    __slots__ = ("last_id",)

    def __init__(self, last_event_id: str | None) -> None:
        """`last_event_id` as the client sent it; one that cannot be an id is none."""
        is_id = last_event_id and not any(c in last_event_id for c in "\0\r\n")
        self.last_id = last_event_id.encode() if is_id and last_event_id else None

    def value(self, data: bytes, id: str | None = None) -> bytes:  # noqa: A002 - the field's name
        """One value. An untracked one after an id clears it and puts it back, else the client would wrap it as tracked."""
        if id is not None:
            self.last_id = id.encode()
            return b"data: " + data + b"\nid: " + self.last_id + b"\n\n\n"
        if self.last_id is None:
            return b"data: " + data + b"\n\n\n"
        return b"data: " + data + b"\nid: \n\n\nevent: restore-id\ndata: \nid: " + self.last_id + b"\n\n\n"
