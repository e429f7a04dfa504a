"""What the pages of `/_dev` fetch themselves: their style sheet, their script, and whether the worker is another one by now."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files

import msgspec

from tenantry.dev.guard import HEADERS
from tenantry.http import Response

STATIC = {"desk.css": b"text/css; charset=utf-8", "desk.js": b"text/javascript; charset=utf-8"}
"""Name → content type."""


def fetched(rest: str, stale: str) -> Response | None:
    """The answer, if this is one of them. `stale`: why the code on disk is not served; "" if it is."""
    if rest in STATIC:
        return Response(200, _static(rest), [(b"content-type", STATIC[rest]), *HEADERS])
    if rest == "state":
        state = msgspec.json.encode({"stale": stale, "worker": os.getpid()})
        return Response(200, state, [(b"content-type", b"application/json"), *HEADERS])
    return None


@cache
def _static(name: str) -> bytes:
    """The bytes of one of them."""
    return files("tenantry.dev").joinpath("assets", name).read_bytes()
