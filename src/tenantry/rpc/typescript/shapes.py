"""TypeScript types as values, and their text. What is printed where is decided here; what a Python type is, in `reading`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Mode = Literal["input", "output"]
"""A key with a default may be left out of an input, and is always there in an output: one Python type, two shapes."""

WIDTH = 110
"""Objects without docs stay on one line up to this many characters."""


class Word(Struct, frozen=True):
    """`string`, `null`, `'open'`, a type parameter: what stands for itself."""

    text: str


class Ref(Struct, frozen=True):
    """A named type, by its key in the registry."""

    key: Any
    mode: Mode
    arguments: tuple[Shape, ...] = ()


class Apply(Struct, frozen=True):
    """`Map<K, V>`, `Promise<T>`: a global type with arguments."""

    name: str
    arguments: tuple[Shape, ...]


class Array(Struct, frozen=True):
    """`T[]`."""

    item: Shape


class Tuple(Struct, frozen=True):
    """`[a: string, b?: number]`; labels are empty or of all items."""

    items: tuple[Member, ...]


class Union(Struct, frozen=True):
    """`A | B`."""

    arms: tuple[Shape, ...]


class Both(Struct, frozen=True):
    """`A & B`."""

    arms: tuple[Shape, ...]


class Object(Struct, frozen=True):
    """`{ key: T }`."""

    members: tuple[Member, ...]


class Member(Struct, frozen=True):
    """One key. `docs` are its comment, without the stars."""

    name: str
    shape: Shape
    is_optional: bool = False
    docs: str = ""


Shape: TypeAlias = Word | Ref | Apply | Array | Tuple | Union | Both | Object
NameOf: TypeAlias = Callable[[Any, Mode], str]

UNKNOWN, NULL, VOID, STRING, NUMBER = Word("unknown"), Word("null"), Word("void"), Word("string"), Word("number")


def union(arms: Sequence[Shape]) -> Shape:
    """The union of those, flat, each once, null at the end; `unknown` swallows the others."""
    flat: list[Shape] = []
    for arm in arms:
        flat.extend(arm.arms if isinstance(arm, Union) else (arm,))
    once = list(dict.fromkeys(flat))
    if UNKNOWN in once:
        return UNKNOWN
    if NULL in once:
        once = [*(arm for arm in once if arm != NULL), NULL]
    if Word("true") in once and Word("false") in once:
        once = [Word("boolean") if arm == Word("true") else arm for arm in once if arm != Word("false")]
    if not once:
        return Word("never")
    return once[0] if len(once) == 1 else Union(tuple(once))


def literal(value: Any) -> Shape:
    """A literal type: texts, numbers, booleans, null."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return Word("true" if value else "false")
    return Word(quoted(value) if isinstance(value, str) else json.dumps(value))


def quoted(text: str) -> str:
    """`text` as a TypeScript string."""
    inner = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'".replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def key(name: str) -> str:
    """A property's name, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else quoted(name)


def comment(docs: str, indent: str = "") -> str:
    """A TSDoc block over a declaration, or nothing."""
    lines = [line.rstrip() for line in docs.strip().replace("*/", "*\\/").splitlines()]
    if not lines:
        return ""
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return "\n".join([f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]) + "\n"


def text_of(shape: Shape, name_of: NameOf, indent: str = "") -> str:
    """The type as text; lines after the first begin with `indent`."""
    match shape:
        case Word(text):
            return text
        case Ref(what, mode, arguments):
            return name_of(what, mode) + _arguments(arguments, name_of, indent)
        case Apply(name, arguments):
            return name + _arguments(arguments, name_of, indent)
        case Array(item):
            inner = text_of(item, name_of, indent)
            return f"({inner})[]" if isinstance(item, (Union, Both)) else f"{inner}[]"
        case Tuple(items):
            return "[" + ", ".join(_item(item, name_of, indent) for item in items) + "]"
        case Union(arms):
            return " | ".join(text_of(arm, name_of, indent) for arm in arms)
        case Both(arms):
            return " & ".join(_in_brackets(arm, name_of, indent) for arm in arms)
        case Object(members):
            return object_text(members, name_of, indent)


def _arguments(arguments: tuple[Shape, ...], name_of: NameOf, indent: str) -> str:
    return f"<{', '.join(text_of(one, name_of, indent) for one in arguments)}>" if arguments else ""


def _in_brackets(shape: Shape, name_of: NameOf, indent: str) -> str:
    text = text_of(shape, name_of, indent)
    return f"({text})" if isinstance(shape, Union) else text


def _item(item: Member, name_of: NameOf, indent: str) -> str:
    text = text_of(item.shape, name_of, indent)
    if not item.name:
        return f"({text})?" if item.is_optional else text
    return f"{item.name}{'?' if item.is_optional else ''}: {text}"


def object_text(members: Sequence[Member], name_of: NameOf, indent: str = "", *, is_open: bool = False) -> str:
    """An object type: on one line where it is short and without docs, unless `is_open`."""
    if not members:
        return "Record<string, never>"
    inside = indent + "  "
    if not is_open and not any(member.docs for member in members):
        line = "{ " + "; ".join(member_text(member, name_of, inside) for member in members) + " }"
        if "\n" not in line and len(line) + len(indent) <= WIDTH:
            return line
    parts = [f"{comment(m.docs, inside)}{inside}{member_text(m, name_of, inside)};\n" for m in members]
    return "{\n" + "".join(parts) + indent + "}"


def member_text(member: Member, name_of: NameOf, indent: str) -> str:
    """`key: T`, or `key?: T | undefined`, which exactOptionalPropertyTypes needs."""
    text = text_of(member.shape, name_of, indent)
    return f"{key(member.name)}?: {text} | undefined" if member.is_optional else f"{key(member.name)}: {text}"
