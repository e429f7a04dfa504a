"""`Record`: a row in Python, an object on the wire.

Frozen, keyword only, camelCase on the wire (Python names are the columns' names). Rows are converted, not validated: the
constraints are PostgreSQL's. The metaclass carries `dataclass_transform`, since a plain frozen base class makes every
subclass an error in both strict checkers and lets positional arguments through.
"""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar, dataclass_transform

import msgspec
from msgspec import UNSET, Struct, StructMeta, UnsetType

from tenantry.rpc.names import camel

Unset: TypeAlias = UnsetType
"""`body: str | Unset = UNSET`: the key may be left out, and null is refused."""

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class RecordMeta(StructMeta):
    """Makes every subclass frozen, keyword only and camelCase on the wire, without saying so."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> RecordMeta:
        own: dict[str, Any] = {"frozen": True, "kw_only": True, "rename": camel, **options}
        return super().__new__(cls, name, bases, namespace, **own)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,)
)  # again: mypy's order
class Record(Struct, metaclass=RecordMeta):
    """Base of what procedures take and give; see the module's first lines."""


class Page(Record, Generic[T]):
    """One page: `items`, and the opaque cursor of the next one or None."""

    items: list[T]
    next_cursor: str | None


__all__ = ["UNSET", "Page", "Record", "Unset"]
