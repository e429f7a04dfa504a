# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What holds inside records as it does for a parameter: annotated-types' bounds, ints that JavaScript keeps exact, datetimes with a zone.

Said to msgspec in its own words, once, before it first looks at the class.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from tenantry.rpc.faults import MAX_SAFE, meta_of


def understand(kind: Any, seen: set[Any] | None = None) -> None:
    """Every class of fields that `kind` reaches has its bounds as msgspec's `Meta` from now on; that reads annotations itself.

    Raises TypeError for a bound that cannot be checked, with the field that has it.
    """
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
            try:
                bounded = safe(hints[name])
            except TypeError as error:
                message = f"{kind.__name__}.{name}: {error}"
                raise TypeError(message) from None
            if bounded != hints[name]:
                own[name] = bounded
    for hint in hints.values():
        understand(hint, seen)


def safe(kind: Any) -> Any:
    """`kind` with its bare ints bounded to what JavaScript keeps exact, and its datetimes bound to have a zone."""
    if kind is int:
        return Annotated[int, Meta(ge=-MAX_SAFE, le=MAX_SAFE)]
    if isinstance(kind, type) and kind.__module__ == "datetime" and kind.__name__ == "datetime":
        return Annotated[kind, Meta(tz=True)]
    origin = get_origin(kind)
    if origin is Annotated:
        return _annotated(kind)
    if origin in (Union, types.UnionType):
        return Union[tuple(safe(arm) for arm in get_args(kind))]  # noqa: UP007 - made at run time
    if origin in (list, set, frozenset, tuple, dict):
        return origin[tuple(safe(arm) for arm in get_args(kind))]  # pyright: ignore[reportInvalidTypeArguments] - made at run time
    return kind


def _annotated(kind: Any) -> Any:
    base, *rest = get_args(kind)
    rest = [meta_of(one) or one for one in rest]
    bounded = safe(base)
    if get_origin(bounded) is Annotated:
        inner, *bounds = get_args(bounded)
        own = [r for r in rest if isinstance(r, Meta)]
        # msgspec takes one bound of a kind: the builder's own stands in front of ours.
        given = {n for m in own for n in ("ge", "gt", "le", "lt", "tz") if getattr(m, n) is not None}
        kept = _without(bounds[0], given)
        return Annotated[inner, *([kept] if kept is not None else []), *rest]
    return Annotated[bounded, *rest]


def _without(bounds: Meta, given: set[str]) -> Meta | None:
    lower = None if {"ge", "gt"} & given else bounds.ge
    upper = None if {"le", "lt"} & given else bounds.le
    if bounds.tz is not None:
        return None if "tz" in given else bounds
    return None if lower is None and upper is None else Meta(ge=lower, le=upper)
