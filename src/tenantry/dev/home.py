"""The bare address in a browser: while developing it leads to `/_dev`. Programs, which do not ask for HTML, hear what they hear in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.dev.frame import ROOT
from tenantry.dev.guard import refusal
from tenantry.http import Response

if TYPE_CHECKING:
    from tenantry.http import Request

HOME = Response(307, b"", [(b"location", ROOT.encode()), (b"cache-control", b"no-store")])


def goes_home(request: Request) -> bool:
    """Whether it is a page's request for `/`, of somebody who may see `/_dev`."""
    if request.path != "/" or request.method != "GET":
        return False
    wanted = next((value for name, value in request.headers if name == b"accept"), b"")
    return b"text/html" in wanted and refusal("GET", request.peer, request.headers) is None
