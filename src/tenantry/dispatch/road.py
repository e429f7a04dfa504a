"""What the way of a request needs, wired once by `app`: the road, and each mount at work on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from tenantry.db import Pool
from tenantry.dispatch.hooks import Hooks, ResponseInfo
from tenantry.dispatch.rounds import Rounds
from tenantry.errors import TenantryError
from tenantry.http import Intake
from tenantry.rpc import Limits, Mount, Procedure, shape
from tenantry.rpc.call import is_streamed
from tenantry.rpc.codec import Codec, codec_of

if TYPE_CHECKING:
    from tenantry.auth import SignIn
    from tenantry.dispatch.events import EventStream
    from tenantry.dispatch.sockets import WebSocket
    from tenantry.dispatch.watch import SessionWatch
    from tenantry.signals import Signals

log = logging.getLogger("tenantry.request")
Headers = list[tuple[bytes, bytes]]


class Spans(Protocol):
    """Hears of calls that are over."""

    def add(
        self,
        procedure: str,
        status: int,
        code: str | None,
        began: float,
        ended: float,
        request_id: str,
        headers: Headers,
    ) -> None:
        """One call; times are `time.perf_counter`'s, `code` is the tRPC name of its error."""
        ...


class Lines(Protocol):
    """Has a line of every call that is over: the log, and in development `/_dev` before it."""

    def add(
        self, procedure: str, status: int, code: str | None, began: float, ended: float, inside: Any, request_id: str, headers: Headers,
    ) -> None:  # fmt: skip
        """See `logs.RequestLines.add`."""
        ...


class Developer(Protocol):
    """Who is told of every error in development, and knows why new code does not start."""

    def failed(self, error: BaseException, path: str | None, request_id: str) -> None:
        """A call, or a whole request (no path), fails with this."""
        ...

    def stale(self) -> str:
        """Why the code that is on disk does not serve; empty where it does."""
        ...


class Road(Struct, frozen=True):
    """What every request needs."""

    procedures: Mapping[str, Procedure[..., Any]]
    pool: Pool
    accounts: Pool
    signals: Signals
    lines: Lines | None
    """Where each call has its line in the log; None for none."""
    resources: Any
    origins: frozenset[str]
    deadline_ms: int
    batch_share: int
    """How many calls of one batch may hold a connection at once, so that one batch never takes the whole pool."""
    is_development: bool
    watch: SessionWatch
    asking_origins: frozenset[str]
    """Origins whose pages may act with a cookie, beside the host that is asked and our public origin."""
    own_origin: str | None
    session_cookies: tuple[bytes, ...]
    """The names that the session cookie may have here."""
    auth: SignIn
    hooks: Hooks = Hooks()
    spans: Spans | None = None
    """Who is told of every call that is over; None for nobody."""
    developer: Developer | None = None
    """In development `/_dev`; None in production."""

    def facts(self, error: BaseException, path: str | None, request_id: str, place: Place | None) -> dict[str, Any]:
        """The error shape of whatever was raised, with what the application adds to its data."""
        is_development = self.is_development if place is None else place.is_development
        facts = shape(error, path, request_id=request_id, is_development=is_development)
        if self.developer is not None and is_development:
            self.developer.failed(error, path, request_id)
            stale = self.developer.stale()
            if stale:
                facts["data"]["reload"] = stale
                facts["data"].setdefault("help", stale)
        add = self.hooks.error_data
        if add is not None and isinstance(error, Exception):
            try:
                more = add(error, path)
                if more is not None:
                    facts["data"] = {**msgspec.to_builtins(more, str_keys=True), **facts["data"]}
            except Exception:
                log.exception("error_data raised; the error is answered without it")
        return facts


class Place:
    """A mount at work in this process: what it allows, its codec, its timers, its WebSockets."""

    def __init__(self, mount: Mount, *, max_batch: int, max_body_bytes: int, is_development: bool) -> None:
        """What the mount leaves open has the settings' values."""
        self.mount = mount
        self.path = mount.path.rstrip("/")
        self.prefix = self.path + "/"
        self.codec: Codec = codec_of(mount.transformer)
        self.is_plain = self.codec.is_plain
        self.is_development = is_development if mount.development is None else mount.development
        self.max_body_bytes = mount.max_body_bytes or max_body_bytes
        self.whole = Intake(self.max_body_bytes)
        self.limits = Limits(
            max_batch=mount.max_batch or max_batch,
            allow_batch=mount.batching,
            allow_method_override=mount.allow_method_override,
        )
        self.sockets: set[WebSocket] = set()
        self.streams: set[EventStream] = set()
        self.sse_pings = Rounds(mount.sse.ping_ms)
        self.sse_ends = Rounds(mount.sse.max_duration_ms)
        self.jsonl_pings = Rounds(mount.jsonl.ping_ms)
        self.socket_pings = Rounds(mount.ws.ping_ms)
        self.socket_ends = Rounds(mount.ws.pong_wait_ms if mount.ws.ping_ms else None)

    def intake(self, path: str, headers: Headers, procedures: Mapping[str, Procedure[..., Any]]) -> Intake:
        """How the body of a request is taken."""
        for name, content_type in headers:
            if name == b"content-type":
                if content_type != b"application/json" and is_streamed(content_type):
                    break
                return self.whole
        else:
            return self.whole
        procedure = procedures.get(path[len(self.prefix) :])
        own = None if procedure is None else procedure.max_bytes
        return Intake(own or self.max_body_bytes, is_streamed=True)

    def broadcast_reconnect(self) -> int:
        """Ask every client with a WebSocket here to connect anew; gives how many were asked."""
        sockets = list(self.sockets)
        for socket in sockets:
            socket.ask_to_reconnect()
        return len(sockets)

    def drop_sockets(self) -> int:
        """Cut every WebSocket here; gives how many."""
        sockets = list(self.sockets)
        for socket in sockets:
            socket.abort()
        return len(sockets)

    def drain(self) -> None:
        """Send everyone elsewhere: sockets are asked to reconnect, streams end so that their clients come back."""
        self.broadcast_reconnect()
        for stream in list(self.streams):
            stream.drain()

    def close(self) -> None:
        """Stop the timers, and cut what is still open."""
        self.drop_sockets()
        for rounds in (self.sse_pings, self.sse_ends, self.jsonl_pings, self.socket_pings, self.socket_ends):
            rounds.close()


def add_meta(road: Road, headers: Headers, status: int, info: ResponseInfo) -> int:
    """Add what the application's `response_meta` says to an answer's head; gives the status."""
    hook = road.hooks.response_meta
    if hook is None:
        return status
    try:
        meta = hook(info)
    except Exception:
        log.exception("response_meta raised; the answer goes out without it")
        return status
    if meta is None:
        return status
    pairs = meta.headers.items() if isinstance(meta.headers, Mapping) else meta.headers
    for name, value in pairs:
        add_header(headers, name.lower().encode("ascii"), value.encode("latin-1"))
    return meta.status or status


def add_header(headers: Headers, name: bytes, value: bytes) -> None:
    """Add a line; `vary` grows instead, since caches read one."""
    if name == b"vary":
        for index, (other, held) in enumerate(headers):
            if other == name:
                known = {part.strip().lower() for part in held.split(b",")}
                more = [part.strip() for part in value.split(b",") if part.strip().lower() not in known]
                headers[index] = (name, b", ".join([held, *more]))
                return
    headers.append((name, value))


def is_ours(error: BaseException) -> bool:
    """Whether an error has a tRPC code of its own."""
    return isinstance(error, TenantryError)
