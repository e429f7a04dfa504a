"""What comes later: awaitables and async iterators in a result, found where tRPC looks for them. Pure.

They are looked for in the result itself and in the direct members of an object, as tRPC does; what is nested deeper has to
come out of a deferred value of its own. In an answer that is no stream they are an error, and are closed unrun.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncIterator, Awaitable
from typing import Any, NamedTuple

import msgspec

from tenantry.errors import UnsupportedMediaType

PROMISE, ITERABLE = 0, 1
NOT_A_STREAM = "Cannot use stream-like response in non-streaming request - use httpBatchStreamLink"


class Later(NamedTuple):
    """One value that comes later: its member (None: the result itself), what kind, and the thing."""

    key: str | None
    kind: int
    source: Any


class StreamLike(Exception):
    """Raised by encoders at a value that comes later."""


def kind_of(value: Any) -> int | None:
    """PROMISE, ITERABLE, or None for a value that is here."""
    if isinstance(value, AsyncIterator) or hasattr(value, "__aiter__"):
        return ITERABLE
    return PROMISE if isinstance(value, Awaitable) else None


def members_of(value: Any) -> dict[Any, Any] | None:
    """The direct members of an object, by their names on the wire; None for what is no object."""
    if isinstance(value, dict):
        return value  # pyright: ignore[reportUnknownVariableType] - whatever its keys are
    if isinstance(value, msgspec.Struct):
        return {f.encode_name: getattr(value, f.name) for f in msgspec.structs.fields(type(value))}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return None


def split(value: Any) -> tuple[Any, list[Later]]:
    """The value with 0 in the place of each part that comes later, and those parts."""
    kind = kind_of(value)
    if kind is not None:
        return 0, [Later(None, kind, value)]
    members = members_of(value)
    if members is None:
        return value, []
    parts: list[Later] = []
    here: dict[Any, Any] = {}
    for key, member in members.items():
        kind = kind_of(member)
        here[key] = member if kind is None else 0
        if kind is not None:
            parts.append(Later(key, kind, member))
    return (here, parts) if parts else (value, [])


def refuse(value: Any) -> UnsupportedMediaType:
    """The error of a value that comes later, where nothing can: its parts are closed unrun."""
    for part in split(value)[1]:
        discard(part.source)
    return UnsupportedMediaType(NOT_A_STREAM)


def discard(source: Any) -> None:
    """Give up what was not begun: a coroutine that is never awaited would warn."""
    if inspect.iscoroutine(source):
        source.close()
    elif callable(getattr(source, "cancel", None)):
        source.cancel()
