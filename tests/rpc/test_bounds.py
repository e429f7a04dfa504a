"""Bounds of annotated-types and msgspec inside records: nested, in lists, in unions; refused with the field's name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Le, Len, MaxLen, MinLen
from msgspec import Meta

from tenantry import Ctx, Record, Tenantry
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
