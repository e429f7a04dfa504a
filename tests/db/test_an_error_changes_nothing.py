"""The rule: the client sees an error, so no row has changed. One test for each way in which it could be broken."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tenantry import Ctx, NotFound, Record, Statement, Tenantry
from tenantry.db.migrate import Migration
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened

THINGS = """
create table things (
    id uuid primary key default gen_random_uuid(),
    name text not null unique,
    amount bigint not null default 0,
    at timestamptz not null default now(),
    constraint things_amount_check check (amount >= 0)
);
select tenantry.protect('things');
create table lates (id uuid primary key default gen_random_uuid(), name text not null);
select tenantry.protect('lates');
create function public.late() returns trigger language plpgsql as $$
begin
    if new.name = 'late' then raise exception 'too late' using errcode = '23514'; end if;
    return null;
end $$;
create constraint trigger lates_late after insert on lates deferrable initially deferred
    for each row execute function public.late();
"""


class Thing(Record):
    id: UUID
    name: str
    amount: int
    at: datetime


COLUMNS = "id, name, amount, at"
app = Tenantry()
things = app.router("things")


@things.query
def all(ctx: Ctx) -> Statement[list[Thing]]:
    return ctx.db.all(Thing, "select id, name, amount, at from things order by name")


@things.mutation
def add(ctx: Ctx, name: str, amount: int = 0) -> Statement[Thing]:
    return ctx.db.one(
        Thing, "insert into things (name, amount) values ($1, $2) returning id, name, amount, at", name, amount
    )


@things.mutation
def add_late(ctx: Ctx, name: str) -> Statement[UUID]:
    return ctx.db.one(UUID, "insert into lates (name) values ($1) returning id", name)


@things.query
def lates(ctx: Ctx) -> Statement[int]:
    return ctx.db.one(int, "select count(*) from lates")


@things.mutation(role="admin")
def admin_add(ctx: Ctx, name: str) -> Statement[Thing]:
    return ctx.db.one(Thing, "insert into things (name) values ($1) returning id, name, amount, at", name)


@things.mutation
def double(ctx: Ctx) -> Statement[Thing]:
    return ctx.db.one(Thing, "update things set amount = amount + 1 returning id, name, amount, at")


@things.mutation
def perhaps(ctx: Ctx) -> Statement[Thing | None]:
    return ctx.db.maybe(Thing, "update things set amount = amount + 1 returning id, name, amount, at")


@things.mutation
def too_wide(ctx: Ctx, name: str) -> Statement[Thing]:
    return ctx.db.one(
        Thing, "insert into things (name, amount) values ($1, 9007199254740993) returning id, name, amount, at", name
    )


@things.mutation
def for_ever(ctx: Ctx, name: str) -> Statement[Thing]:
    return ctx.db.one(
        Thing, "insert into things (name, at) values ($1, 'infinity') returning id, name, amount, at", name
    )


@things.mutation
async def half(ctx: Ctx, name: str) -> None:
    await ctx.db.run("insert into things (name) values ($1)", name)
    await ctx.db.run("insert into things (name) values ($1)", name + " too")
    raise NotFound("changed my mind")


@things.mutation
async def forgotten(ctx: Ctx, name: str) -> None:
    await ctx.db.run("insert into things (name) values ($1)", name)
    ctx.db.run("insert into things (name) values ($1)", name + " too")  # pyright: ignore[reportUnusedCoroutine] - the mistake


@things.mutation
async def swallowed(ctx: Ctx, name: str) -> None:
    await ctx.db.run("insert into things (name) values ($1)", name)
    try:
        await ctx.db.run("insert into things (name) values ($1)", name)
    except Exception:  # the mistake
        pass


@things.mutation
async def unspeakable(ctx: Ctx, name: str) -> object:
    await ctx.db.run("insert into things (name) values ($1)", name)
    return object()


@things.mutation
async def two_blocks(ctx: Ctx, name: str) -> int:
    async with ctx.transaction() as tx:
        await tx.run("insert into things (name) values ($1)", name)
    async with ctx.transaction() as tx:
        return await tx.one(int, "select count(*) from things")


@things.mutation
async def two_and_count(ctx: Ctx, name: str) -> int:
    await ctx.db.run("insert into things (name) values ($1)", name)
    await ctx.db.run("insert into things (name) values ($1)", name + " too")
    assert ctx.role in ("owner", "admin", "member")
    return await ctx.db.one(int, "select count(*) from things")


@things.query
def writes(ctx: Ctx, name: str) -> Statement[int]:
    return ctx.db.run("insert into things (name) values ($1)", name)


@things.query
def injected(ctx: Ctx, name: str) -> Statement[list[Thing]]:
    return ctx.db.all(Thing, f"select id, name, amount, at from things where name = '{name}'")  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="session")
def template(cluster18: Cluster) -> str:
    return cluster18.make_template("with_things", [Migration("0001_things.sql", THINGS)])


@pytest.fixture
def database(cluster18: Cluster, template: str) -> Any:
    with cluster18.database(template) as made:
        yield made


@pytest.fixture
async def member(database: Database, people: People) -> Any:
    async with opened(app, database):
        yield Client(app, people.acme.member.token)


async def names(client: Client) -> list[str]:
    return [thing["name"] for thing in (await client.query("things.all")).data]


async def test_what_succeeds_is_there_afterwards(member: Client) -> None:
    assert (await member.mutate("things.add", {"name": "a", "amount": 7})).data["amount"] == 7
    assert (await member.mutate("things.twoAndCount", {"name": "b"})).data == 3
    assert (await member.mutate("things.twoBlocks", {"name": "c"})).data == 4
    assert await names(member) == ["a", "b", "b too", "c"]


@pytest.mark.parametrize(
    ("procedure", "code"),
    [
        ("adminAdd", "FORBIDDEN"), ("tooWide", "BAD_REQUEST"), ("forEver", "BAD_REQUEST"), ("half", "NOT_FOUND"),
        ("forgotten", "INTERNAL_SERVER_ERROR"), ("swallowed", "INTERNAL_SERVER_ERROR"), ("unspeakable", "INTERNAL_SERVER_ERROR"),
    ],
)  # fmt: skip
async def test_a_refused_mutation_has_written_nothing(member: Client, procedure: str, code: str) -> None:
    for _ in range(2):  # the first call prepares the statement, the second finds it prepared
        assert (await member.mutate(f"things.{procedure}", {"name": "x"})).code == code
        assert await names(member) == []


async def test_an_error_at_the_commit_is_an_error(member: Client) -> None:
    for _ in range(2):
        assert (await member.mutate("things.addLate", {"name": "late"})).code == "BAD_REQUEST"
        assert (await member.query("things.lates")).data == 0
    await member.mutate("things.addLate", {"name": "in time"})
    assert (await member.query("things.lates")).data == 1


@pytest.mark.parametrize("procedure", ["double", "perhaps"])
async def test_two_rows_where_one_was_meant_stay_as_they_were(member: Client, procedure: str) -> None:
    for name in ("a", "b"):
        await member.mutate("things.add", {"name": name})
    for _ in range(2):
        assert (await member.mutate(f"things.{procedure}")).code == "INTERNAL_SERVER_ERROR"
        assert [t["amount"] for t in (await member.query("things.all")).data] == [0, 0]


async def test_no_row_is_not_found_for_one_and_null_for_maybe(member: Client) -> None:
    for _ in range(2):
        missing = await member.mutate("things.double")
        assert (missing.code, missing.error["message"]) == ("NOT_FOUND", "No such thing")
        assert (await member.mutate("things.perhaps")).data is None


async def test_a_query_cannot_write(member: Client) -> None:
    for _ in range(2):
        assert (await member.query("things.writes", {"name": "x"})).code == "INTERNAL_SERVER_ERROR"
        assert await names(member) == []


async def test_input_never_becomes_sql(member: Client) -> None:
    assert (await member.query("things.injected", {"name": "' or true --"})).code == "INTERNAL_SERVER_ERROR"


async def test_a_taken_name_says_which_field_and_nothing_of_the_row(member: Client) -> None:
    await member.mutate("things.add", {"name": "a"})
    taken = await member.mutate("things.add", {"name": "a"})
    assert (taken.status, taken.code, taken.error["message"]) == (409, "CONFLICT", "Name is taken already")
    assert taken.error["data"]["issues"][0]["path"] == ["name"]


async def test_a_check_is_the_callers_fault(member: Client) -> None:
    assert (await member.mutate("things.add", {"name": "a", "amount": -1})).code == "BAD_REQUEST"


async def test_a_table_that_changes_under_its_statement_is_prepared_anew(member: Client, database: Database) -> None:
    await member.mutate("things.add", {"name": "a"})
    assert await names(member) == ["a"]
    database.admin.execute("alter table things alter column name type varchar(100)")
    assert await names(member) == ["a"]
    assert (await member.mutate("things.add", {"name": "b"})).data["name"] == "b"
    assert await names(member) == ["a", "b"]
