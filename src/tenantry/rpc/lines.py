"""Streamed batches: JSON lines, as `httpBatchStreamLink` reads them (tRPC 11, `stream/jsonl.ts`). Pure.

Line 1 declares a chunk for every call; each further line settles one, and may declare more. A placeholder is 0, and which
places hold one is said beside the value, so that a 0 among the data is never taken for one. A result that is here travels
in one line; tRPC's own three promises for it are two more than its client needs.
"""

from __future__ import annotations

import itertools
from typing import Any

from tenantry.rpc.codec import Codec
from tenantry.rpc.later import Later

FULFILLED, REJECTED = 0, 1
RETURNED, YIELDED, FAILED = 0, 1, 2
PING = b" "
Encoded = list[Any]
"""`[[value], …definitions]`."""


class Lines:
    """The lines of one answer: it gives the numbers of its chunks."""

    __slots__ = ("codec", "numbers")

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.numbers = itertools.count()

    def head(self, calls: int) -> bytes:
        """The first line: chunk n is call n."""
        return self._line({str(number): [[0], [None, 0, number]] for number in itertools.islice(self.numbers, calls)})

    def result(self, chunk: int, data: Any, later: list[Later]) -> tuple[bytes, list[tuple[int, Later]]]:
        """A call has its result: `data` is here, or holds 0 where `later` says; gives the chunks that were declared."""
        if not later:
            return self._line([chunk, FULFILLED, [[{"result": {"data": data}}]]]), []
        # One level a line: the client looks for placeholders in the members of a value, and no deeper.
        first, second = next(self.numbers), next(self.numbers)
        encoded, declared = self.encoded(data, later)
        return (
            self._line([chunk, FULFILLED, [[{"result": 0}], ["result", 0, first]]])
            + self._line([first, FULFILLED, [[{"data": 0}], ["data", 0, second]]])
            + self._line([second, FULFILLED, encoded]),
            declared,
        )

    def failure(self, chunk: int, shape: dict[str, Any]) -> bytes:
        """A call has failed: a fulfilled chunk, with the error in it."""
        return self._line([chunk, FULFILLED, [[{"error": shape}]]])

    def settled(self, chunk: int, status: int, data: Any, later: list[Later]) -> tuple[bytes, list[tuple[int, Later]]]:
        """A deferred value is here, or an iterator gave one more."""
        encoded, declared = self.encoded(data, later)
        return self._line([chunk, status, encoded]), declared

    def returned(self, chunk: int) -> bytes:
        """An iterator is over."""
        return self._line([chunk, RETURNED, [[]]])

    def broken(self, chunk: int, status: int, shape: dict[str, Any]) -> bytes:
        """A deferred value, or an iterator, has failed: a bare error shape."""
        return self._line([chunk, status, shape])

    def encoded(self, data: Any, later: list[Later]) -> tuple[Encoded, list[tuple[int, Later]]]:
        """An encoded value, and the chunks that it declares."""
        declared = [(next(self.numbers), part) for part in later]
        return [[data], *([part.key, part.kind, number] for number, part in declared)], declared

    def _line(self, value: Any) -> bytes:
        return self.codec.line(value) + b"\n"
