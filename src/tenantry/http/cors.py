"""CORS, pure: which answers a page of another origin may read. Only origins that are listed, never `*`, since cookies travel."""

from __future__ import annotations

from collections.abc import Container

from tenantry.http.message import Headers, Request, Response

_ALLOWED = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-max-age", b"600"),
)


def allowed(request: Request, origins: Container[str]) -> Headers:
    """The headers that let the request's own origin read the answer; none when it is not listed."""
    origin = request.header(b"origin")
    if origin is None or origin.decode("latin-1") not in origins:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
        (b"vary", b"origin"),
    ]


def preflight(request: Request, origins: Container[str]) -> Response | None:
    """The answer to a preflight of a listed origin; None for anything else."""
    if request.method != "OPTIONS" or request.header(b"access-control-request-method") is None:
        return None
    headers = allowed(request, origins)
    if not headers:
        return None
    asked = request.header(b"access-control-request-headers")
    if asked is not None:
        headers.append((b"access-control-allow-headers", asked))
    return Response(204, b"", [*headers, *_ALLOWED])
