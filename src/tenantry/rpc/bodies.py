"""What a procedure takes that is no JSON: a file of a form, a whole form, a byte stream. All are read once, as they arrive.

Nothing here is held whole in memory: a chunk is asked for, and only then taken from the connection. The shell that reads the
bytes is `http`'s and `dispatch`'s; these are the values that a handler sees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

from msgspec import Struct

from tenantry.errors import PayloadTooLarge


class Octets:
    """The body of an `application/octet-stream` request: `async for chunk in body`. `size` is what was read so far."""

    __slots__ = ("_chunks", "size")

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.size += len(chunk)
        return chunk

    async def read(self, max_bytes: int) -> bytes:
        """All that is left, in one piece. Raises PayloadTooLarge when it is more than `max_bytes`."""
        parts: list[bytes] = []
        left = max_bytes
        async for chunk in self:
            left -= len(chunk)
            if left < 0:
                raise PayloadTooLarge
            parts.append(chunk)
        return b"".join(parts)


class File(Octets):
    """A file of a form: `name` as the client calls it, its media `type`, the `field` it came in; iterate it for its bytes.

    `name` is the client's word and no path: never open a file by it.
    """

    __slots__ = ("field", "name", "type")

    def __init__(self, field: str, name: str, type: str, chunks: AsyncIterator[bytes]) -> None:  # noqa: A002 - the browser's word
        super().__init__(chunks)
        self.field = field
        self.name = name
        self.type = type


class Field(Struct, frozen=True):
    """A text field of a form."""

    name: str
    value: str


Part: TypeAlias = Field | File


class Form:
    """A whole `multipart/form-data` body, part by part, in the order sent: `async for part in form` gives `Field` or `File`.

    A File that was not read to its end is passed over when the next part is asked for.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: AsyncIterator[Part]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[Part]:
        return self

    async def __anext__(self) -> Part:
        return await anext(self._parts)
