"""What Python says about a thing, as TSDoc: docstrings of procedures, classes and fields, `Doc`, constraints, formats."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import typing
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from tenantry.rpc.faults import MAX_SAFE
from tenantry.rpc.kinds import BigInt

FORMATS: tuple[tuple[Any, str], ...] = (
    (UUID, "uuid"), (Decimal, "decimal"), (datetime, "date-time"), (date, "date"), (time, "time"), (timedelta, "duration"),
    (bytes, "base64"), (BigInt, "integer"),
)  # fmt: skip
"""What a string is, where Python knows more than JSON says."""

_TAGS = (
    ("ge", "minimum"), ("gt", "exclusiveMinimum"), ("le", "maximum"), ("lt", "exclusiveMaximum"), ("multiple_of", "multipleOf"),
    ("pattern", "pattern"),
)  # fmt: skip


def class_docs(kind: Any) -> str:
    """A class's own docstring: not its base's, and not the one that Python makes of its fields."""
    text = vars(kind).get("__doc__") if isinstance(kind, type) else getattr(kind, "__doc__", None)
    name = getattr(kind, "__name__", "")
    if not isinstance(text, str) or text.startswith(f"{name}("):
        return ""
    return _with_deprecation(inspect.cleandoc(text), kind)


def procedure_docs(handler: Any, docs: str) -> str:
    """A handler's docstring, what it is known to raise, and whether it is deprecated."""
    return _with_deprecation(docs, handler)


def _with_deprecation(text: str, what: Any) -> str:
    words = getattr(what, "__deprecated__", None)
    return joined(text, [f"@deprecated {words}"]) if isinstance(words, str) else text


def joined(text: str, tags: Iterable[str]) -> str:
    """Docs with tags below them."""
    below = "\n".join(tags)
    return (
        "\n\n".join(part for part in (text.strip(), below) if part)
        if "\n" in text
        else "\n".join(part for part in (text.strip(), below) if part)
    )


@lru_cache(maxsize=2048)
def field_docs(kind: Any) -> dict[str, str]:
    """The docstrings below a class's fields, its bases' included; nothing where there is no source."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__ in ("builtins", "typing", "msgspec", "enum"):
            continue
        found.update(_written_in(base))
    return found


def _written_in(kind: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0]
    if not isinstance(body, ast.ClassDef):
        return {}
    found: dict[str, str] = {}
    for field, following in zip(body.body, body.body[1:], strict=False):
        match field, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
            case _:
                pass
    return found


def annotated_docs(kind: Any) -> tuple[str, list[str]]:
    """(words, tags) of an annotation: `Doc`, `Meta` and annotated-types, Pydantic's Field; the format of what is a string."""
    words, tags = "", list[str]()
    while get_origin(kind) is Annotated:
        base, *marks = get_args(kind)
        for mark in marks:
            words = words or _words_of(mark)
            tags.extend(tags_of(mark, base))
        kind = base
    arms = [arm for arm in get_args(kind) if arm is not type(None)] if get_origin(kind) in (Union, UnionType) else []
    if len([arm for arm in arms if getattr(arm, "__name__", "") != "UnsetType"]) == 1:
        more, more_tags = annotated_docs(arms[0])
        return words or more, [*tags, *(tag for tag in more_tags if tag not in tags)]
    return words, list(dict.fromkeys(tags))


def _words_of(mark: Any) -> str:
    text = getattr(mark, "documentation", None) or getattr(mark, "description", None)
    return text if isinstance(text, str) else ""


_UNSAID = (None, MAX_SAFE, -MAX_SAFE)
"""What every int is bound to goes without saying."""


def tags_of(mark: Any, kind: Any) -> list[str]:
    """A constraint as tags: `@minLength 1`."""
    if isinstance(mark, type):
        return []
    tags = [f"@{tag} {value}" for name, tag in _TAGS if (value := getattr(mark, name, None)) not in _UNSAID]
    length = "Length" if _is_text(kind) else "Items"
    for name, tag in (("min_length", f"min{length}"), ("max_length", f"max{length}")):
        value = getattr(mark, name, None)
        # annotated-types' Len has a least length of 0 where none was meant.
        if value is not None and not (name == "min_length" and value == 0):
            tags.append(f"@{tag} {value}")
    for inner in getattr(mark, "metadata", ()) or ():  # Pydantic's FieldInfo
        tags.extend(tags_of(inner, kind))
    return tags


def _is_text(kind: Any) -> bool:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    arms = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return any(isinstance(arm, type) and issubclass(arm, (str, bytes)) for arm in arms) or any(map(_is_new_text, arms))


def _is_new_text(kind: Any) -> bool:
    return isinstance(kind, typing.NewType) and _is_text(kind.__supertype__)


def format_of(kind: Any, *, is_superjson: bool) -> list[str]:
    """`@format uuid` for what is a string on the wire and something narrower in Python."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        arms = [arm for arm in get_args(kind) if arm is not type(None) and getattr(arm, "__name__", "") != "UnsetType"]
        return format_of(arms[0], is_superjson=is_superjson) if len(arms) == 1 else []
    if not isinstance(kind, type) or (is_superjson and kind in (datetime, bytes, BigInt)):
        return []
    return [f"@format {name}" for base, name in FORMATS if kind is base]


def default_of(value: Any) -> list[str]:
    """`@default 20`, where the default is a plain value."""
    if isinstance(value, (bool, int, float, str)):
        return [f"@default {json.dumps(value, ensure_ascii=False)}"]
    if isinstance(value, (list, tuple, dict)) and not value:
        return ["@default " + ("{}" if isinstance(value, dict) else "[]")]
    return []
