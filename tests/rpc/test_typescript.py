"""A Python type as TypeScript, one by one; names, docs, and the frame around them."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypeVar
from uuid import UUID

import annotated_types
import msgspec
import pytest
from pydantic import AnyUrl, BaseModel
from typing_extensions import TypeAliasType, TypedDict

from tenantry import UNSET, BigInt, Meta, Problem, Record, Router, Tenantry, Unset
from tenantry.errors import NameClash
from tenantry.rpc.names import camel
from tenantry.rpc.typescript import declarations
from tenantry.rpc.typescript.naming import names_of
from tenantry.rpc.typescript.reading import Reader
from tenantry.rpc.typescript.shapes import comment, quoted, text_of

T = TypeVar("T")
UserId = NewType("UserId", UUID)
Json = TypeAliasType("Json", "str | float | bool | list[Json] | dict[str, Json] | None")


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Wire(enum.Enum):
    A = "a'b"


@dataclass
class Deep(Generic[T]):
    value: T
    items: list[T] = field(default_factory=list)
    """What is in it."""


class Ints(Deep[int]):
    pass


class Model(BaseModel, Generic[T]):
    one: T
    home: AnyUrl | None = None


class Omitting(msgspec.Struct, omit_defaults=True):
    a: int
    b: int = 5


class User(Record):
    mine: int


class Mixed(Record):
    limit: Annotated[int, annotated_types.Ge(1), annotated_types.Le(9)] = 5
    """How many.

    Never more than nine."""
    names: Annotated[list[Annotated[str, Meta(max_length=3)]], Meta(min_length=1)]
    at: datetime | None
    key: Annotated[str, Meta(pattern="^a*/$", description="A key.")] | Unset = UNSET


ROLE = Literal["owner", "admin"]

TEXTS: list[tuple[Any, str, str]] = [
    # (type, without a transformer, with superjson)
    (str, "string", "string"), (int, "number", "number"), (bool, "boolean", "boolean"), (None, "null", "null"), (Any, "unknown", "unknown"),
    (UUID, "string", "string"), (Decimal, "string", "string"), (date, "string", "string"), (datetime, "string", "Date"),
    (bytes, "string", "Uint8Array"), (BigInt, "string", "bigint"), (BigInt | None, "string | null", "bigint | null"),
    (list[int | None], "(number | null)[]", "(number | null)[]"), (Sequence[str], "string[]", "string[]"), (list, "unknown[]", "unknown[]"),
    (set[datetime], "string[]", "Set<Date>"), (frozenset[int], "number[]", "Set<number>"),
    (tuple[int, str], "[number, string]", "[number, string]"), (tuple[int, ...], "number[]", "number[]"), (tuple[()], "[]", "[]"),
    (dict[str, int], "Record<string, number>", "Record<string, number>"), (Mapping[UUID, int], "Record<string, number>", "Record<string, number>"),
    (dict[int, str], "Record<number, string>", "Map<number, string>"), (dict[datetime, str], "Record<string, string>", "Map<Date, string>"),
    (dict[ROLE, int], "Partial<Record<'owner' | 'admin', number>>", "Partial<Record<'owner' | 'admin', number>>"),
    (dict[Level, int], "Partial<Record<Level, number>>", "Map<Level, number>"), (dict[Any, Any], "Record<string, unknown>", "Record<string, unknown>"),
    (Literal["a'b", 1, True, None], "'a\\'b' | 1 | true | null", "'a\\'b' | 1 | true | null"), (Literal[True, False], "boolean", "boolean"),
    (str | None | int, "string | number | null", "string | number | null"), (int | Any, "unknown", "unknown"),
    (UserId, "UserId", "UserId"), (Level, "Level", "Level"), (Wire, "Wire", "Wire"), (Json, "Json", "Json"),
    (Deep[datetime], "Deep<string>", "Deep<Date>"), (Deep, "Deep<unknown>", "Deep<unknown>"), (Model[int], "Model<number>", "Model<number>"),
    (AsyncIterator[int], "AsyncIterable<number, void>", "AsyncIterable<number, void>"),
    (Annotated[str, Meta(min_length=1)], "string", "string"), (msgspec.Raw, "unknown", "unknown"), (Omitting, "Omitting", "Omitting"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "plain", "rich"), TEXTS, ids=str)
def test_a_python_type_in_typescript(kind: Any, plain: str, rich: str) -> None:
    for is_superjson, wanted in ((False, plain), (True, rich)):
        reader = Reader(is_superjson=is_superjson)
        shape = reader.shape(kind, "output")
        names = names_of(reader.named)
        assert text_of(shape, lambda key, mode, names=names: names[key, mode]) == wanted


def typed(**handlers: Any) -> str:
    """The declarations of one query a keyword, each taking one `value` of that type and giving it back."""
    router = Router("r")
    for name, kind in handlers.items():

        async def handler(ctx: Any, value: Any) -> Any:
            return value

        handler.__name__ = name
        handler.__annotations__ = {"ctx": Any, "value": kind, "return": kind}
        router.query(public=True)(handler)
    return declarations({procedure.path: procedure for procedure in router.procedures})


def test_a_type_with_defaults_has_two_shapes_and_one_without_has_one() -> None:
    text = typed(mixed=Mixed, level=Level)
    assert "mixed: Query<{ value: MixedInput }, Mixed>" in text
    assert "level: Query<{ value: Level }, Level>" in text
    assert "  limit?: number | undefined;" in text
    assert "  limit: number;" in text
    assert text.count("  key?: string | undefined;") == 2
    assert "LevelInput" not in text


def test_what_contains_a_type_with_two_shapes_has_two() -> None:
    class Outer(Record):
        inner: Mixed

    assert "interface OuterInput {\n  inner: MixedInput;\n}" in typed(outer=Outer)


def test_docs_constraints_formats_and_defaults_stand_in_comments() -> None:
    text = typed(mixed=Mixed)
    assert (
        "  /**\n   * How many.\n   *\n   * Never more than nine.\n   *\n   * @minimum 1\n   * @maximum 9\n   * @default 5\n   */\n  limit?"
        in text
    )
    assert "  /** @minItems 1 */\n  names: string[];" in text
    assert "  /** @format date-time */\n  at: string | null;" in text
    assert "A key." in text
    assert "^a*\\/$" in text


def test_fields_that_are_omitted_with_their_default_may_be_absent() -> None:
    assert "interface Omitting {\n  a: number;\n  b?: number | undefined;\n}" in typed(omitting=Omitting)


def test_inherited_type_variables_are_filled_in() -> None:
    text = typed(ints=Ints)
    assert "interface Ints {\n  value: number;\n  /** What is in it. */\n  items: number[];\n}" in text


def test_a_class_of_a_name_that_the_declarations_use_is_renamed() -> None:
    class Query(Record):
        a: int

    assert "TestTypescriptQuery" in typed(one=Query)


def test_an_application_keeps_a_name_that_a_built_in_type_has() -> None:
    app = Tenantry()

    @app.router("x").query(public=True)
    async def me(ctx: Any) -> User:
        return User(mine=1)

    text = declarations(app.procedures())
    assert "export interface User {\n  mine: number;" in text
    assert "export interface TenantryUser {" in text


def test_a_name_that_is_a_procedure_and_a_router_is_a_clash() -> None:
    outer, inner = Router("a"), Router("a.b")

    async def b(ctx: Any) -> int:
        return 1

    async def c(ctx: Any) -> int:
        return 1

    table = {p.path: p for p in (outer.query(public=True)(b), inner.query(public=True)(c))}
    with pytest.raises(NameClash):
        declarations(table)


def test_a_typed_dict_of_typing_extensions_is_one() -> None:
    class Shape(TypedDict):
        a: int
        b: NotRequired[str]

    assert "interface Shape {\n  a: number;\n  b?: string | undefined;\n}" in typed(shape=Shape)


def test_only_the_wrappers_in_use_are_declared() -> None:
    text = typed(one=int)
    assert "TRPCMutationProcedure" not in text
    assert "TRPCQueryProcedure" in text
    assert text.endswith("export {};\n")


def test_typed_errors_are_a_union_that_reason_tells_apart() -> None:
    class Full(Problem, code="CONFLICT"):
        says = "Full"
        max_size: int

    text = declarations({}, problems=[Full])
    assert "  | (CommonErrorData & { code: 'CONFLICT'; reason: 'Full'; maxSize: number });" in text
    assert camel("max_size") == "maxSize"


def test_texts_are_quoted_and_comments_cannot_be_left() -> None:
    assert quoted("a'b\\\"\n\u2028") == "'a\\'b\\\\\"\\n\\u2028'"
    assert comment("a */ b") == "/** a *\\/ b */\n"
    assert comment("") == ""
