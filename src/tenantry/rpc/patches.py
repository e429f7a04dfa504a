"""Which parameters of a handler are patches: those that it hands to `changes()`. A patch has no field that must be given. Pure."""

from __future__ import annotations

import dataclasses
import dis
from collections.abc import Iterator
from types import CodeType
from typing import Any

import msgspec


def fault_of_patches(code: CodeType, hints: dict[str, Any]) -> tuple[str, str] | None:
    """Why a patch of this handler is none, and the cure; None where all are."""
    for name in _patches(code):
        kind = hints.get(name)
        for field in _required(kind):
            label = getattr(kind, "__name__", str(kind))
            why = f"{label}.{field} is required, and changes({name}) writes what was given"
            return why, f"Write it as one that may be left out: {field}: … | Unset = UNSET"
    return None


def _patches(code: CodeType) -> Iterator[str]:
    """Names of the variables in `changes(name)`, by the compiled code: the source may not be there."""
    if "changes" not in code.co_names:
        return
    is_next = False
    for one in dis.get_instructions(code):
        if is_next and one.opname.startswith("LOAD_FAST") and isinstance(one.argval, str):
            yield one.argval
        if one.opname not in ("PUSH_NULL", "CACHE", "NOP"):
            is_next = one.opname in ("LOAD_GLOBAL", "LOAD_ATTR", "LOAD_METHOD") and one.argval == "changes"


def _required(kind: Any) -> Iterator[str]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from (one.name for one in msgspec.structs.fields(kind) if one.required)
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        yield from (
            one.name for one in dataclasses.fields(kind) if one.default is missing and one.default_factory is missing
        )
