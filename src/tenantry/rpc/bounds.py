# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""annotated-types' bounds inside records: said to msgspec in its own words, once, before it first looks at the class."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from tenantry.rpc.faults import meta_of


def understand(kind: Any, seen: set[Any] | None = None) -> None:
    """Every class of fields that `kind` reaches has its bounds as msgspec's `Meta` from now on; it reads annotations itself."""
    seen = set() if seen is None else seen
    for part in get_args(kind):
        understand(part, seen)
    if not isinstance(kind, type) or kind in seen:
        return
    seen.add(kind)
    if not (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)):
        return
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # a name that is not there yet: whoever decodes it says so
        return
    for owner in kind.__mro__:
        own: dict[str, Any] = getattr(owner, "__annotations__", {})  # its own, never a base's
        for name in own.keys() & hints.keys():
            bounded = _bounded(hints[name])
            if bounded is not hints[name]:
                own[name] = bounded
    for hint in hints.values():
        understand(hint, seen)


def _bounded(kind: Any) -> Any:
    """`kind` with annotated-types' bounds as `Meta`; the very same object where it has none."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        base, *rest = parts
        inner = _bounded(base)
        said = [meta_of(one) or one for one in rest]
        if inner is base and all(new is old for new, old in zip(said, rest, strict=True)):
            return kind
        return Annotated[inner, *said]
    if origin in (Union, types.UnionType, list, set, frozenset, tuple, dict):
        inner_parts = [_bounded(part) for part in parts]
        if all(new is old for new, old in zip(inner_parts, parts, strict=True)):
            return kind
        whole: Any = Union if origin in (Union, types.UnionType) else origin
        return whole[tuple(inner_parts)]
    return kind
