"""A key that nobody takes is dropped; while developing it is told once, with the name that was meant."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tenantry import Ctx, Record, Tenantry, Visitor
from tests.conftest import Database, People
from tests.harness import Client, opened

app = Tenantry()
shop = app.router("shop")


class Card(Record, tag="card"):
    digits: str


class Cash(Record, tag="cash"):
    given: int


class Line(Record):
    unit_price: int


class Order(Record):
    lines: list[Line]
    paid: Card | Cash | None = None
    by_day: dict[str, Line] = {}  # noqa: RUF012 - a field of a record


@shop.mutation
async def order(ctx: Ctx, order: Order, note_id: int = 0) -> int:
    return len(order.lines)


@shop.query(public=True)
async def ping(ctx: Visitor) -> str:
    return "pong"


GIVEN: dict[str, Any] = {
    "order": {
        "lines": [{"unitPrice": 1, "unit_price": 2}, {"unitPrice": 1, "unit_price": 3}],
        "paid": {"type": "cash", "given": 1, "digits": "1"},
        "byDay": {"monday": {"unitPrice": 1, "x": 1}},
    },
    "noteID": 1,
}
TOLD = {
    "'noteID'": 'Did you mean "noteId"?',
    "'order.lines.unit_price'": 'Did you mean "unitPrice"?',
    "'order.paid.digits'": "It takes given, type.",
    "'order.byDay.monday.x'": "It takes unitPrice.",
}


@pytest.mark.parametrize("env", ["development", "production"])
async def test_each_is_told_once_and_only_in_development(
    env: Any, database: Database, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(app, database, env=env) as open_app:
        ann = Client(open_app, people.acme.member.token)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert (await ann.mutate("shop.order", GIVEN)).data == 2
            assert (await ann.query("shop.ping", {"anything": 1})).data == "pong"
            assert (await ann.mutate("shop.order", {"order": {"lines": "no", "other": 1}})).code == "BAD_REQUEST"
    said = [record.getMessage() for record in caplog.records if "takes no such key" in record.getMessage()]
    if env == "production":
        assert said == []
        return
    assert len(said) == len(TOLD)
    for key, meant in TOLD.items():
        (line,) = [one for one in said if key in one]
        assert line.startswith("shop.order (dev/test_unknown_keys.py:")
        assert line.endswith(meant)
