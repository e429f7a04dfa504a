"""The fields of a class, whatever kind of class it is: msgspec struct, dataclass, TypedDict, NamedTuple, Pydantic model.

Each kind keeps its own names and aliases, as the wire has them.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, Required, cast, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, UnsetType

from tenantry.rpc.typescript import docs
from tenantry.rpc.typescript.shapes import Mode

MISSING: Any = inspect.Parameter.empty


class Field(Struct, frozen=True):
    """One key of an object. `default` is MISSING for one that must be there; `may_miss` for one that an output may lack."""

    name: str
    kind: Any
    default: Any = MISSING
    may_miss: bool = False
    docs: str = ""


class Model(Struct, frozen=True):
    """A class as an object, or as an array of its fields in their order."""

    fields: list[Field]
    is_array: bool = False


def model_of(kind: Any, mode: Mode) -> Model | None:
    """The fields of `kind`, or None for what is no class of fields."""
    if not isinstance(kind, type):
        return None
    for test, read in _KINDS:
        if test(kind):
            found = read(kind, mode)
            written = docs.field_docs(kind)
            return Model([_with_docs(field, written) for field in found.fields], found.is_array)
    return None


def _with_docs(field: Field, written: Mapping[str, str]) -> Field:
    # `docs` holds the Python name until here, under which the docstring was found.
    name, _, own = field.docs.partition("\0")
    return Field(field.name, field.kind, field.default, field.may_miss, own or written.get(name, ""))


def hints_of(kind: Any) -> dict[str, Any]:
    """A class's annotations, its bases' type variables filled in: `class Notes(Page[Note])`."""
    hints = typing.get_type_hints(kind, include_extras=True)
    given = _given_to_bases(kind)
    return {name: filled(hint, given) for name, hint in hints.items()} if given else hints


def _given_to_bases(kind: Any) -> dict[Any, Any]:
    given: dict[Any, Any] = {}
    for base in getattr(kind, "__orig_bases__", ()):
        origin = get_origin(base)
        if origin is None or origin is typing.Generic:
            continue
        given.update(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=False))
        given.update({one: filled(hint, given) for one, hint in _given_to_bases(origin).items()})
    return given


def filled(hint: Any, given: Mapping[Any, Any]) -> Any:
    """A hint with type variables replaced."""
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        return Annotated[filled(base, given), *marks]
    parameters: tuple[Any, ...] = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(given.get(one, one) for one in parameters)]


# ------------------------------------------------------------------ the kinds


def _of_struct(kind: Any, mode: Mode) -> Model:
    hints, config = hints_of(kind), kind.__struct_config__
    fields: list[Field] = []
    if config.tag_field is not None:
        fields.append(Field(config.tag_field, typing.Literal[config.tag]))
    for info in msgspec.structs.fields(kind):
        default = MISSING if info.default is NODEFAULT else info.default
        if info.default_factory is not NODEFAULT:
            default = _made(info.default_factory)
        hint = hints.get(info.name, Any)
        leaves_out = default is UNSET or _takes_unset(hint) or (config.omit_defaults and default is not MISSING)
        fields.append(Field(info.encode_name, hint, default, may_miss=leaves_out, docs=info.name))
    return Model(fields, is_array=config.array_like)


def _of_dataclass(kind: Any, mode: Mode) -> Model:
    hints = hints_of(kind)
    fields: list[Field] = []
    for info in dataclasses.fields(kind):
        default = MISSING if info.default is dataclasses.MISSING else info.default
        if info.default_factory is not dataclasses.MISSING:
            default = _made(info.default_factory)
        if info.init or mode == "output":
            fields.append(Field(info.name, hints[info.name], default, may_miss=default is UNSET, docs=info.name))
    return Model(fields)


def _of_typed_dict(kind: Any, mode: Mode) -> Model:
    fields: list[Field] = []
    for name, given in hints_of(kind).items():
        hint, is_required = given, name in kind.__required_keys__
        while get_origin(hint) in (Required, NotRequired):
            is_required = get_origin(hint) is Required
            hint = get_args(hint)[0]
        default = MISSING if is_required else UNSET
        fields.append(Field(name, hint, default, may_miss=not is_required, docs=name))
    return Model(fields)


def _of_named_tuple(kind: Any, mode: Mode) -> Model:
    hints = hints_of(kind)
    fields = [Field(n, hints.get(n, Any), kind._field_defaults.get(n, MISSING), docs=n) for n in kind._fields]
    return Model(fields, is_array=True)


def _of_pydantic(kind: Any, mode: Mode) -> Model:
    fields: list[Field] = []
    for name, info in kind.model_fields.items():
        hint = info.annotation
        if info.metadata:
            hint = Annotated[hint, *info.metadata]
        if getattr(info, "discriminator", None) is not None:
            hint = Annotated[hint, info]
        default = MISSING if info.is_required() else _pydantic_default(info)
        alias = info.serialization_alias if mode == "output" else _read_by(info.validation_alias)
        # `exclude=True` keeps a field out of what is sent.
        if mode == "input" or not info.exclude:
            own = info.description or ""
            fields.append(Field(alias or info.alias or name, hint, default, docs=f"{name}\0{own}"))
    if mode == "output":
        for name, info in kind.model_computed_fields.items():
            fields.append(Field(info.alias or name, info.return_type, docs=f"{name}\0{info.description or ''}"))
    return Model(fields)


def _pydantic_default(info: Any) -> Any:
    return None if info.default_factory is not None else info.default


def _read_by(alias: Any) -> str | None:
    """The first plain name of a validation alias."""
    choices = getattr(alias, "choices", [alias])
    return next((choice for choice in choices if isinstance(choice, str)), None)


def _made(factory: Any) -> Any:
    """What a default factory makes, when it is one of Python's own; others may do more than make a value."""
    own: tuple[Any, ...] = (list, dict, set, frozenset, tuple, str, int)
    return factory() if factory in own else None


def _takes_unset(hint: Any) -> bool:
    return UnsetType in get_args(hint)


def is_typed_dict(kind: Any) -> bool:
    """Also typing_extensions' own, which Pydantic asks for before Python 3.12 and `typing.is_typeddict` does not know."""
    return typing.is_typeddict(kind) or (issubclass(kind, dict) and hasattr(cast("Any", kind), "__required_keys__"))


def _is_named_tuple(kind: Any) -> bool:
    return issubclass(kind, tuple) and hasattr(cast("Any", kind), "_fields")


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Mode], Model]], ...] = (
    (lambda kind: issubclass(kind, Struct), _of_struct),
    (lambda kind: hasattr(kind, "model_fields") and hasattr(kind, "model_dump"), _of_pydantic),
    (dataclasses.is_dataclass, _of_dataclass),
    (is_typed_dict, _of_typed_dict),
    (_is_named_tuple, _of_named_tuple),
)
