"""What an application hangs into the way of a request: who is admitted, what errors carry, what answers carry besides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tenantry.context import Visitor
from tenantry.errors import TenantryError


class ResponseInfo(Struct, frozen=True):
    """What is known of an answer when its head is written (tRPC's `responseMeta`).

    `paths` are the procedures that were called, `type` is theirs (None when no path was known), `errors` what failed. A stream
    `is_eager`: its head leaves before anything is known, so it has no errors yet, and no caching should be said.
    """

    mount: str
    paths: Sequence[str]
    type: str | None
    errors: Sequence[BaseException]
    is_eager: bool
    headers: Sequence[tuple[bytes, bytes]]
    """The request's own headers."""


class ResponseMeta(Struct, frozen=True, kw_only=True):
    """What an application adds to an answer: its status, and headers. Each header is a line of its own; `vary` is joined."""

    status: int | None = None
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()


class Hooks(Struct, frozen=True):
    """All of an application's hooks; None where there is none, which costs nothing."""

    admission: Callable[[Visitor[Any]], Awaitable[None]] | None = None
    error_data: Callable[[TenantryError | Exception, str | None], Any] | None = None
    response_meta: Callable[[ResponseInfo], ResponseMeta | None] | None = None
