"""Annotations with a meaning of their own on the wire: `BigInt`, `Deferred[T]`, `Whole[T]`, `Message`, `Doc`.

For type checkers they are what a handler works with (`int`, `Awaitable[T]`, `T`); at run time they are found by these names.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeAlias, TypeVar, get_args, get_origin

T = TypeVar("T")

if TYPE_CHECKING:
    BigInt: TypeAlias = int
    Deferred: TypeAlias = Awaitable[T]
else:

    class BigInt(int):
        """An integer of any size: a string in JSON, a `bigint` with superjson. An `int` is refused beyond 2^53-1."""

        __slots__ = ()

    class Deferred(Generic[T]):
        """A member, or a result, that comes later: any awaitable. `httpBatchStreamLink` gets the rest at once."""


class Message:
    """`Annotated[str, Meta(max_length=80), Message("Pick a shorter name")]`: what is said of a value that does not fit."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Message({self.text!r})"


class Doc:
    """`Annotated[UUID, Doc("Which project.")]`: what editors show of a parameter or field, as a docstring does of a procedure."""

    __slots__ = ("documentation",)

    def __init__(self, documentation: str) -> None:
        self.documentation = documentation

    def __repr__(self) -> str:
        return f"Doc({self.documentation!r})"


class _WholeInput:
    """The mark of `Whole`."""

    def __repr__(self) -> str:
        return "Whole"


WHOLE: Final = _WholeInput()

Whole: TypeAlias = Annotated[T, WHOLE]
"""A handler's only parameter takes the input as it is, rather than one key of it: `async def echo(ctx: Ctx, value: Whole[Any])`."""


def is_whole(kind: Any) -> bool:
    """Whether an annotation is `Whole[…]`."""
    return get_origin(kind) is Annotated and WHOLE in get_args(kind)[1:]
