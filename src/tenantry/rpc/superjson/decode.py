"""superjson from a client, as Python values; whatever is wrong with it is a BadRequest.

The annotations say which place of the JSON is converted to what. They are walked together with the JSON, each from where
its parent stands, so the time is linear in the text; children come before their parent, as the npm package has it. The
objects that are addressed are fresh ones of the JSON decoder, and are changed in place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NoReturn, cast

import msgspec

from tenantry.errors import BadRequest
from tenantry.rpc.kinds import BigInt
from tenantry.rpc.superjson.values import UNDEFINED, JsError, Map, Members, Pairs, RegExp, Url

FORBIDDEN = frozenset({"__proto__", "constructor", "prototype"})
"""Keys by which a JavaScript reader could be made to write outside its objects; no honest client addresses them."""
MAX_DEPTH = 64
"""Of annotations inside annotations, and of keys in a path: as deep as an input may be nested."""
MAX_DIGITS = 1000
"""Of a bigint: PostgreSQL's numeric and any key fit; int() of more grows with the square."""
MAX_SHARED_HASHES = 64
"""Of a set's members, or a map's keys, beyond one a hash."""

_bigint = re.compile(f"-?[0-9]{{1,{MAX_DIGITS}}}")
_numbers = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}
_INTEGERS = {
    "Int8Array": (-128, 127), "Uint8Array": (0, 255), "Uint8ClampedArray": (0, 255), "Int16Array": (-(2**15), 2**15 - 1),
    "Uint16Array": (0, 2**16 - 1), "Int32Array": (-(2**31), 2**31 - 1), "Uint32Array": (0, 2**32 - 1),
}  # fmt: skip


def loads(raw: bytes | msgspec.Raw) -> Any:
    """The value of one superjson text. What is no superjson (`{}`, `5`) is UNDEFINED. Raises BadRequest."""
    try:
        whole = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "The input is not valid JSON"
        raise BadRequest(message) from None
    return decode(whole)


def decode(whole: Any) -> Any:
    """The value of one superjson object that is decoded already, and is changed. Raises BadRequest."""
    if whole is None:
        _refuse("null is not superjson")
    if not isinstance(whole, dict) or "json" not in whole:
        return UNDEFINED
    body = cast("dict[str, Any]", whole)
    plain, meta = body["json"], body.get("meta")
    if not isinstance(meta, dict):
        return plain
    facts = cast("dict[str, Any]", meta)
    values = facts.get("values")
    version = facts.get("v")
    is_legacy = isinstance(version, (int, float)) and version < 1
    # Referential equalities are not read: every place holds a full copy, unless a client chose otherwise for itself.
    if isinstance(values, list):
        return _annotated(plain, cast("list[Any]", values), is_legacy, 0)
    if isinstance(values, dict):
        _inside(plain, cast("dict[str, Any]", values), is_legacy, 0)
    elif values is not None:
        _refuse("values is neither an object nor an array")
    return plain


def _annotated(value: Any, annotation: list[Any], is_legacy: bool, depth: int) -> Any:
    """`value` converted as `[kind, children?]` says, its children first."""
    if not 1 <= len(annotation) <= 2 or depth > MAX_DEPTH:
        _refuse("an annotation is no [kind, children]")
    if len(annotation) == 2 and annotation[1] is not None:
        if not isinstance(annotation[1], dict):
            _refuse("an annotation is no [kind, children]")
        _inside(value, cast("dict[str, Any]", annotation[1]), is_legacy, depth + 1)
    return _converted(value, annotation[0])


def _inside(value: Any, annotations: dict[str, Any], is_legacy: bool, depth: int) -> None:
    """Convert what lies in `value` at each path."""
    for path, annotation in annotations.items():
        keys = _keys(path, is_legacy) if "\\" in path else path.split(".")
        if len(keys) > MAX_DEPTH:
            _refuse("a path is too deep")
        parent = value
        for key in keys[:-1]:
            parent = parent[_place(parent, key)]
        place = _place(parent, keys[-1])
        if isinstance(annotation, list):
            parent[place] = _annotated(parent[place], cast("list[Any]", annotation), is_legacy, depth)
        elif isinstance(annotation, dict) and depth < MAX_DEPTH:
            _inside(parent[place], cast("dict[str, Any]", annotation), is_legacy, depth + 1)
        else:
            _refuse("an annotation is no [kind, children]")


def _place(parent: Any, key: str) -> Any:
    """The key or index that `key` is in `parent`, which is still plain JSON. A path to nowhere is refused."""
    if key in FORBIDDEN:
        _refuse("a path is not allowed")
    if type(parent) is dict:
        if key in parent:
            return key
    elif type(parent) is list and key.isdigit() and key.isascii() and len(key) < 10:
        index = int(key)
        if index < len(cast("list[Any]", parent)):
            return index
    return _refuse("a path leads nowhere")


def _keys(path: str, is_legacy: bool) -> list[str]:
    """A dotted path's keys: `\\.` is a dot inside of one and `\\\\` a backslash (which version 0 did not escape)."""
    keys: list[str] = []
    key = ""
    at = 0
    while at < len(path):
        char, following = path[at], path[at + 1 : at + 2]
        if char == "\\" and (following == "." or (following == "\\" and not is_legacy)):
            key += following
            at += 1
        elif char == "\\" and not is_legacy:
            _refuse("a path is not validly escaped")
        elif char == ".":
            keys.append(key)
            key = ""
        else:
            key += char
        at += 1
    keys.append(key)
    return keys


def _converted(value: Any, kind: Any) -> Any:
    try:
        if isinstance(kind, str):
            return _KINDS[kind](value)
        if isinstance(kind, list) and len(cast("list[Any]", kind)) == 2 and kind[0] == "typed-array":
            return _typed_array(value, cast("list[Any]", kind)[1])
    except (KeyError, TypeError, ValueError, OverflowError, msgspec.ValidationError):
        pass
    return _refuse("a value is not what its annotation says")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _items(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError
    return cast("list[Any]", value)


def _date(value: Any) -> datetime:
    moment = msgspec.convert(_text(value), datetime)
    if moment.tzinfo is None:
        raise ValueError
    return moment if moment.tzinfo is timezone.utc else moment.astimezone(timezone.utc)


def _big(value: Any) -> BigInt:
    if _bigint.fullmatch(_text(value)) is None:
        raise ValueError
    return BigInt(value)


def _undefined(value: Any) -> Any:
    if value is not None:
        raise TypeError
    return UNDEFINED


def _spread(items: list[Any]) -> list[Any]:
    """`items` as they are. Raises TypeError where one has no hash, ValueError where too many share one.

    Every multiple of 2^61-1 has the same hash in Python: a set of such bigints would take time with its square.
    """
    if len(items) - len({hash(item) for item in items}) > MAX_SHARED_HASHES:
        raise ValueError
    return items


def _set(value: Any) -> set[Any] | Members:
    items = _items(value)
    try:
        members = set(_spread(items))
    except TypeError:
        return Members(items)
    # Python takes 1, 1.0 and True for one member; JavaScript does not.
    return members if len(members) == len(items) else Members(items)


def _map(value: Any) -> Map | Pairs:
    pairs = [_items(pair) for pair in _items(value)]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError
    try:
        _spread([pair[0] for pair in pairs])
        found = Map(pairs)
    except TypeError:
        return Pairs(pairs)
    return found if len(found) == len(pairs) else Pairs(pairs)


def _regexp(value: Any) -> RegExp:
    text = _text(value)
    end = text.rfind("/")
    if end < 1 or text[0] != "/":
        raise ValueError
    return RegExp(text[1:end], text[end + 1 :])


def _error(value: Any) -> JsError:
    if type(value) is not dict:
        raise TypeError
    held = cast("dict[str, Any]", value)
    return JsError(_text(held["name"]), _text(held["message"]), held.get("cause", UNDEFINED))


def _typed_array(value: Any, name: Any) -> bytes | list[Any]:
    items = _items(value)
    if name in ("Float32Array", "Float64Array"):
        if any(type(item) not in (int, float, type(None)) for item in items):
            raise ValueError
        # JSON has no NaN: superjson writes null for it inside of a typed array.
        return [math.nan if item is None else item for item in items]
    least, most = _INTEGERS[name]
    if any(type(item) is not int or not least <= item <= most for item in items):
        raise ValueError
    return bytes(items) if name == "Uint8Array" else items


_KINDS: dict[str, Callable[[Any], Any]] = {
    "Date": _date, "bigint": _big, "undefined": _undefined, "number": lambda value: _numbers[value], "set": _set,
    "map": _map, "regexp": _regexp, "URL": lambda value: Url(_text(value)), "Error": _error,
}  # fmt: skip


def _refuse(why: str) -> NoReturn:
    message = f"The input is not valid superjson: {why}"
    raise BadRequest(message)
