"""What a transaction will publish, kept until it commits; and who is told afterwards.

Values are encoded at once, so that one that has no JSON, or is too large, fails where it is published. They are written by one
statement just before COMMIT: that costs one trip however many they are. Pure, but for the statement's text.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tenantry.db.trip import Query
from tenantry.errors import PayloadTooLarge, PublishRefused
from tenantry.rpc import OutputSchema, Tracked

if TYPE_CHECKING:
    from tenantry.db.trip import Entry

T = TypeVar("T")

TOPIC = re.compile(r"[A-Za-z0-9_.:/-]{1,200}")
MOST_EVENTS = 1000
"""Of one transaction: a bulk change publishes that it happened, not each row."""
MOST_BYTES = 65_536
PUBLISH = Query("select tenantry.publish($1::pg_catalog.text[], $2::pg_catalog.text[])")
_encode = OutputSchema().encode


class Outlet(Protocol):
    """The events room, as seen from a session."""

    most_bytes: int

    def committed(self, tenant: bytes, topics: Iterable[str]) -> None:
        """Something was published under these topics of this tenant (its id, 16 bytes), and is committed."""
        ...

    def subscribe(self, entry: Entry, kind: type[T], topic: str, after: str | None) -> AsyncIterator[Tracked[T]]:
        """What is published under a topic, for whoever this entry lets in."""
        ...


class Outbox:
    """Events of one transaction, in order."""

    __slots__ = ("contents", "topics")

    def __init__(self) -> None:
        """Empty."""
        self.topics: list[str] = []
        self.contents: list[str] = []

    def add(self, entry: Entry, topic: str, value: Any, outlet: Outlet | None) -> None:
        """Raises PublishRefused and PayloadTooLarge, and what the encoder raises of a value that has no JSON."""
        if entry.read_only:
            raise PublishRefused(
                procedure=entry.procedure, why="it is no mutation", cure="Make it one: @router.mutation"
            )
        check_topic(entry.procedure, topic)
        if len(self.topics) >= MOST_EVENTS:
            raise PublishRefused(
                procedure=entry.procedure, why=f"one transaction publishes at most {MOST_EVENTS} events",
                cure="Publish once that many things changed, and let subscribers load them.",
            )  # fmt: skip
        content = _encode(value)
        most = MOST_BYTES if outlet is None else outlet.most_bytes
        if len(content) > most:
            message = f"An event has at most {most} bytes, and this one has {len(content)}"
            raise PayloadTooLarge(message)
        self.topics.append(topic)
        self.contents.append(content.decode())

    def parameters(self) -> list[bytes | None]:
        """The two arrays of `tenantry.publish`, as text."""
        return [_array(self.topics), _array(self.contents)]


def check_topic(procedure: str, topic: str) -> None:
    """Raises PublishRefused for a name that is no topic."""
    if not TOPIC.fullmatch(topic):
        raise PublishRefused(
            procedure=procedure, why=f"{topic[:80]!r} is no topic",
            cure='A topic has 1 to 200 letters, digits and . _ : / -, as "notes.added".',
        )  # fmt: skip


def _array(texts: list[str]) -> bytes:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return ("{" + ",".join(f'"{text}"' for text in quoted) + "}").encode()
