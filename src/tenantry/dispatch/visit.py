"""What the calls of one request, or of one WebSocket, have in common: who asks, where, and under which id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tenantry.auth import counted_as, find_credential, sender
from tenantry.context import Headers, Visitor
from tenantry.errors import BadRequest
from tenantry.identity import Credential

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenantry.dispatch.road import Place, Road

MAX_KEY_BYTES = 255
PRESENTED = (b"authorization", b"x-api-key", b"cookie")
"""Where a credential stands, be it one or not."""


class Visit:
    """Base of whoever carries calls."""

    __slots__ = (
        "admission", "believed_tenant", "credential", "headers", "idempotency_key", "is_private", "is_special", "params", "place",
        "reply_headers", "request_id", "road",
    )  # fmt: skip

    def __init__(self, road: Road, place: Place, headers: Headers, request_id: str) -> None:
        self.road = road
        self.place = place
        self.headers = headers
        self.request_id = request_id
        self.reply_headers: Headers = []
        self.params: dict[str, str] | None = None
        self.credential: Credential | None = None
        self.believed_tenant: UUID | None = None
        self.idempotency_key: str | None = None
        self.is_private = False
        """Whether a call looked at the credential: then no shared cache may keep the answer."""
        self.is_special = road.hooks.admission is not None
        """Whether every call needs its own task."""
        self.admission: asyncio.Future[None] | None = None

    def identify(self, known: dict[bytes, bytes]) -> None:
        """Find the credential, and the tenant that the caller believes to be in. Raises BadRequest.

        A client that cannot set headers (EventSource, WebSocket) sends `token` and `tenant` as connection params.
        """
        self.credential = find_credential(self.headers, self.road.session_cookies)
        believed = known.get(b"x-tenantry-tenant")
        if self.params is not None:
            token, tenant = self.params.get("token"), self.params.get("tenant")
            if token is not None:
                self.credential = find_credential([(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))])
            if tenant is not None and believed is None:
                believed = tenant.encode("utf-8", "replace")
        if believed is not None:
            self.believed_tenant = tenant_of(believed)
        key = known.get(b"idempotency-key")
        if key is not None:
            if not 0 < len(key) <= MAX_KEY_BYTES or not key.isascii():
                message = f"An Idempotency-Key is 1 to {MAX_KEY_BYTES} ASCII characters"
                raise BadRequest(message)
            self.idempotency_key = key.decode("ascii")
            self.is_special = True

    @property
    def peer(self) -> str | None:
        """The address at the other end of the connection."""
        raise NotImplementedError

    @property
    def address(self) -> str | None:
        """Who sends: the peer, or what trusted proxies say of it. Found out when asked: few requests ask."""
        return sender(self.headers, self.peer, self.road.auth.configuration.proxies)

    def refused(self, tell: Callable[[int], None]) -> None:
        """The credential opens nothing: it is counted, and `tell` hears how long the sender must wait."""
        presented = hash(
            (*(value for name, value in self.headers if name in PRESENTED), (self.params or {}).get("token"))
        )
        self.road.auth.failing.count(counted_as(self.address), presented, self.request_id, tell)

    async def admit(self, ctx: Visitor[Any]) -> None:
        """Ask the application's admission, once for all calls. Raises what it raises."""
        hook = self.road.hooks.admission
        if hook is None:
            return
        if self.admission is None:
            visitor: Visitor[Any] = Visitor(self.road.resources, "", self)
            self.admission = asyncio.ensure_future(hook(visitor))
            self.admission.add_done_callback(_seen)
        await asyncio.shield(self.admission)


def _seen(admission: asyncio.Future[None]) -> None:
    """An error that nobody waits for any more is no warning."""
    if not admission.cancelled():
        admission.exception()


def tenant_of(value: bytes) -> UUID:
    """The tenant that the caller believes to be in (`x-tenantry-tenant`), or BAD_REQUEST."""
    try:
        return UUID(value.decode("ascii"))
    except ValueError:
        message = "x-tenantry-tenant is not a UUID"
        raise BadRequest(message) from None


INTERESTING = frozenset({
    b"accept", b"access-control-request-method", b"content-type", b"idempotency-key", b"last-event-id", b"origin", b"trpc-accept",
    b"x-tenantry-tenant",
})  # fmt: skip


def known_headers(headers: Headers) -> dict[bytes, bytes]:
    """The headers that decide how a request is answered, the first of each name."""
    known: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in INTERESTING and name not in known:
            known[name] = value.strip()
    return known
