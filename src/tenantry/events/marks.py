"""An event's id, as clients have it: its place, sealed, so that it tells nobody how much happens elsewhere. Pure.

A place is made of the server's transaction numbers. Its bytes are hidden by a keystream that follows from their own keyed hash, so the
same event has the same id in every worker, for ever, and an id that was changed or made up is none. It opens nothing: who brings one is
asked who they are, and the event is looked for in their tenant, under their topic.
"""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

Place = tuple[int, int, int, bytes]

_BODY = struct.Struct(">qqi16s")
_HASH_BYTES = 16
_LENGTH = -(-(_HASH_BYTES + _BODY.size) * 4 // 3)


class Marks:
    """Writes and reads ids; the same for all workers of a database."""

    __slots__ = ("_key",)

    def __init__(self, salt: bytes) -> None:
        """`salt` is the ring's, which only tenantry_auth may ask for."""
        self._key = salt

    def write(self, topic: str, place: Place) -> str:
        """The id of the event of this topic at this place."""
        body = _BODY.pack(*place)
        mark = self._hash(topic, body)
        return urlsafe_b64encode(mark + self._hidden(mark, body)).rstrip(b"=").decode("ascii")

    def read(self, topic: str, text: str) -> Place | None:
        """The place that an id of this topic is of; None for what never was one."""
        if len(text) != _LENGTH or not text.isascii():
            return None
        try:
            raw = urlsafe_b64decode(text + "=" * (-_LENGTH % 4))
        except ValueError:
            return None
        mark = raw[:_HASH_BYTES]
        if len(raw) != _HASH_BYTES + _BODY.size:
            return None
        body = self._hidden(mark, raw[_HASH_BYTES:])
        return _BODY.unpack(body) if self._hash(topic, body) == mark else None

    def _hash(self, topic: str, body: bytes) -> bytes:
        return blake2b(body + topic.encode(), key=self._key, digest_size=_HASH_BYTES, person=b"tenantry mark").digest()

    def _hidden(self, mark: bytes, body: bytes) -> bytes:
        """Hides a body, and shows a hidden one."""
        stream = blake2b(mark, key=self._key, digest_size=_BODY.size, person=b"tenantry hide").digest()
        return (int.from_bytes(body) ^ int.from_bytes(stream)).to_bytes(_BODY.size)
