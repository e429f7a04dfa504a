"""How a mount of the application speaks: `app.mount("/superjson", transformer="superjson")`. Values only.

Every mount serves the same procedures; each has its own path, transformer, limits and stream options. What is left out has the
default of the settings or of tRPC.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Transformer = Literal["superjson"]


class Sse(Struct, frozen=True, kw_only=True):
    """Server-sent events. None turns a thing off.

    `ping_ms` of silence bring a ping; a client that hears nothing for `reconnect_after_inactivity_ms` connects anew (it must be
    more than `ping_ms`); after `max_duration_ms` the stream ends and the client goes on with another.
    """

    ping_ms: int | None = 10_000
    reconnect_after_inactivity_ms: int | None = 30_000
    max_duration_ms: int | None = None

    def __post_init__(self) -> None:
        if self.ping_ms and self.reconnect_after_inactivity_ms and self.ping_ms > self.reconnect_after_inactivity_ms:
            message = "ping_ms must be less than reconnect_after_inactivity_ms, else silent clients reconnect for ever"
            raise ValueError(message)


class Jsonl(Struct, frozen=True, kw_only=True):
    """Streamed batches. `ping_ms` sends a space so often, for proxies that close silent connections."""

    ping_ms: int | None = None
    content_type: str = "application/json"


class WebSockets(Struct, frozen=True, kw_only=True):
    """WebSockets. `ping_ms` of silence bring a PING, and without any word within `pong_wait_ms` the socket is closed.

    A message has at most `max_message_bytes`; a frame `max_batch` messages; a socket `max_calls` running at once and
    `max_subscriptions`. What is over a limit is answered with an error, and the socket goes on.
    """

    ping_ms: int | None = 30_000
    pong_wait_ms: int = 5_000
    max_message_bytes: int = 1 << 20
    max_batch: int | None = None
    max_calls: int = 100
    max_subscriptions: int = 200


class Mount(Struct, frozen=True, kw_only=True):
    """One place where the procedures are called. `max_batch`, `max_body_bytes`, `development`: None is the settings' value."""

    path: str
    transformer: Transformer | None = None
    allow_method_override: bool = False
    batching: bool = True
    max_batch: int | None = None
    max_body_bytes: int | None = None
    development: bool | None = None
    sse: Sse = Sse()
    jsonl: Jsonl = Jsonl()
    ws: WebSockets = WebSockets()

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or self.path.rstrip("/") != self.path.rstrip() or "%" in self.path:
            message = f'a mount\'s path looks like "/trpc", not "{self.path}"'
            raise ValueError(message)
