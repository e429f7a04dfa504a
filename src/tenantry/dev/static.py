"""The style sheet and the script of `/_dev`, as they are on disk."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

STATIC = {"desk.css": b"text/css; charset=utf-8", "desk.js": b"text/javascript; charset=utf-8"}
"""Name → content type."""


@cache
def static(name: str) -> bytes:
    """The bytes of one of them."""
    return files("tenantry.dev").joinpath("assets", name).read_bytes()
