"""Python values as superjson: the JSON, and beside it the places that are more than JSON.

For each type a walker is made once: it gives the value's JSON, and writes what is special under its path. What needs no
look inside (str, UUID, Decimal, enums) stays as it is for msgspec. A record is walked by the types that its fields are
declared with, all else by the type that it has.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec

from tenantry.rpc.kinds import BigInt
from tenantry.rpc.superjson.decode import FORBIDDEN
from tenantry.rpc.superjson.values import (
    UNDEFINED,
    JsError,
    Map,
    Members,
    Pairs,
    RegExp,
    Typed,
    Url,
)  # fmt: skip

MAX_SAFE = 2**53 - 1
"""Number.MAX_SAFE_INTEGER: beyond it an int is written as a bigint."""

Marks = dict[str | None, Any]
"""Path → annotation. The root's own is under None: an empty path is an empty key."""
Walk = Callable[[Any, str, Marks], Any]
"""(value, its path, annotations to add to) → its JSON. The path of the root is empty, any other ends in a dot."""

_TEXT_KEYS = (str, UUID, date, time, Decimal, enum.Enum)
"""Keys that are text on the wire: a dict with others (numbers, booleans, times with a date) is a Map."""


def dumps(value: Any, kind: Any = Any) -> bytes:
    """`value` as superjson text; `kind` is the type that it was declared with."""
    return _encoder.encode(encode(value, kind))


def encode(value: Any, kind: Any = Any) -> dict[str, Any]:
    """`value` as `{"json": …}`, with `"meta"` where something is more than JSON. msgspec encodes what stands in it."""
    marks: Marks = {}
    plain = _walker(kind)(value, "", marks)
    if not marks:
        return {"json": plain}
    return {"json": plain, "meta": {"values": marks.get(None, marks), "v": 1}}


def _mark(marks: Marks, path: str, annotation: list[Any]) -> None:
    marks[path[:-1] if path else None] = annotation


# ------------------------------------------------------------------ values


def _same(value: Any, path: str, marks: Marks) -> Any:
    return value


def _undefined(value: Any, path: str, marks: Marks) -> None:
    _mark(marks, path, ["undefined"])


def _integer(value: int, path: str, marks: Marks) -> Any:
    if type(value) is not int:
        return _any(value, path, marks)
    return value if -MAX_SAFE <= value <= MAX_SAFE else _big(value, path, marks)


def _big(value: Any, path: str, marks: Marks) -> Any:
    """A bigint; the other arms of a union (None, UNSET) are no ints, and go by their own type."""
    if not isinstance(value, int) or isinstance(value, bool):
        return _any(value, path, marks)
    _mark(marks, path, ["bigint"])
    return int.__repr__(value)


def _float(value: Any, path: str, marks: Marks) -> Any:
    if type(value) is not float:
        return _any(value, path, marks)
    if math.isfinite(value):
        if value != 0 or math.copysign(1.0, value) > 0:
            return value
        _mark(marks, path, ["number"])
        return "-0"
    _mark(marks, path, ["number"])
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - what NaN is


def _date(value: datetime, path: str, marks: Marks) -> Any:
    _mark(marks, path, ["Date"])
    if value.tzinfo is timezone.utc:
        return value.isoformat(timespec="milliseconds")[:-6] + "Z"
    if value.tzinfo is not None:
        value = value.astimezone(timezone.utc).replace(tzinfo=None)
    return value.isoformat(timespec="milliseconds") + "Z"


def _bytes(value: bytes | bytearray | memoryview, path: str, marks: Marks) -> list[int]:
    _mark(marks, path, [["typed-array", "Uint8Array"]])
    return list(value)


def _url(value: Url, path: str, marks: Marks) -> str:
    _mark(marks, path, ["URL"])
    return str.__str__(value)


def _regexp(value: RegExp, path: str, marks: Marks) -> str:
    _mark(marks, path, ["regexp"])
    return f"/{value.source}/{value.flags}"


def _error(value: JsError, path: str, marks: Marks) -> Any:
    inner: Marks = {}
    plain = {"name": value.name, "message": value.message}
    if value.cause is not UNDEFINED:
        plain["cause"] = _any(value.cause, "cause.", inner)
    _mark(marks, path, ["Error", inner] if inner else ["Error"])
    return plain


def _typed(value: Typed, path: str, marks: Marks) -> Any:
    return _walker(value.kind)(value.value, path, marks)


def _any(value: Any, path: str, marks: Marks) -> Any:
    """By the type that the value has."""
    return _of_class(value.__class__)(value, path, marks)


# ------------------------------------------------------------------ containers


def _list_of(item: Walk) -> Walk:
    def walk(value: Any, path: str, marks: Marks) -> Any:
        if type(value) not in (list, tuple):
            return _any(value, path, marks)
        return [item(member, f"{path}{index}.", marks) for index, member in enumerate(value)]

    return walk


def _set_of(item: Walk) -> Walk:
    def walk(value: Any, path: str, marks: Marks) -> Any:
        if not isinstance(value, (set, frozenset, Members)):
            return _any(value, path, marks)
        inner: Marks = {}
        members: Any = cast("Any", value)
        plain = [item(member, f"{index}.", inner) for index, member in enumerate(members)]
        _mark(marks, path, ["set", inner] if inner else ["set"])
        return plain

    return walk


def _map_of(key: Walk, item: Walk) -> Walk:
    def walk(value: Any, path: str, marks: Marks) -> Any:
        if not isinstance(value, (dict, Pairs)):
            return _any(value, path, marks)
        inner: Marks = {}
        pairs: Any = cast("Any", value if isinstance(value, Pairs) else value.items())
        plain = [
            [key(name, f"{index}.0.", inner), item(member, f"{index}.1.", inner)]
            for index, (name, member) in enumerate(pairs)
        ]
        _mark(marks, path, ["map", inner] if inner else ["map"])
        return plain

    return walk


def _object_of(item: Walk, members: dict[str, Walk] | None = None) -> Walk:
    """An object with text keys; `members` are the keys whose types are known."""
    known = members or {}

    def walk(value: Any, path: str, marks: Marks) -> Any:
        if type(value) is not dict:
            return _any(value, path, marks)
        plain: dict[Any, Any] = {}
        for name, member in cast("dict[Any, Any]", value).items():
            inside = _inside(path, name)
            # A reader refuses marks below such a key: what lies there stays plain JSON.
            plain[name] = known.get(name, item)(member, inside or "", {} if inside is None else marks)
        return plain

    return walk


def _inside(path: str, name: Any) -> str | None:
    """The path of a member, or None where a reader would refuse it."""
    key = name if type(name) is str else msgspec.to_builtins(name)
    if key in FORBIDDEN:
        return None
    if "." in key or "\\" in key:
        key = key.replace("\\", "\\\\").replace(".", "\\.")
    return f"{path}{key}."


def _dict(value: dict[Any, Any], path: str, marks: Marks) -> Any:
    """A dict by its keys: all of them text on the wire, an object; else a Map."""
    if all(isinstance(key, _TEXT_KEYS) and not isinstance(key, datetime) for key in value):
        return _plain_object(value, path, marks)
    return _plain_map(value, path, marks)


_plain_object = _object_of(_any)
_plain_map = _map_of(_any, _any)


def _fields_of(fields: list[tuple[str, str, Walk]], *, by_class: type) -> Walk:
    """A record: (attribute, wire name, walker) of each field. Of what is undefined the key is left out."""
    steps = [(wire, _inside("", wire), item) for _, wire, item in fields]
    names = [attribute for attribute, _, _ in fields]
    # A struct's values in one call of msgspec's, in the order of its fields: a third of the time goes without it.
    values_of: Callable[[Any], Any] = (
        msgspec.structs.astuple
        if issubclass(by_class, msgspec.Struct)
        else lambda value: [getattr(value, n) for n in names]
    )

    def walk(value: Any, path: str, marks: Marks) -> Any:
        if type(value) is not by_class:
            return _any(value, path, marks)
        plain: dict[str, Any] = {}
        for member, (wire, inside, item) in zip(values_of(value), steps, strict=True):
            if member is None or (item is _same and member is not UNDEFINED):
                plain[wire] = member
            elif member is not UNDEFINED:
                plain[wire] = item(member, path + (inside or ""), {} if inside is None else marks)
        return plain

    return walk


# ------------------------------------------------------------------ the walker of a type

_EXACT: dict[Any, Walk] = {
    type(None): _same, bool: _same, str: _same, UUID: _same, Decimal: _same, date: _same, time: _same, timedelta: _same,
    int: _integer, float: _float, datetime: _date, BigInt: _big, bytes: _bytes, bytearray: _bytes, memoryview: _bytes,
    Url: _url, RegExp: _regexp, JsError: _error, Typed: _typed, type(UNDEFINED): _undefined, list: _list_of(_any),
    tuple: _list_of(_any), set: _set_of(_any), frozenset: _set_of(_any), Members: _set_of(_any), dict: _dict,
    Map: _plain_map, Pairs: _plain_map, msgspec.Raw: _same, Any: _any, object: _any,
}  # fmt: skip


@lru_cache(maxsize=4096)
def _of_class(kind: Any) -> Walk:
    """The walker of values of exactly this class."""
    found = _EXACT.get(kind)
    if found is not None:
        return found
    if issubclass(kind, enum.Enum):
        return _same
    if issubclass(kind, msgspec.Struct):
        return _of_struct(kind)
    if dataclasses.is_dataclass(kind):
        return _of_dataclass(kind)
    if hasattr(kind, "model_dump"):
        # Python mode keeps datetimes and sets as they are; what it leaves of its own is text (URLs, secrets are hidden).
        return lambda value, path, marks: _any(value.model_dump(mode="python", by_alias=True), path, marks)
    for base, walk in _OF_SUBCLASSES:
        if issubclass(kind, base):
            return walk
    return _same


def _text(value: str, path: str, marks: Marks) -> str:
    return str.__str__(value)


def _integer_of_class(value: int, path: str, marks: Marks) -> Any:
    return _integer(int(value), path, marks)


def _float_of_class(value: float, path: str, marks: Marks) -> Any:
    return _float(float(value), path, marks)


def _dict_of_class(value: dict[Any, Any], path: str, marks: Marks) -> Any:
    return _dict(dict(value), path, marks)


def _of_dataclass(kind: Any) -> Walk:
    names = [(field.name, field.name) for field in dataclasses.fields(kind)]
    return _fields_of(_declared(kind, names), by_class=kind)


def _items_of_class(value: Any, path: str, marks: Marks) -> Any:
    return _any(list(value), path, marks)


def _members_of_class(value: Any, path: str, marks: Marks) -> Any:
    return _any(set(value), path, marks)


_OF_SUBCLASSES: tuple[tuple[Any, Walk], ...] = (
    (str, _text), (int, _integer_of_class), (float, _float_of_class), (dict, _dict_of_class), (datetime, _date),
    ((list, tuple), _items_of_class), ((set, frozenset), _members_of_class),
)  # fmt: skip


def _of_struct(kind: type[msgspec.Struct]) -> Walk:
    config = kind.__struct_config__
    if config.array_like:
        # Its items have no names; msgspec knows their order.
        return lambda value, path, marks: _any(msgspec.to_builtins(value, builtin_types=_KEPT), path, marks)
    fields = _declared(kind, [*zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)])
    walk = _fields_of(fields, by_class=kind)
    if config.tag_field is None:
        return walk
    tag = {config.tag_field: config.tag}
    return lambda value, path, marks: {**tag, **walk(value, path, marks)}


_KEPT = (datetime, bytes, UUID, Decimal, date, time)


def _declared(kind: type, names: list[tuple[str, str]]) -> list[tuple[str, str, Walk]]:
    """(attribute, wire name, walker by its annotation); without readable annotations by value."""
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    return [(attribute, wire, _late(hints.get(attribute, Any))) for attribute, wire in names]


def _late(kind: Any) -> Walk:
    """The walker of a field: made at its first value where the type may contain itself."""
    if kind in _SCALARS:
        return _EXACT[kind]
    made: list[Walk] = []

    def walk(value: Any, path: str, marks: Marks) -> Any:
        if not made:
            made.append(_walker(kind))
        return made[0](value, path, marks)

    return walk


_SCALARS = frozenset({str, UUID, int, float, bool, datetime, date, Decimal, bytes})


def _walker(kind: Any) -> Walk:
    """The walker of a declared type; a value of another type goes by its own."""
    try:
        return _known(kind)
    except TypeError:  # a type with an unhashable annotation
        return _made(kind)


def _made(kind: Any) -> Walk:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _big if is_big(kind) else _walker(arguments[0])
    if is_big(kind):
        return _big
    if isinstance(kind, typing.NewType):
        return _walker(kind.__supertype__)
    if origin in (typing.Union, types.UnionType):
        return _of_union(arguments)
    if origin in (list, set, frozenset):
        return (_list_of if origin is list else _set_of)(_walker(arguments[0]))
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return _list_of(_walker(arguments[0]))
    if origin is dict:
        return _of_dict(*arguments)
    # typing_extensions' own TypedDict, too, which `typing.is_typeddict` does not know before Python 3.12.
    if typing.is_typeddict(kind) or hasattr(kind, "__required_keys__"):
        hints = typing.get_type_hints(kind, include_extras=True)
        return _object_of(_any, {name: _late(_bare(hint)) for name, hint in hints.items()})
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return _of_generic(kind, origin)
    if kind in _SCALARS or isinstance(kind, type):
        return _checked(kind)
    return _any


_known = lru_cache(maxsize=4096)(_made)


def _checked(kind: Any) -> Walk:
    """A class's walker, for values of exactly that class; a subclass or a stranger goes by its own."""
    walk = _of_class(kind)
    if walk in (_any, _integer, _float):
        return walk
    return lambda value, path, marks: (walk if type(value) is kind else _any)(value, path, marks)


def _bare(hint: Any) -> Any:
    """A TypedDict's annotation without Required, NotRequired, ReadOnly."""
    while typing.get_origin(hint) in (typing.Required, typing.NotRequired):
        hint = typing.get_args(hint)[0]
    return hint


def _of_union(arms: tuple[Any, ...]) -> Walk:
    given = [arm for arm in arms if arm not in (type(None), msgspec.UnsetType)]
    # One arm beside None: by its type. Of several, the value decides, but for a bigint, which only its type knows.
    if len(given) == 1:
        inner = _walker(given[0])
        return lambda value, path, marks: None if value is None else inner(value, path, marks)
    return _big if any(is_big(arm) for arm in given) and int not in given else _any


def _of_dict(key: Any, item: Any) -> Walk:
    bare = typing.get_args(key)[0] if typing.get_origin(key) is typing.Annotated else key
    if isinstance(bare, type) and (bare in (int, float, bool, datetime) or issubclass(bare, enum.IntEnum)):
        return _map_of(_walker(key), _walker(item))
    if isinstance(bare, type) and issubclass(bare, _TEXT_KEYS):
        return _object_of(_walker(item))
    return _any


def _of_generic(kind: Any, origin: type[msgspec.Struct]) -> Walk:
    """`Page[Note]`: its fields with the arguments put in."""
    parameters: tuple[Any, ...] = getattr(origin, "__parameters__", ())
    given = dict(zip(parameters, typing.get_args(kind), strict=False))
    hints = typing.get_type_hints(origin, include_extras=True)
    names = zip(origin.__struct_fields__, origin.__struct_encode_fields__, strict=True)
    if origin.__struct_config__.tag_field is not None or origin.__struct_config__.array_like:
        return _checked(origin)
    fields = [(attribute, wire, _late(_filled(hints[attribute], given))) for attribute, wire in names]
    return _fields_of(fields, by_class=origin)


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    """A hint with type variables replaced."""
    if hint in given:
        return given[hint]
    parameters: tuple[Any, ...] = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(one, one) for one in parameters)] if parameters else hint


def is_big(kind: Any) -> bool:
    """Whether a type is `BigInt`, with or without constraints."""
    return kind is BigInt or (typing.get_origin(kind) is typing.Annotated and typing.get_args(kind)[0] is BigInt)


def _foreign(value: Any) -> Any:
    """What msgspec does not know: subclasses of str, and what a Pydantic model left."""
    if isinstance(value, (str, int)):
        return str.__str__(value) if isinstance(value, str) else int(value)
    if value is UNDEFINED:
        return None
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    return str(value) if dump is None else dump(mode="json", by_alias=True)


_encoder = msgspec.json.Encoder(enc_hook=_foreign)
