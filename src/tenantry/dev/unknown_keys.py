# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Types at run time are values here: no checker follows them.
"""Keys of an input that its procedure does not take: dropped, so that old and new front ends meet, and told once while developing.

A name that was mistyped in a front end looks like a value that was never given; here it has a line in the log, with the name that was meant.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import msgspec

if TYPE_CHECKING:
    from tenantry.rpc import Procedure

log = logging.getLogger("tenantry.request")
MOST_TOLD = 256
"""Kinds of keys that are told in one process: a hostile client has no end of names."""
_LONGEST = 80


class UnknownKeys:
    """Stands before the decoding of every procedure until `close`."""

    def __init__(self, procedures: Iterable[Procedure[..., Any]]) -> None:
        self._told: set[tuple[str, str]] = set()
        self._watched = [one for one in procedures if one.input.kind in ("object", "whole")]
        for procedure in self._watched:
            self._stand_before(procedure)

    def close(self) -> None:
        """Decode as before."""
        for procedure in self._watched:
            del procedure.input.take
            procedure.decode = procedure.input.decode

    def _stand_before(self, procedure: Procedure[..., Any]) -> None:
        schema = procedure.input
        decode, take = schema.decode, schema.take

        def decoded(raw: Any) -> tuple[Any, ...]:
            values = decode(raw)
            if raw is not None:
                self._look(procedure, msgspec.json.decode(bytes(raw).removeprefix(b"\xef\xbb\xbf")))
            return values

        def taken(given: Any) -> tuple[Any, ...]:
            values = take(given)
            self._look(procedure, given)
            return values

        procedure.decode = decoded
        schema.take = taken

    def _look(self, procedure: Procedure[..., Any], given: Any) -> None:
        schema = procedure.input
        if schema.kind == "whole":
            found = unknown(given, schema.types[0])
        else:
            found = _of_object(given, dict(zip(schema.wire, schema.types, strict=True)), "")
        for path, known in found:
            if len(self._told) >= MOST_TOLD or (procedure.path, path) in self._told:
                continue
            self._told.add((procedure.path, path))
            key = path.rpartition(".")[2]
            near = get_close_matches(key, known, 1)
            meant = f'Did you mean "{near[0]}"?' if near else f"It takes {', '.join(known) or 'nothing'}."
            log.warning("%s (%s) got %r and takes no such key: it was dropped. %s", procedure.path, procedure.where, path[:_LONGEST], meant)  # fmt: skip


def unknown(value: Any, kind: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each key in `value` that `kind` does not have, as a path, with the names that there are."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from unknown(value, parts[0], path)
    elif origin in (Union, types.UnionType):
        arm = _arm(value, parts)
        if arm is not None:
            yield from unknown(value, arm, path)
    elif origin in (list, set, frozenset, tuple) and isinstance(value, list) and parts:
        for item in value:
            yield from unknown(item, parts[0], path)
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from unknown(item, parts[1], f"{path}{key}.")
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        fields = {one.encode_name: one.type for one in msgspec.structs.fields(kind)}
        tag = kind.__struct_config__.tag_field
        yield from _of_object(value, {**fields, **({} if tag is None else {tag: str})}, path)


def _of_object(given: Any, kinds: dict[str, Any], path: str) -> Iterator[tuple[str, list[str]]]:
    if not isinstance(given, dict):
        return
    for key, value in given.items():
        if key in kinds:
            yield from unknown(value, kinds[key], f"{path}{key}.")
        else:
            yield f"{path}{key}", list(kinds)


def _arm(value: Any, arms: tuple[Any, ...]) -> Any:
    """The record of a union that a value is: by its tag, or the only one."""
    records = [one for one in arms if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    if not isinstance(value, dict):
        return next((one for one in arms if get_origin(one) is list), None)
    for one in records:
        setting = one.__struct_config__
        if setting.tag_field is not None and value.get(setting.tag_field) == setting.tag:
            return one
    return records[0] if len(records) == 1 else None
