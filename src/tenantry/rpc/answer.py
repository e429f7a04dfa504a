"""A result that brings its own status: for the health procedures, which operators read with `curl` and `jq`.

A single call answers with the fields twice, at the top level and in the envelope (`jq '.checks.database'` and stock clients
both find them); in a batch there is only the envelope, since a batch is an array of them. `Annotated[Answer, Shape]` as the
result says what the fields are, for the TypeScript types.
"""

from __future__ import annotations

from msgspec import Struct


class Answer(Struct, frozen=True):
    """`fields` is a JSON object as bytes, with no key `result`, `error`, `id` or `jsonrpc`; `status` the HTTP status."""

    fields: bytes
    status: int = 200

    def on_wire(self, *, is_batch: bool) -> bytes:
        """The envelope, with the fields beside it when the call stands alone."""
        if is_batch or self.fields == b"{}":
            return b'{"result":{"data":' + self.fields + b"}}"
        return b'{"result":{"data":' + self.fields + b"}," + self.fields[1:]
