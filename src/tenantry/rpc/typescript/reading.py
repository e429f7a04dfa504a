"""What a Python type is in TypeScript, as the wire has it; named types are collected on the way.

One reader a program. Without a transformer a datetime is a string and bytes are base64; with superjson they are Date and
Uint8Array. A class with a name becomes a type with that name; generics keep their parameters.
"""

from __future__ import annotations

import enum
import types
import typing
from collections import abc
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Required, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import UnsetType

from tenantry.rpc.bodies import File, Form, Octets
from tenantry.rpc.kinds import BigInt, Deferred
from tenantry.rpc.tracked import Tracked
from tenantry.rpc.typescript import docs
from tenantry.rpc.typescript.models import MISSING, Field, Model, model_of
from tenantry.rpc.typescript.shapes import (
    NULL,
    NUMBER,
    STRING,
    UNKNOWN,
    Apply,
    Array,
    Both,
    Member,
    Mode,
    Object,
    Ref,
    Shape,
    Tuple,
    Word,
    literal,
    union,
)

_PLAIN: dict[Any, Shape] = {
    str: STRING, typing.LiteralString: STRING, int: NUMBER, float: NUMBER, bool: Word("boolean"), None: NULL, type(None): NULL,
    UUID: STRING, Decimal: STRING, date: STRING, time: STRING, timedelta: STRING, Any: UNKNOWN, object: UNKNOWN,
    msgspec.Raw: UNKNOWN, typing.Never: Word("never"), typing.NoReturn: Word("never"),
}  # fmt: skip
_ARRAYS = frozenset({list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable})
_SETS = frozenset({set, frozenset, abc.Set, abc.MutableSet})
_OBJECTS = frozenset({dict, abc.Mapping, abc.MutableMapping})
_STREAMS = frozenset({abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator})
_BASES: tuple[Any, ...] = (str, int, float, datetime, date, time, UUID, Decimal)
_SCHEMAS: dict[str, Shape] = {"string": STRING, "integer": NUMBER, "number": NUMBER, "boolean": Word("boolean")}
_BODIES = (File, Form, Octets)


class Named:
    """A type with a name: its shape in each mode in which it is met."""

    __slots__ = ("docs", "kind", "parameters", "shapes")

    def __init__(self, kind: Any, parameters: tuple[str, ...], words: str) -> None:
        self.kind = kind
        self.parameters = parameters
        self.docs = words
        self.shapes: dict[Mode, Shape] = {}

    @property
    def module(self) -> str:
        """The module that the type was defined in."""
        return getattr(self.kind, "__module__", "") or ""

    @property
    def name(self) -> str:
        """Its Python name."""
        return self.kind.__name__.partition("[")[0]


class Reader:
    """Reads types; `named` holds those with a name, in no order that matters."""

    def __init__(self, *, is_superjson: bool) -> None:
        self.is_superjson = is_superjson
        self.named: dict[Any, Named] = {}
        self.uses_tracked = False

    def shape(self, kind: Any, mode: Mode) -> Shape:
        """`kind` as TypeScript, in an input or an output."""
        if isinstance(kind, typing.TypeVar):
            return Word(kind.__name__)
        plain = _PLAIN.get(kind) if _is_hashable(kind) else None
        if plain is not None:
            return plain
        rich = self._rich(kind)
        if rich is not None:
            return rich
        origin = get_origin(kind)
        if origin is Annotated:
            return self._annotated(kind, mode)
        if origin is Literal:
            return union([self._literal(value, mode) for value in get_args(kind)])
        if origin in (typing.Union, types.UnionType):
            return union([self.shape(arm, mode) for arm in get_args(kind) if arm is not UnsetType])
        if origin in (Required, NotRequired):
            return self.shape(get_args(kind)[0], mode)
        if isinstance(kind, typing.NewType):
            return self._alias(kind, kind.__supertype__, mode, docs.class_docs(kind) if _has_own_docs(kind) else "")
        if hasattr(kind, "__value__") or hasattr(origin, "__value__"):
            return self._type_alias(kind, mode)
        if origin is not None:
            return self._generic(kind, origin, get_args(kind), mode)
        return self._class(kind, mode)

    def _rich(self, kind: Any) -> Shape | None:
        if kind is datetime:
            return Word("Date") if self.is_superjson else STRING
        if kind in (bytes, bytearray, memoryview):
            return Word("Uint8Array") if self.is_superjson else STRING
        if kind is BigInt:
            return Word("bigint") if self.is_superjson else STRING
        return None

    def _literal(self, value: Any, mode: Mode) -> Shape:
        return literal(value.value if isinstance(value, enum.Enum) else value)

    def _annotated(self, kind: Any, mode: Mode) -> Shape:
        base, *marks = get_args(kind)
        tag = next((t for mark in marks if isinstance(t := getattr(mark, "discriminator", None), str)), None)
        if tag is None or mode == "output":
            return self.shape(base, mode)
        # In a union that is told apart by a key, that key must be there, whatever its default.
        arms = [self._with_tag(arm, tag, mode) for arm in get_args(base)]
        return union(arms)

    def _with_tag(self, arm: Any, tag: str, mode: Mode) -> Shape:
        shape, model = self.shape(arm, mode), model_of(arm, mode)
        field = next((f for f in model.fields if f.name == tag), None) if model else None
        if field is None or field.default is MISSING:
            return shape
        return Both((shape, Object((Member(tag, self.shape(field.kind, mode)),))))

    # -------------------------------------------------------------- containers

    def _generic(self, kind: Any, origin: Any, arguments: tuple[Any, ...], mode: Mode) -> Shape:
        if origin in _ARRAYS:
            return Array(self.shape(arguments[0], mode))
        if origin in _SETS:
            item = self.shape(arguments[0], mode)
            return Apply("Set", (item,)) if self.is_superjson else Array(item)
        if origin in _OBJECTS:
            return self._dict(arguments[0], arguments[1], mode)
        if origin is tuple:
            return self._tuple(arguments, mode)
        if origin is Deferred or origin is abc.Awaitable:
            return Apply("Promise", (self.shape(arguments[0], mode),))
        if origin in _STREAMS:
            return stream_of(self.shape(arguments[0], mode))
        if origin is Tracked:
            self.uses_tracked = True
            return Apply("Tracked", (self.shape(arguments[0], mode),))
        named = self._named(origin, mode)
        if named is None:
            return UNKNOWN
        return Ref(named.kind, mode, tuple(self.shape(argument, mode) for argument in arguments))

    def _tuple(self, arguments: tuple[Any, ...], mode: Mode) -> Shape:
        if len(arguments) == 2 and arguments[1] is ...:
            return Array(self.shape(arguments[0], mode))
        return Tuple(tuple(Member("", self.shape(argument, mode)) for argument in arguments if argument != ()))

    def _dict(self, key: Any, item: Any, mode: Mode) -> Shape:
        value, keys = self.shape(item, mode), self.shape(key, mode)
        if self.is_superjson and not has_text_keys(key):
            return Apply("Map", (keys, value))
        if keys in (STRING, UNKNOWN, NUMBER) or not isinstance(bare(key), type):
            names = Word("number") if keys == NUMBER else STRING
            if _is_closed(key):
                return Apply("Partial", (Apply("Record", (keys, value)),))
            return Apply("Record", (names, value))
        if isinstance(bare(key), type) and issubclass(bare(key), enum.Enum):
            return Apply("Partial", (Apply("Record", (keys, value)),))
        return Apply("Record", (STRING, value))

    # -------------------------------------------------------------- names

    def _class(self, kind: Any, mode: Mode) -> Shape:
        if kind in (list, tuple, *_ARRAYS):
            return Array(UNKNOWN)
        if kind in _SETS:
            return Apply("Set", (UNKNOWN,)) if self.is_superjson else Array(UNKNOWN)
        if kind in _OBJECTS:
            return Apply("Record", (STRING, UNKNOWN))
        if kind in _BODIES:
            return Word("FormData") if kind is not Octets else Word("Blob | Uint8Array | File")
        generic: Any = getattr(kind, "__pydantic_generic_metadata__", None)
        if generic and generic["origin"] is not None and generic["args"]:
            return self._generic(kind, generic["origin"], generic["args"], mode)
        named = self._named(kind, mode)
        if named is not None:
            return Ref(named.kind, mode, tuple(UNKNOWN for _ in named.parameters))
        return self._unnamed(kind)

    def _unnamed(self, kind: Any) -> Shape:
        """A subclass of something plain, or a type of Pydantic's own; else `unknown`."""
        if not isinstance(kind, type):
            return UNKNOWN
        found = next((base for base in _BASES if issubclass(kind, base)), None)
        return self.shape(found, "output") if found is not None else _of_schema(kind)

    def _named(self, kind: Any, mode: Mode) -> Named | None:
        """The named type of a class, its shape in `mode` read; None for a class that is none."""
        is_enum = isinstance(kind, type) and issubclass(kind, enum.Enum)
        known = self.named.get(kind)
        if known is None:
            if not is_enum and model_of(kind, mode) is None:
                return None
            known = self.named[kind] = Named(kind, _parameters(kind), docs.class_docs(kind))
        if mode not in known.shapes:
            known.shapes[mode] = UNKNOWN  # for what contains itself
            known.shapes[mode] = self._enum(kind) if is_enum else self._model(kind, mode)
        return known

    def _enum(self, kind: Any) -> Shape:
        return union([literal(member.value) for member in kind])

    def _model(self, kind: Any, mode: Mode) -> Shape:
        model = model_of(kind, mode)
        assert model is not None  # asked by _named
        if model.is_array:
            return self._row(model, mode)
        if [field.name for field in model.fields] == ["root"] and hasattr(kind, "model_validate"):
            return self.shape(model.fields[0].kind, mode)  # Pydantic's RootModel
        return Object(tuple(self.member(field, mode) for field in model.fields))

    def _row(self, model: Model, mode: Mode) -> Shape:
        items = [
            Member(f.name, self.shape(f.kind, mode), mode == "input" and f.default is not MISSING) for f in model.fields
        ]
        return Tuple(tuple(items))

    def member(self, field: Field, mode: Mode) -> Member:
        """A field as a key: what has a default may be left out of an input."""
        words, tags = docs.annotated_docs(field.kind)
        tags = [*tags, *docs.format_of(field.kind, is_superjson=self.is_superjson)]
        shape = self.shape(field.kind, mode)
        # tRPC's client takes a key of unknown type for one that may be absent, since JSON has no undefined.
        may_miss = field.may_miss or (shape == UNKNOWN and not self.is_superjson)
        is_optional = may_miss if mode == "output" else field.default is not MISSING
        if mode == "input":
            tags.extend(docs.default_of(field.default))
        return Member(field.name, shape, is_optional, docs.joined(field.docs or words, tags))

    def _alias(self, kind: Any, base: Any, mode: Mode, words: str) -> Shape:
        known = self.named.get(kind)
        if known is None:
            parameters = tuple(one.__name__ for one in getattr(kind, "__type_params__", ()))
            known = self.named[kind] = Named(kind, parameters, words)
        if mode not in known.shapes:
            known.shapes[mode] = UNKNOWN
            known.shapes[mode] = self.shape(base, mode)
        return Ref(kind, mode)

    def _type_alias(self, kind: Any, mode: Mode) -> Shape:
        """`type Json = …` (Python 3.12), and typing_extensions' TypeAliasType."""
        origin = get_origin(kind) or kind
        found = self._alias(origin, origin.__value__, mode, "")
        assert isinstance(found, Ref)  # _alias gives one
        return Ref(found.key, mode, tuple(self.shape(argument, mode) for argument in get_args(kind)))


def _of_schema(kind: Any) -> Shape:
    """A type that says its JSON schema to Pydantic (EmailStr, AnyUrl); only a builder who has Pydantic has such a type."""
    if not hasattr(kind, "__get_pydantic_core_schema__"):
        return UNKNOWN
    from pydantic import TypeAdapter

    found: Any = TypeAdapter(kind).json_schema(mode="serialization").get("type")
    return _SCHEMAS.get(found, UNKNOWN)


def stream_of(item: Shape) -> Shape:
    """What tRPC's client gives for a stream of values, to the letter: its `any` is what `next()` takes, and reaches no value."""
    return Apply("AsyncIterable", (item, Word("void")))


def bare(kind: Any) -> Any:
    """A type without its annotations and its new name."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        else:
            return kind


def has_text_keys(key: Any) -> bool:
    """Whether a dict with such keys is an object in superjson too, rather than a Map."""
    kind = bare(key)
    if isinstance(kind, type):
        return not issubclass(kind, (int, float, datetime, tuple)) and kind is not type(None)
    return all(isinstance(value, str) for value in get_args(kind)) if get_origin(kind) is Literal else True


def _is_closed(key: Any) -> bool:
    return get_origin(bare(key)) is Literal


def _parameters(kind: Any) -> tuple[str, ...]:
    generic = getattr(kind, "__pydantic_generic_metadata__", None)
    found: Any = generic["parameters"] if generic else getattr(kind, "__parameters__", ())
    return tuple(one.__name__ for one in found)


def _has_own_docs(kind: Any) -> bool:
    return "__doc__" in getattr(kind, "__dict__", {})


def _is_hashable(kind: Any) -> bool:
    return getattr(kind, "__hash__", None) is not None and get_origin(kind) is not Annotated
