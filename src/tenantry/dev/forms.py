# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Types at run time are values here: no checker follows them.
"""A procedure's input as the fields of a form, and a sent form as the input. Pure.

A text that does not fit its field goes on as it was written: what a wrong input is answered with is part of what one wants to see.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from tenantry.rpc import Procedure
from tenantry.rpc.names import camel

Kind = Literal["text", "area", "number", "choice", "date", "moment", "json", "file", "bytes"]
JSON_FIELD = ".json"
NULL = ".null."
"""Before a field's name: the box that says null."""
LONG = 200
"""A text that may be longer has an area, not a line."""


class Field(Struct, frozen=True):
    """One input of the form. `choices` are the JSON values of a choice."""

    name: str
    kind: Kind
    is_required: bool
    takes_null: bool
    choices: tuple[str, ...] = ()
    hint: str = ""


class NotJson(ValueError):
    """A field that holds JSON holds none. `field` is its name, `why` what is wrong."""

    def __init__(self, field: str, why: str) -> None:
        self.field = field
        self.why = why
        super().__init__(f"{field}: {why}")


def fields_of(procedure: Procedure[..., Any]) -> list[Field]:
    """The form of a procedure, in the order of its parameters."""
    schema = procedure.input
    if schema.kind == "whole":
        return [Field("", "json", True, False, hint="The whole input as JSON")]
    found = [
        _field(wire, kind, is_required=default is inspect.Parameter.empty)
        for wire, kind, default in zip(schema.wire, schema.types, schema.defaults, strict=True)
    ]
    if schema.stream is not None:
        name = camel(schema.stream) if schema.kind == "form" else schema.stream
        is_needed = schema.stream_default is inspect.Parameter.empty
        found.append(Field(name, "file" if schema.kind == "form" else "bytes", is_needed, False))
    return found


def _field(name: str, kind: Any, *, is_required: bool) -> Field:
    base, takes_null, longest = _plain(kind)
    choices: tuple[str, ...] = ()
    shown: Kind = "text"
    hint = getattr(base, "__name__", "")
    if base is bool:
        shown, choices = "choice", ("true", "false")
    elif get_origin(base) is Literal:
        shown, choices, hint = "choice", tuple(json.dumps(one) for one in get_args(base)), ""
    elif isinstance(base, type) and issubclass(base, enum.Enum):
        shown, choices = "choice", tuple(json.dumps(msgspec.to_builtins(one)) for one in base)
    elif base in (int, float) or (isinstance(base, type) and issubclass(base, (int, float))):
        shown = "number"
    elif base is datetime:
        shown, hint = "moment", "2026-01-31T12:00:00Z"
    elif base is date:
        shown = "date"
    elif base is str:
        shown = "area" if longest is not None and longest > LONG else "text"
    elif base is Decimal or (
        isinstance(base, type)
        and base.__module__ in ("uuid", "datetime", "builtins")
        and base not in (list, dict, set, tuple, object)
    ):
        shown = "text"
    else:
        shown, hint = "json", json.dumps(sample(base))
    return Field(name, shown, is_required, takes_null, choices, hint)


def _plain(kind: Any) -> tuple[Any, bool, int | None]:
    """A type without what stands around it; whether null is taken; the longest text."""
    takes_null, longest = False, None
    while True:
        if get_origin(kind) is Annotated:
            kind, *rest = get_args(kind)
            longest = next(
                (one.max_length for one in rest if isinstance(one, msgspec.Meta) and one.max_length), longest
            )
            continue
        if get_origin(kind) in (Union, types.UnionType):
            arms = [arm for arm in get_args(kind) if arm not in (types.NoneType, msgspec.UnsetType)]
            takes_null = takes_null or types.NoneType in get_args(kind)
            if len(arms) == 1:
                kind = arms[0]
                continue
        return kind, takes_null, longest


def sample(kind: Any, depth: int = 3) -> Any:
    """A value like those of a type, as JSON: what a field of JSON begins with."""
    base, takes_null, _ = _plain(kind)
    origin = get_origin(base)
    if depth == 0 or base is Any or origin in (Union, types.UnionType):
        return None
    if origin in (list, set, frozenset, tuple):
        return [sample(get_args(base)[0], depth - 1)] if get_args(base) else []
    if origin is dict:
        return {"key": sample(get_args(base)[1], depth - 1)}
    if origin is Literal:
        return get_args(base)[0]
    members = _members(base)
    if members is not None:
        return {name: sample(inner, depth - 1) for name, inner in members}
    return None if takes_null else {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}}.get(base, "")


def _members(base: Any) -> list[tuple[str, Any]] | None:
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        return [(one.encode_name, one.type) for one in msgspec.structs.fields(base)]
    if dataclasses.is_dataclass(base) or typing.is_typeddict(base):
        return list(typing.get_type_hints(base, include_extras=True).items())
    declared: Any = getattr(base, "model_fields", None)
    return None if declared is None else [(one.alias or name, one.annotation) for name, one in declared.items()]


# ------------------------------------------------------------------ from a sent form


def input_of(fields: list[Field], sent: Mapping[str, str]) -> bytes | None:
    """The JSON of an input; None is undefined. Raises NotJson."""
    whole = sent.get(JSON_FIELD, "").strip()
    if whole:
        return json.dumps(_json(whole, "the input as JSON")).encode()
    if len(fields) == 1 and fields[0].name == "" and fields[0].kind == "json":
        text = sent.get("", "").strip()
        return json.dumps(_json(text, "the input")).encode() if text else None
    given: dict[str, Any] = {}
    for field in fields:
        if field.kind in ("file", "bytes"):
            continue
        if sent.get(NULL + field.name):
            given[field.name] = None
            continue
        text = sent.get(field.name, "")
        if text == "" and (not field.is_required or field.kind not in ("text", "area")):
            continue
        given[field.name] = _value(field, text)
    return json.dumps(given).encode() if fields else None


def _value(field: Field, text: str) -> Any:
    if field.kind in ("json", "choice"):
        return _json(text, field.name)
    if field.kind == "number":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text.replace("\r\n", "\n") if field.kind == "area" else text


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotJson(name, str(error)) from None
