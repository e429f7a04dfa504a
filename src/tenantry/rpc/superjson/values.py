"""The Python side of superjson's kinds, where Python has no value of its own for one.

| superjson | read as | written from |
| --- | --- | --- |
| Date | datetime, aware, UTC | datetime (naive: taken as UTC); milliseconds are kept |
| bigint | `tenantry.BigInt`, an int that stays one on the way back | BigInt, what is annotated as it, any int beyond 2^53-1 |
| undefined | UNDEFINED | UNDEFINED (left out of records) |
| number | nan, inf, -inf, -0.0 | the same |
| set | set; Members where Python's set would lose one | set, frozenset, Members |
| map | Map, a dict; Pairs where a dict would lose one | Map, Pairs, a dict with keys that JSON has no text for |
| typed-array | bytes (Uint8Array), else a list of numbers | bytes, bytearray |
| URL, regexp, Error | Url (a str), RegExp, JsError | the same |

All of them pass through `msgspec.convert`, so a parameter `tags: set[str]` takes what `loads` gives.
"""

from __future__ import annotations

from typing import Any, Final, cast

from msgspec import UNSET, Struct, UnsetType

UNDEFINED: Final[UnsetType] = UNSET
"""JavaScript's undefined, which is not null: the same as `tenantry.UNSET`."""


class Map(dict[Any, Any]):
    """A JavaScript Map; a plain dict with text keys is an object."""


class Members(list[Any]):
    """A Set in its order, whose members Python's set cannot hold or tell apart (objects; 1 beside true)."""


class Pairs(list[Any]):
    """A Map as `[key, value]` lists, whose keys a dict cannot hold or tell apart."""


class Url(str):
    """The text of a URL; nothing has fetched or parsed it."""

    __slots__ = ()


class RegExp(Struct, frozen=True):
    """A regular expression as text: never compiled here, since its language is JavaScript's."""

    source: str
    flags: str = ""


class JsError(Struct, frozen=True, omit_defaults=True):
    """An Error's name, message and cause; the stack is not sent."""

    name: str
    message: str
    cause: Any = UNSET


class Typed(Struct, frozen=True):
    """A value with the type that it was declared as, anywhere in what `encode` is given.

    The type decides where the value alone cannot: a small `BigInt`, an empty `dict[int, str]`.
    """

    value: Any
    kind: Any


def defined(value: Any) -> Any:
    """`value` as `msgspec.convert` takes it: keys that are undefined are left out, undefined items are null.

    The way of JSON.stringify. What holds no undefined is given back as it is.
    """
    if value is UNDEFINED:
        return None
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        if not any(member is UNDEFINED or isinstance(member, (dict, list)) for member in held.values()):
            return held
        return type(held)({key: defined(member) for key, member in held.items() if member is not UNDEFINED})
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return type(items)(defined(item) for item in items)
    return value
