# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Types at run time are values here: no checker follows them.
"""A value that may not fit its type: made to fit, or every reason why it does not, each with its path. Pure.

msgspec stops at the first fault; forms want all. So after a failure a value is gone through again, record by record and member
by member. A `Message` in an annotation speaks instead of the library; annotated-types' `Ge`, `Len` and kin mean what `Meta` does.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from tenantry.rpc.kinds import BigInt, Message

MAX_SAFE = 2**53 - 1
"""Number.MAX_SAFE_INTEGER: beyond it JavaScript rounds."""
MAX_DIGITS = 1000
"""Of a BigInt: Python's own conversion is quadratic, and refuses beyond 4300."""
MOST_ISSUES = 100
"""In one answer: a hostile input has no end of faults."""

Issue = dict[str, Any]


def convert_one(value: Any, kind: Any, *, is_native: bool = False, is_text: bool = False) -> Any:
    """`value` as `kind`. `is_native`: dates, sets and bytes are themselves already; `is_text`: all of it is a form's text."""
    native = _NATIVE if is_native else ()
    if is_native and kind is Any:
        return value
    try:
        return msgspec.convert(value, kind, dec_hook=foreign, builtin_types=native, strict=not is_text)
    except msgspec.ValidationError:
        whole = as_whole(value)
        if whole == value and type(whole) is type(value) and not isinstance(value, (list, dict)):
            raise
        return msgspec.convert(whole, kind, dec_hook=foreign, builtin_types=native, strict=not is_text)


_NATIVE = (datetime, bytes)
"""What a transformer gives as itself; everything else is text on the wire, as in JSON."""


def as_whole(value: Any) -> Any:
    """`1.0` as `1`, at any depth: JSON does not tell them apart, and JavaScript may send either."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_SAFE:
        return int(value)
    if isinstance(value, list):
        return [as_whole(v) for v in typing.cast("list[Any]", value)]
    if isinstance(value, dict):
        return {k: as_whole(v) for k, v in typing.cast("dict[str, Any]", value).items()}
    return value


def foreign(kind: Any, value: Any) -> Any:
    """Types that msgspec does not know: BigInt, Pydantic models."""
    if kind is BigInt:
        return _big(value)
    validate: Callable[[Any], Any] | None = getattr(kind, "model_validate", None)
    if validate is None:
        raise NotImplementedError
    return validate(value)


def _big(value: Any) -> BigInt:
    if isinstance(value, int) and not isinstance(value, bool):
        return BigInt(value)
    if (
        isinstance(value, str)
        and len(value) <= MAX_DIGITS
        and value.removeprefix("-").isascii()
        and value.removeprefix("-").isdigit()
    ):
        return BigInt(value)
    message = "Expected an integer, or one as a string"
    raise ValueError(message)


# ------------------------------------------------------------------ every fault


def faults(
    path: list[Any], value: Any, kind: Any, error: BaseException, *, is_native: bool = False, is_text: bool = False
) -> list[Issue]:  # fmt: skip
    """Every reason why `value` is no `kind`; `error` is the first one, as the library told it."""
    found: list[Issue] = []
    _gather(found, path, value, kind, is_native=is_native, is_text=is_text)
    return found[:MOST_ISSUES] or [_from_library(path, kind, error)]


def _gather(found: list[Issue], path: list[Any], value: Any, kind: Any, *, is_native: bool, is_text: bool) -> None:
    if len(found) >= MOST_ISSUES:
        return
    try:
        convert_one(value, kind, is_native=is_native, is_text=is_text)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        inner = _plain(kind)
        before = len(found)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
            for field in msgspec.structs.fields(inner):
                if field.encode_name in value:
                    _gather(
                        found, [*path, field.encode_name], value[field.encode_name], field.type, is_native=is_native, is_text=is_text
                    )  # fmt: skip
                elif field.required:
                    said = message_of(field.type) or "Required"
                    found.append(issue_of([*path, field.encode_name], "missing", said))
        elif get_origin(inner) is list and isinstance(value, list):
            for place, member in enumerate(value):
                _gather(found, [*path, place], member, get_args(inner)[0], is_native=is_native, is_text=is_text)
        if len(found) == before:
            found.append(_from_library(path, kind, error))


def _plain(kind: Any) -> Any:
    """The type behind Annotated, and of `T | None | Unset` the T."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin in (Union, types.UnionType):
            arms = [arm for arm in get_args(kind) if arm not in (types.NoneType, msgspec.UnsetType)]
            if len(arms) != 1:
                return kind
            kind = arms[0]
        else:
            return kind


def message_of(kind: Any) -> str | None:
    """The builder's own words for what does not fit, or None."""
    if get_origin(kind) is Annotated:
        for one in get_args(kind)[1:]:
            if isinstance(one, Message):
                return one.text
        return message_of(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return next((said for arm in get_args(kind) if (said := message_of(arm)) is not None), None)
    return None


def _from_library(path: list[Any], kind: Any, error: BaseException) -> Issue:
    """One issue of a msgspec or Pydantic error: the rest of its path is read from msgspec's `- at `$.a[0]``."""
    said = message_of(kind)
    errors = getattr(error, "errors", None)
    if callable(errors):
        first: Any = next(iter(typing.cast("list[Any]", errors())), {})
        return issue_of(
            [*path, *first.get("loc", ())], str(first.get("type", "invalid")), said or str(first.get("msg", "Not valid"))
        )  # fmt: skip
    text, _, at = str(error).partition(" - at `$")
    rest: list[str | int] = []
    for part in at.rstrip("`").replace("]", "").replace("[", ".").split("."):
        if part and part != "...":
            rest.append(int(part) if part.isdigit() else part)
    return issue_of([*path, *rest], "invalid", said or text)


def issue_of(path: list[Any], code: str, message: str) -> Issue:
    """As it stands in `error.data.issues`."""
    return {"path": path, "code": code, "message": message}


_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length")
_ONLY_WORDS = frozenset({"DocInfo", "Unit"})


def meta_of(one: Any) -> Meta | None:
    """annotated-types' bounds (`Ge(1)`, `Interval(gt=0)`, `Len(1, 80)`), known by their module: the library itself is not needed.

    Raises TypeError for what cannot be checked while decoding (`Predicate`, a bound that is no number): it would hold nowhere.
    """
    if type(one).__module__ != "annotated_types" or type(one).__name__ in _ONLY_WORDS:
        return None
    if getattr(one, "tz", None) is ...:
        return None  # any zone: a datetime has one here in any case
    given = {name: getattr(one, name) for name in _BOUNDS if getattr(one, name, None) is not None}
    if "max_length" in given and not given.get("min_length"):
        given.pop("min_length", None)  # Len(0, 80) says nothing about the least
    try:
        if given:
            return Meta(**given)
    except TypeError as error:
        message = f"{one!r} cannot be checked: {error}"
        raise TypeError(message) from None
    if type(one).__name__ in ("Interval", "Len"):
        return None  # without a bound
    message = f"{one!r} cannot be checked while decoding"
    raise TypeError(message)
