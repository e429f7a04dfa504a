"""Another module with a type of the same name."""

from __future__ import annotations

from tenantry import Record


class Note(Record):
    """A note on paper."""

    path: str
    size: int
