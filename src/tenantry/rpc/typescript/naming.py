"""The names of types: Python's own, made unique, the same whatever the order in which the types were found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tenantry.rpc.typescript.reading import Named
from tenantry.rpc.typescript.shapes import (
    Apply,
    Array,
    Both,
    Member,
    Mode,
    Object,
    Ref,
    Shape,
    Tuple,
    Union,
    Word,
)

RESERVED = frozenset({
    "AppRouter", "Root", "ErrorShape", "ErrorData", "CommonErrorData", "Issue", "Query", "Mutation", "Subscription", "Procedures",
    "Tracked", "TRPCBuiltRouter", "Date", "Map", "Set", "Promise", "Partial", "Record", "Array", "AsyncIterable", "FormData", "Blob",
    "File", "Uint8Array", "Object", "String", "Number", "Boolean", "Symbol", "Error", "Function", "any", "unknown", "never", "void",
    "string", "number", "boolean", "symbol", "object", "bigint", "null", "undefined",
})  # fmt: skip
"""Names that the declarations use themselves."""


def names_of(named: Mapping[Any, Named]) -> dict[tuple[Any, Mode], str]:
    """(key, mode) → name. A type whose input differs from its output has two: `Note`, and `NoteInput`."""
    order = sorted(named.values(), key=lambda one: (one.module, getattr(one.kind, "__qualname__", one.name)))
    output = _unique(order)
    apart = differing(named)
    taken = Counter(output.values())
    names: dict[tuple[Any, Mode], str] = {}
    for one in order:
        name = output[one.kind]
        names[one.kind, "output"] = names[one.kind, "input"] = name
        if one.kind in apart:
            own = f"{name}Input"
            while taken[own]:
                own += "_"
            taken[own] += 1
            names[one.kind, "input"] = own
    return names


def _unique(order: list[Named]) -> dict[Any, str]:
    """Types of one name get their module in front of it, as much of it as is needed: `NotesNote`, `TasksNote`."""
    names = {one.kind: _identifier(one.name) for one in order}
    # The application's own types keep their names before the built-in ones.
    own = {names[one.kind] for one in order if not _is_built_in(one)}
    names |= {one.kind: f"Tenantry{one.name}" for one in order if _is_built_in(one) and names[one.kind] in own}
    depth = 0
    while depth < 8:
        count = Counter(names.values())
        clashing = [one for one in order if count[names[one.kind]] > 1 or names[one.kind] in RESERVED]
        if not clashing:
            return names
        depth += 1
        for one in clashing:
            parts = [part for part in one.module.split(".") if part not in ("", "<locals>")][-depth:]
            names[one.kind] = _identifier("".join(_pascal(part) for part in parts) + one.name)
    seen: Counter[str] = Counter()
    for one in order:
        name = names[one.kind]
        seen[name] += 1
        names[one.kind] = name if seen[name] == 1 and name not in RESERVED else f"{name}{seen[name]}"
    return names


def _is_built_in(one: Named) -> bool:
    return one.module.partition(".")[0] == "tenantry"


def _pascal(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.split("_"))


def _identifier(text: str) -> str:
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return name if re.match(r"[A-Za-z_$]", name) else f"_{name}"


def differing(named: Mapping[Any, Named]) -> set[Any]:
    """Types met in inputs and in outputs whose two shapes differ, by themselves or by a type that they use."""
    both = {key: one for key, one in named.items() if len(one.shapes) == 2}
    apart = {key for key, one in both.items() if _neutral(one.shapes["input"]) != _neutral(one.shapes["output"])}
    uses = {key: used_by(one.shapes["input"]) for key, one in both.items()}
    grown = True
    while grown:
        more = {key for key, used in uses.items() if key not in apart and used & apart}
        apart |= more
        grown = bool(more)
    return apart


def used_by(shape: Shape) -> set[Any]:
    """The keys of the named types in a shape."""
    match shape:
        case Ref(key, _, arguments):
            return {key}.union(*map(used_by, arguments))
        case Word():
            return set()
        case Apply(_, parts) | Union(parts) | Both(parts):
            return set[Any]().union(*map(used_by, parts))
        case Array(item):
            return used_by(item)
        case Tuple(members) | Object(members):
            return set[Any]().union(*(used_by(member.shape) for member in members))


def _neutral(shape: Shape) -> Shape:
    """A shape without docs, its references without their mode."""
    match shape:
        case Ref(key, _, arguments):
            return Ref(key, "output", tuple(map(_neutral, arguments)))
        case Word():
            return shape
        case Apply(name, arguments):
            return Apply(name, tuple(map(_neutral, arguments)))
        case Union(arms):
            return Union(tuple(map(_neutral, arms)))
        case Both(arms):
            return Both(tuple(map(_neutral, arms)))
        case Array(item):
            return Array(_neutral(item))
        case Tuple(members):
            return Tuple(tuple(map(_neutral_member, members)))
        case Object(members):
            return Object(tuple(map(_neutral_member, members)))


def _neutral_member(member: Member) -> Member:
    return Member(member.name, _neutral(member.shape), member.is_optional)
