"""CORS, pure: which answers a page of another origin may read. Only origins that are listed, never `*`, since cookies travel."""

from __future__ import annotations

from collections.abc import Container

from tenantry.http.message import Headers, Response

_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"content-type, authorization, trpc-accept, last-event-id, x-tenantry-tenant, idempotency-key",
    ),
    (b"access-control-max-age", b"600"),
)


def allowed(origin: bytes, origins: Container[str]) -> Headers:
    """The headers that let the request's own origin read the answer; none when it is not listed. `vary` is the answer's own."""
    if origin.decode("latin-1") not in origins:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-request-id, retry-after, idempotency-replayed"),
    ]


def preflight(cors: Headers, *, has_origins: bool) -> Response:
    """The answer to a preflight, which reaches no procedure: of an origin that is not listed it allows nothing."""
    headers = [*cors, *_PREFLIGHT] if cors else []
    if has_origins:
        headers.append((b"vary", b"origin"))
    return Response(204, b"", headers)
