"""Python's names and the wire's: `created_at` ↔ `createdAt`, `notes.as_csv` ↔ `notes.asCsv`."""

from __future__ import annotations

RESERVED = frozenset({"then", "call", "apply"})
"""Names that tRPC's client proxy takes for itself, so that no procedure or router can have them."""


def camel(name: str) -> str:
    """`snake_case` as `camelCase`; leading and trailing underscores, and names without any, stay as they are."""
    head, *rest = name.strip("_").split("_")
    if not rest:
        return name
    lead = name[: len(name) - len(name.lstrip("_"))]
    return lead + head + "".join(part[:1].upper() + part[1:] for part in rest)
