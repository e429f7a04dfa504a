"""Bounds of annotated-types and msgspec inside records: nested, in lists, in unions; refused with the field's name."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from annotated_types import (
    Ge,
    Gt,
    Interval,
    IsFinite,
    Le,
    Len,
    LowerCase,
    Lt,
    MaxLen,
    MinLen,
    MultipleOf,
    Not,
    Predicate,
    Timezone,
    Unit,
    doc,
)
from msgspec import Meta

from tenantry import UNSET, Ctx, Record, Tenantry, Unset
from tenantry.errors import HandlerShape
from tests.conftest import Database, People
from tests.harness import Client, opened


class Line(Record):
    count: Annotated[int, Ge(1), Le(99)]
    word: Annotated[str, MinLen(2), MaxLen(5)]


class Card(Record, tag="card"):
    digits: Annotated[str, Meta(pattern="^[0-9]{4}$")]


class Cash(Record, tag="cash"):
    given: Annotated[int, Ge(0)]


class Order(Record):
    lines: Annotated[list[Line], Len(1, 3)]
    paid: Card | Cash
    kind: Literal["a", "b"] = "a"


def made() -> Tenantry:
    app = Tenantry()
    shop = app.router("shop")

    @shop.mutation
    async def order(ctx: Ctx, order: Order) -> int:
        return len(order.lines)

    return app


GOOD: dict[str, Any] = {"lines": [{"count": 1, "word": "four"}], "paid": {"type": "cash", "given": 0}}


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"lines": [{"count": 0, "word": "four"}]}, "order.lines[0].count"),
        ({"lines": [{"count": 100, "word": "four"}]}, "order.lines[0].count"),
        ({"lines": [{"count": 1, "word": "four"}, {"count": 1, "word": "x"}]}, "order.lines[1].word"),
        ({"lines": [{"count": 1, "word": "toolong"}]}, "order.lines[0].word"),
        ({"lines": []}, "order.lines"),
        ({"lines": [{"count": 1, "word": "four"}] * 4}, "order.lines"),
        ({"paid": {"type": "card", "digits": "12a4"}}, "order.paid.digits"),
        ({"paid": {"type": "cash", "given": -1}}, "order.paid.given"),
    ],
)
async def test_a_bound_is_refused_with_its_field(database: Database, people: People, over: Any, field: str) -> None:
    async with opened(made(), database) as app:
        client = Client(app, people.acme.member.token)
        assert (await client.mutate("shop.order", {"order": GOOD})).data == 1
        reply = await client.mutate("shop.order", {"order": {**GOOD, **over}})
        assert (reply.status, reply.code) == (400, "BAD_REQUEST"), reply.json
        assert field in str(reply.error), reply.error


class Numbers(Record):
    above: Annotated[int, Gt(0)] = 1
    below: Annotated[float, Lt(1)] = 0.5
    steps: Annotated[int, MultipleOf(5)] = 5
    between: Annotated[int, Interval(gt=0, le=10)] = 1
    both: Annotated[int, Ge(1), Lt(5)] = 1
    maybe: Annotated[int, Interval(ge=1)] | None = None
    patch: Annotated[str, Len(2)] | Unset = UNSET
    few: Annotated[list[Annotated[int, Gt(0)]], Len(0, 2)] = []  # noqa: RUF012 - a field of a record
    many: Annotated[set[int], MinLen(1)] | None = None
    by_name: dict[str, Annotated[int, Lt(3)]] = {}  # noqa: RUF012 - a field of a record
    at: Annotated[datetime, Timezone(...)] | None = None
    plain: int = 0
    listed: list[int] = []  # noqa: RUF012 - a field of a record
    when: datetime | None = None
    said: Annotated[datetime, Meta(tz=True)] | None = None
    weight: Annotated[float, Unit("kg"), doc("of the parcel"), Ge(0)] = 1.0


@pytest.mark.parametrize(
    ("over", "is_good"),
    [
        ({"above": 0}, False), ({"above": 1}, True), ({"below": 1}, False), ({"below": 0.99}, True), ({"steps": 7}, False), ({"steps": 10}, True),
        ({"between": 0}, False), ({"between": 10}, True), ({"between": 11}, False), ({"both": 5}, False), ({"both": 4}, True), ({"maybe": 0}, False),
        ({"maybe": None}, True), ({"patch": "x"}, False), ({"patch": "xy"}, True), ({"few": [1, 0]}, False), ({"few": [1, 2, 3]}, False),
        ({"few": []}, True), ({"many": []}, False), ({"byName": {"a": 3}}, False), ({"byName": {"a": 2}}, True),
        ({"at": "2026-01-01T00:00:00"}, False), ({"at": "2026-01-01T00:00:00Z"}, True), ({"weight": -1}, False), ({"plain": 2**53}, False), ({"plain": -(2**53)}, False), ({"plain": 2**53 - 1}, True), ({"listed": [2**60]}, False),
        ({"when": "2026-01-01T00:00:00"}, False), ({"when": "2026-01-01T00:00:00+02:00"}, True), ({"said": "2026-01-01T00:00:00"}, False),
        ({"said": "2026-01-01T00:00:00Z"}, True), ({"above": 1.0}, True),
    ],
)  # fmt: skip
async def test_every_bound_that_a_type_has_holds_as_parameter_and_inside_a_record(
    database: Database, people: People, over: dict[str, Any], is_good: bool
) -> None:
    app = Tenantry()
    shop = app.router("shop")

    @shop.mutation
    async def count(ctx: Ctx, numbers: Numbers) -> int:
        return 1

    @shop.mutation
    async def flat(
        ctx: Ctx, above: Annotated[int, Gt(0)] = 1, between: Annotated[int, Interval(gt=0, le=10)] = 1, steps: Annotated[int, MultipleOf(5)] = 5
    ) -> int:  # fmt: skip
        return 1

    async with opened(app, database) as open_app:
        client = Client(open_app, people.acme.member.token)
        (field,) = over
        reply = await client.mutate("shop.count", {"numbers": over})
        assert reply.status == (200 if is_good else 400), reply.json
        if not is_good:
            assert reply.error["data"]["issues"][0]["path"][:2] == ["numbers", field]
        if field in ("above", "between", "steps"):
            assert (await client.mutate("shop.flat", over)).status == (200 if is_good else 400)


class Odd(Record):
    count: Annotated[int, Predicate(lambda n: n % 2 == 1)]


class Deep(Record):
    odds: list[Odd]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (LowerCase[str], "given: Predicate(str.islower) cannot be checked while decoding"),
        (IsFinite[float], "given: Predicate(math.isfinite) cannot be checked while decoding"),
        (Annotated[int, Not(len)], "given: Not("),
        (Odd, "given: Odd.count: Predicate("),
        (Deep, "given: Odd.count: Predicate("),
        (dict[str, Odd], "given: Odd.count: Predicate("),
        (Annotated[datetime, Timezone(None)], "given: Timezone(tz=None) cannot be checked"),
        (Annotated[datetime, Timezone(timezone.utc)], "given: Timezone("),
        (Annotated[date, Ge(date(2026, 1, 1))], "given: Ge("),
        (Annotated[int, Len(1, 2)], "min_length"),
        (Annotated[int, Ge(1), Gt(2)], "both `gt` and `ge`"),
        (Annotated[Decimal, Ge(0)], "ge"),
        (Annotated[str, MultipleOf(2)], "multiple_of"),
    ],
)
def test_what_cannot_be_checked_is_refused_where_it_is_written(kind: Any, words: str) -> None:
    shop = Tenantry().router("shop")

    async def order(ctx: Ctx, given: Any) -> int:
        return 1

    order.__annotations__["given"] = kind
    with pytest.raises(HandlerShape) as refused:
        shop.mutation(order)
    said = str(refused.value)
    assert said.startswith("HANDLER_SHAPE shop.order (rpc/test_bounds.py:")
    assert words in said
    assert "ask the rest in the handler" in said
