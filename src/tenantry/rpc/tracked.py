"""A subscription's value with an id: what a client sends back as `lastEventId` to go on after it (tRPC's `tracked`)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from msgspec import Struct

T = TypeVar("T")


class Tracked(Struct, Generic[T], frozen=True):
    """`id` is not empty and holds no NUL, CR or LF; `data` is the value. The client gets `{id, data}`."""

    id: str
    data: T

    def __post_init__(self) -> None:
        if not self.id or any(c in "\0\r\n" for c in self.id):
            message = "the id of a tracked value is not empty and holds no NUL, CR or LF"
            raise ValueError(message)


def tracked_of(value: object) -> Tracked[Any] | None:
    """A subscription's value, if it carries an id."""
    return cast("Tracked[Any]", value) if isinstance(value, Tracked) else None
