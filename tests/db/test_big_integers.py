"""Integers that JavaScript would round: a BigInt column keeps them, on both kinds of mount; an int column says so clearly."""

from __future__ import annotations

import json
from typing import Any, TypedDict

import pytest

from tenantry import BigInt, Ctx, Page, Record, Statement, Tenantry
from tests.conftest import Database, People
from tests.harness import Client, opened

BIG = 2**62 + 1
SMALL = 2**53 - 1
TABLE = """
create table meters (id bigint generated always as identity primary key, reading bigint not null, last bigint, total numeric not null);
select tenantry.protect('meters');
"""


class Meter(Record):
    id: int
    reading: BigInt
    last: BigInt | None
    total: BigInt


class Rounded(Record):
    reading: int


class Shape(TypedDict):
    reading: BigInt
    last: BigInt | None


class Many(Record):
    readings: list[BigInt]


def application() -> Tenantry:
    app = Tenantry()
    app.mount("/trpc")
    app.mount("/rich", transformer="superjson")
    meters = app.router("meters")

    @meters.mutation
    def add(ctx: Ctx, reading: BigInt, last: BigInt | None = None) -> Statement[Meter]:
        return ctx.db.one(
            Meter,
            "insert into meters (reading, last, total) values ($1, $2, $1::bigint::numeric * 1000) returning id, reading, last, total",
            reading, last,
        )  # fmt: skip

    @meters.query
    def all(ctx: Ctx) -> Statement[list[Meter]]:
        return ctx.db.all(Meter, "select id, reading, last, total from meters order by id")

    @meters.query
    def page(ctx: Ctx) -> Statement[Page[Meter]]:
        return ctx.db.page(Meter, "select id, reading, last, total from meters", by="id desc", after=None, limit=1)

    @meters.query
    async def awaited(ctx: Ctx) -> Meter:
        meter = await ctx.db.one(Meter, "select id, reading, last, total from meters limit 1")
        assert type(meter.reading) is BigInt
        return meter

    @meters.query
    def scalar(ctx: Ctx) -> Statement[BigInt]:
        return ctx.db.one(BigInt, "select max(reading) from meters")

    @meters.query
    def maybe(ctx: Ctx) -> Statement[BigInt | None]:
        return ctx.db.maybe(BigInt, "select reading from meters where id = -1")

    @meters.query
    def array(ctx: Ctx) -> Statement[Many]:
        return ctx.db.one(Many, "select array_agg(reading) as readings from meters")

    @meters.query
    def rounded(ctx: Ctx) -> Statement[list[Rounded]]:
        return ctx.db.all(Rounded, "select reading from meters")

    @meters.query
    def fraction(ctx: Ctx) -> Statement[list[Meter]]:
        return ctx.db.all(Meter, "select id, reading, last, total + 0.5 as total from meters")

    @meters.query
    def gaps(ctx: Ctx) -> Statement[list[list[int]]]:
        return ctx.db.all(list[int], "select array_agg(reading) from meters")

    @meters.query
    def dicts(ctx: Ctx) -> Statement[list[dict[str, object]]]:
        return ctx.db.all(dict[str, object], "select reading from meters")

    @meters.query
    def shapes(ctx: Ctx) -> Statement[list[Shape]]:
        return ctx.db.all(Shape, "select reading, last from meters order by id")

    @meters.query
    def nested(ctx: Ctx) -> Statement[Many]:
        return ctx.db.one(Many, "select jsonb_agg(reading) as readings from meters")

    @meters.mutation
    async def arrays(ctx: Ctx, readings: list[BigInt]) -> list[int]:
        text = await ctx.db.one(str, "select array_agg(r)::text from unnest($1::bigint[]) r", readings)
        kept = await ctx.db.one(str, "select $1::jsonb #>> '{a,0}'", {"a": readings})
        return [len(text), int(kept) % 1000]

    return app


@pytest.fixture
async def clients(database: Database, people: People) -> Any:
    database.admin.execute("set role tenantry_owner")
    for statement in TABLE.strip().split("\n"):
        database.admin.execute(statement)
    database.admin.execute("reset role")
    async with opened(application(), database) as app:
        yield Client(app, people.acme.member.token)


async def test_a_big_integer_goes_in_and_comes_out(clients: Client) -> None:
    added = await clients.mutate("meters.add", {"reading": str(BIG)})
    assert added.data == {"id": 1, "reading": str(BIG), "last": None, "total": str(BIG * 1000)}
    await clients.mutate("meters.add", {"reading": -7, "last": str(-BIG)})
    rows = (await clients.query("meters.all")).data
    assert [(row["reading"], row["last"], row["total"]) for row in rows] == [
        (str(BIG), None, str(BIG * 1000)),
        ("-7", str(-BIG), "-7000"),
    ]
    assert (await clients.query("meters.awaited")).data == rows[0]
    assert (await clients.query("meters.page")).data["items"] == [rows[1]]
    assert (await clients.query("meters.scalar")).data == str(BIG)
    assert (await clients.query("meters.maybe")).data is None
    assert (await clients.query("meters.array")).data == {"readings": [str(BIG), "-7"]}
    assert (await clients.query("meters.nested")).data == {"readings": [str(BIG), "-7"]}
    assert (await clients.query("meters.shapes")).data[1] == {"reading": "-7", "last": str(-BIG)}


async def test_with_superjson_it_is_a_bigint_both_ways(clients: Client) -> None:
    sent = {"json": {"reading": str(BIG)}, "meta": {"values": {"reading": ["bigint"]}}}
    body = json.dumps(sent).encode()
    kind = {"content-type": "application/json"}
    added = (await clients.send("POST", "/rich/meters.add", body=body, headers=kind)).data
    assert added["json"]["reading"] == str(BIG)
    assert added["meta"]["values"] == {"reading": ["bigint"], "total": ["bigint"]}
    for path in ("awaited", "scalar", "page", "all", "array", "nested", "shapes"):
        data = (await clients.send("GET", f"/rich/meters.{path}")).data
        assert str(BIG) in json.dumps(data["json"]), path
        assert '"bigint"' in json.dumps(data["meta"]), path


@pytest.mark.parametrize("path", ["rounded", "gaps", "dicts"])
@pytest.mark.parametrize("mount", ["trpc", "rich"])
async def test_an_int_that_javascript_would_round_is_an_error_that_names_the_column(
    clients: Client, path: str, mount: str
) -> None:
    await clients.mutate("meters.add", {"reading": SMALL})
    assert "error" not in (await clients.send("GET", f"/{mount}/meters.{path}")).json
    await clients.mutate("meters.add", {"reading": str(SMALL + 1)})
    error = (await clients.send("GET", f"/{mount}/meters.{path}")).json["error"]
    error = error.get("json", error)
    assert error["data"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "INT_TOO_WIDE" in error["data"]["help"]
    assert "BigInt" in error["data"]["help"]
    assert str(SMALL + 1) not in json.dumps(error)


async def test_what_no_column_can_hold_is_the_callers_fault(clients: Client) -> None:
    assert (await clients.mutate("meters.add", {"reading": str(2**63)})).code == "BAD_REQUEST"
    for wrong in ("1.5", "", "1e3", " 1", True, 1.5, None, "٣"):
        assert (await clients.mutate("meters.add", {"reading": wrong})).code == "BAD_REQUEST", wrong


async def test_a_fraction_is_no_big_integer(clients: Client) -> None:
    await clients.mutate("meters.add", {"reading": 1})
    assert "ROW_SHAPE" in (await clients.query("meters.fraction")).error["data"]["help"]


async def test_arrays_and_json_take_them(clients: Client) -> None:
    assert (await clients.mutate("meters.arrays", {"readings": [str(BIG), 3]})).data == [
        len(f"{{{BIG},3}}"),
        BIG % 1000,
    ]
