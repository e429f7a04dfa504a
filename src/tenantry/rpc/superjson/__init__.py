"""superjson 2, pure: JSON that keeps JavaScript's Date, bigint, Set, Map and undefined, as its npm package writes and reads it.

A value is `{"json": …, "meta": {"values": {path: [kind, children?]}, "v": 1}}`; `meta` is absent when nothing in it is
special. `dumps` and `encode` write, `loads` reads. The Python side of each kind stands in `values`. What a client sends is
hostile until proven otherwise: whatever is wrong with it is a BadRequest, found in time linear in its size.
"""

from __future__ import annotations

from tenantry.rpc.superjson.decode import decode, loads
from tenantry.rpc.superjson.encode import dumps, encode
from tenantry.rpc.superjson.values import UNDEFINED, JsError, Map, Members, Pairs, RegExp, Typed, Url, defined

__all__ = [
    "UNDEFINED", "JsError", "Map", "Members", "Pairs", "RegExp", "Typed", "Url", "decode", "defined",
    "dumps", "encode", "loads",
]  # fmt: skip
