# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Types at run time are values here: no checker follows them.
"""Rows as what a handler asked for: a Record, a scalar, a dataclass, a TypedDict, a Pydantic model, a dict.

Columns are matched with the type when a statement is prepared (ROW_SHAPE), never first at decoding. Rows are converted, not
validated: PostgreSQL's constraints are the validation. A row that goes straight onto the wire is not made a Record at all.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from types import NoneType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

import msgspec

from tenantry.db import params as pg
from tenantry.errors import IntTooWide, RowShape
from tenantry.rpc import BigInt

Make = Callable[[tuple[Any, ...]], Any]
MAX_SAFE = 2**53 - 1
FIRST_OWN = 16384
"""OIDs from here on are an application's own types (PostgreSQL's FirstNormalObjectId)."""

FITS: dict[type, frozenset[int]] = {
    UUID: frozenset({pg.UUID_OID}),
    bool: frozenset({pg.BOOL}),
    int: frozenset({pg.INT2, pg.INT4, pg.INT8}),
    float: frozenset({pg.FLOAT4, pg.FLOAT8}),
    Decimal: frozenset({pg.NUMERIC}),
    bytes: frozenset({pg.BYTEA}),
    datetime: frozenset({pg.TIMESTAMPTZ}),
    date: frozenset({pg.DATE}),
    BigInt: frozenset({pg.INT2, pg.INT4, pg.INT8, pg.NUMERIC}),
}
"""The column types that a Python type can be made of without conversion; str takes all that psycopg gives as text."""
_NOT_TEXT: frozenset[int] = frozenset[int]().union(*FITS.values()) | {pg.JSON, pg.JSONB, pg.TIMESTAMP}


def python_of(oid: int) -> str | None:
    """The Python type that a column's or parameter's type is annotated with; None where it has none of its own."""
    if oid in (pg.TEXT, pg.VARCHAR, pg.BPCHAR, pg.NAME):
        return "str"
    return next((kind.__name__ for kind, oids in FITS.items() if oid in oids), None)


def base_of(kind: Any) -> Any:
    """`Annotated[str, …] | None` → str; what is no plain type stays as it is."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin is Union or (origin is not None and origin.__name__ == "UnionType"):
            arms = [a for a in get_args(kind) if a is not NoneType]
            if len(arms) != 1:
                return kind
            kind = arms[0]
        elif origin is typing.Literal:
            return type(get_args(kind)[0])
        else:
            return kind


def fields_of(kind: Any) -> dict[str, tuple[Any, bool]] | None:
    """Field → (type, whether it is needed) of a structured type; None for a scalar."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {f.name: (f.type, f.required) for f in msgspec.structs.fields(kind)}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        missing = dataclasses.MISSING
        return {
            f.name: (hints[f.name], f.default is missing and f.default_factory is missing)
            for f in dataclasses.fields(kind)
            if f.init
        }
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return {name: (hint, name in kind.__required_keys__) for name, hint in hints.items()}
    declared: Any = getattr(kind, "model_fields", None)
    if declared is not None:
        return {name: (field.annotation, field.is_required()) for name, field in declared.items()}
    return None


class Rows:
    """How rows of these columns become `kind`: `make` for a handler, `wire` for the encoder alone."""

    make: Make
    wire: Make

    __slots__ = ("columns", "has_wide", "is_plain", "kind", "make", "procedure", "where", "wide", "wire")

    def __init__(self, kind: Any, columns: Sequence[tuple[str, int]], *, procedure: str, where: str) -> None:
        """Raises RowShape when the columns do not fit."""
        self.kind = kind
        self.columns = tuple(columns)
        self.procedure = procedure
        self.where = where
        fields = fields_of(kind)
        self._find_wide(fields)
        if fields is None:
            self._scalar(kind)
            return
        given = {name: (place, oid) for place, (name, oid) in enumerate(columns)}
        missing = [name for name, (_, needed) in fields.items() if needed and name not in given]
        if missing:
            names = ", ".join(missing)
            defaults = (
                f"{kind.__name__}.{names} a default" if len(missing) == 1 else f"them defaults in {kind.__name__}"
            )
            raise RowShape(
                procedure=procedure, where=where, type=kind.__name__, missing=names, given=", ".join(n for n, _ in columns),
                cure=f"Select {names}, or give {defaults}.",
            )  # fmt: skip
        names = [name for name in fields if name in given]
        # A __post_init__ may refuse what PostgreSQL took: Python must see such a row before the commit.
        self.is_plain = (
            isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not hasattr(kind, "__post_init__")
        )
        for name in names:
            if not self._fits(name, fields[name][0], given[name][1]):
                self.is_plain = False
        places = [given[name][0] for name in names]
        pick = None if places == list(range(len(columns))) else _picker(places)
        big = [place for place, name in enumerate(names) if base_of(fields[name][0]) is BigInt]
        if big:
            pick = partial(_with_big, self, frozenset(big), pick or _as_it_is)
        self.make = _maker(kind, names, pick, is_plain=self.is_plain)
        self.wire = _wire(kind, names, pick) if self.is_plain else self.make

    def _find_wide(self, fields: dict[str, tuple[Any, bool]] | None) -> None:
        """Columns of bigint that do not become a BigInt: in those JavaScript would round."""

        def becomes_big(name: str) -> bool:
            kind = self.kind if fields is None else fields.get(name, (Any,))[0]
            return BigInt in (base_of(kind), *map(base_of, get_args(base_of(kind))))

        wide = (pg.INT8, pg.INT8_ARRAY)
        self.wide = [
            (place, name) for place, (name, oid) in enumerate(self.columns) if oid in wide and not becomes_big(name)
        ]
        self.has_wide = bool(self.wide)

    def _scalar(self, kind: Any) -> None:
        if len(self.columns) == 0 and kind is not NoneType:
            raise RowShape(
                procedure=self.procedure, where=self.where, type=str(kind), missing="a column", given="none",
                cure="Add a returning clause, or use run().",
            )  # fmt: skip
        base = base_of(kind)
        if get_origin(base) is dict or base is dict:
            names = [name for name, _ in self.columns]
            self.is_plain = True
            self.make = self.wire = partial(_as_dict, names)
            return
        if get_origin(base) is tuple or base is tuple:
            self.is_plain = True
            self.make = self.wire = _as_it_is
            return
        name, oid = self.columns[0] if self.columns else ("", 0)
        self.is_plain = self._fits(name, kind, oid)
        self.make = self.wire = _first if self.is_plain else partial(_first_as, kind)
        if base is BigInt:
            self.make = self.wire = lambda row: _big(self, row[0])

    def _fits(self, name: str, kind: Any, oid: int) -> bool:
        """Whether the column's own Python value is the field's type. Raises RowShape when it never can be."""
        base = base_of(kind)
        if base is Any or base is object:
            return True
        if base is str:
            if oid in _NOT_TEXT:
                raise RowShape(
                    procedure=self.procedure, where=self.where, type=f"{name}: str", missing="text",
                    given=f"{name} as {pg.TYPE_NAMES.get(oid, oid)}", cure=_annotate(name, oid, "text"),
                )  # fmt: skip
            return True
        wanted = FITS.get(base) if isinstance(base, type) else None
        if wanted is None:
            return False
        if oid in wanted:
            return base is not BigInt or oid != pg.NUMERIC  # a numeric may have a fraction
        if (
            oid in pg.TYPE_NAMES
            and not (base in (float, Decimal) and oid in FITS[int])
            and oid not in (pg.JSON, pg.JSONB)
        ):
            raise RowShape(
                procedure=self.procedure, where=self.where, type=f"{name}: {base.__name__}",
                missing=" or ".join(sorted(pg.TYPE_NAMES[o] for o in wanted)), given=f"{name} as {pg.TYPE_NAMES[oid]}",
                cure=_annotate(name, oid, pg.TYPE_NAMES[min(wanted)]),
            )  # fmt: skip
        return False

    def check_wide(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Raises IntTooWide for a bigint that JavaScript would round."""
        for place, name in self.wide:
            if any(_is_wide(row[place]) for row in rows):
                raise IntTooWide(procedure=self.procedure, column=name)


def _annotate(name: str, oid: int, wanted: str) -> str:
    meant = python_of(oid)
    return f"Annotate {name} as {meant}, or select {name}::{wanted}." if meant else f"Select {name}::{wanted}."


def _is_wide(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_wide, value))
    return value is not None and abs(value) > MAX_SAFE


def _big(rows: Rows, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Decimal) and (not value.is_finite() or value != value.to_integral_value()):
        raise RowShape(
            procedure=rows.procedure, where=rows.where, type="BigInt", missing="a whole number", given="a numeric with a fraction",
            cure="Annotate it as Decimal, or select it rounded.",
        )  # fmt: skip
    return BigInt(value)


def _with_big(
    rows: Rows, places: frozenset[int], pick: Callable[[tuple[Any, ...]], tuple[Any, ...]], row: tuple[Any, ...]
) -> tuple[Any, ...]:
    return tuple(_big(rows, value) if place in places else value for place, value in enumerate(pick(row)))


def _foreign(kind: Any, value: Any) -> Any:
    """A BigInt inside an array or JSON."""
    if kind is BigInt:
        return BigInt(value)
    raise NotImplementedError


def _as_dict(names: list[str], row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, row, strict=True))


def _as_it_is(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row


def _first(row: tuple[Any, ...]) -> Any:
    return row[0]


def _first_as(kind: Any, row: tuple[Any, ...]) -> Any:
    return msgspec.convert(row[0], kind, builtin_types=_OWN, dec_hook=_foreign)


def transformer_of(oids: Iterable[int]) -> Any:
    """psycopg's Transformer for these columns: an application's own types (enums, citext) are their text, not bytes."""
    from psycopg.adapt import Transformer

    own = {oid for oid in oids if oid >= FIRST_OWN}
    return Transformer(_with_texts(own)) if own else Transformer()


class _Context:
    """What a Transformer asks of a connection, without one: times are UTC, text is UTF-8."""

    connection = None

    def __init__(self, adapters: Any) -> None:
        self.adapters = adapters


def _with_texts(oids: set[int]) -> Any:
    from psycopg import adapters
    from psycopg.adapt import AdaptersMap
    from psycopg.types.string import TextBinaryLoader

    own = AdaptersMap(adapters)
    for oid in oids:
        own.register_loader(oid, TextBinaryLoader)
    return _Context(own)


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    if len(places) == 1:
        only = places[0]
        return lambda row: (row[only],)
    return itemgetter(*places) if places else lambda _: ()


def _maker(kind: Any, names: list[str], pick: Callable[..., tuple[Any, ...]] | None, *, is_plain: bool) -> Make:
    def row_of(row: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(names, row if pick is None else pick(row), strict=True))

    if is_plain:
        return lambda row: kind(**row_of(row))
    validate: Callable[[Any], Any] | None = getattr(kind, "model_validate", None)
    if validate is not None:
        return lambda row: validate(row_of(row))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        wire = {f.name: f.encode_name for f in msgspec.structs.fields(kind)}
        return lambda row: msgspec.convert(
            {wire[n]: v for n, v in row_of(row).items()}, kind, builtin_types=_OWN, dec_hook=_foreign
        )
    if typing.is_typeddict(kind):
        return row_of
    return lambda row: kind(**row_of(row))


_OWN = (UUID, datetime, date, Decimal, bytes)


def _wire(kind: type[msgspec.Struct], names: list[str], pick: Callable[..., tuple[Any, ...]] | None) -> Make:
    """The same fields under the same wire names, made by position: the Record itself takes keywords only."""
    encoded = {f.name: f.encode_name for f in msgspec.structs.fields(kind)}
    config = kind.__struct_config__
    if len(names) < len(encoded) or config.omit_defaults or config.array_like:
        return _maker(kind, names, pick, is_plain=True)  # its defaults, or its own order, go onto the wire as well
    members = [(name, Any, msgspec.field(name=encoded[name])) for name in names]
    made = msgspec.defstruct(kind.__name__, members, tag=config.tag, tag_field=config.tag_field, gc=False)
    if pick is None:
        return lambda row: made(*row)
    return lambda row: made(*pick(row))
