"""Statements as handlers really write them: caught errors, timeouts, enums, odd cursors, several at once."""

from __future__ import annotations

import asyncio
import base64
import json
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from msgspec import Struct

from tenantry import Ctx, Page, Record, Statement, Tenantry, sql
from tenantry.db.migrate import Migration
from tenantry.errors import TooManyRows
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened

CARDS = """
create type mood as enum ('glad', 'sad');
create table cards (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    mood mood not null default 'glad',
    weight real not null default 1,
    facts jsonb not null default '{}',
    at timestamptz not null default now()
);
create unique index cards_lower_name_key on cards (lower(name));
create unique index cards_weight_name_idx on cards (weight, name) where weight > 100;
select tenantry.protect('cards');
create table slow (id uuid primary key default gen_random_uuid(), name text not null);
select tenantry.protect('slow');
create function public.dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(0.3); return null; end $$;
create constraint trigger slow_dawdle after insert on slow deferrable initially deferred
    for each row execute function public.dawdle();
"""


class Card(Record):
    id: UUID
    name: str
    mood: Literal["glad", "sad"]


class Strict(Struct):
    name: str

    def __post_init__(self) -> None:
        if self.name == "refused":
            message = "refused after the fact"
            raise ValueError(message)


class Named(Struct, omit_defaults=True):
    name: str
    mood: str | None = None


class Listed(Struct, array_like=True):
    name: str


class Mood(Enum):
    GLAD = "glad"


app = Tenantry()
cards = app.router("cards")


@cards.query
def all(ctx: Ctx) -> Statement[list[Card]]:
    return ctx.db.all(Card, "select id, name, mood from cards order by name")


@cards.mutation
def add(ctx: Ctx, name: str, mood: str = "glad", weight: float = 1) -> Statement[Card]:
    return ctx.db.one(
        Card, "insert into cards (name, mood, weight) values ($1, $2, $3) returning id, name, mood", name, mood, weight
    )


@cards.mutation
def add_member(ctx: Ctx, name: str) -> Statement[str]:
    return ctx.db.one(str, "insert into cards (name, mood) values ($1, $2) returning mood", name, Mood.GLAD)


@cards.mutation
def add_strict(ctx: Ctx, name: str) -> Statement[Strict]:
    return ctx.db.one(Strict, "insert into cards (name) values ($1) returning name", name)


@cards.query
def named(ctx: Ctx) -> Statement[list[Named]]:
    return ctx.db.all(Named, "select name, null::text as mood from cards")


@cards.query
def listed(ctx: Ctx) -> Statement[list[Listed]]:
    return ctx.db.all(Listed, "select name from cards")


@cards.mutation
def moved(ctx: Ctx, name: str) -> Statement[Card]:
    return ctx.db.one(
        Card,
        "with gone as (delete from cards returning name)"
        " insert into cards (name) select $1 from (select count(*) from gone) g returning id, name, mood",
        name,
    )


@cards.mutation
async def outlasted(ctx: Ctx, name: str) -> int:
    await ctx.db.run("insert into cards (name) values ($1)", name)
    try:
        async with asyncio.timeout(0.05):
            await ctx.db.one(bool, "select pg_sleep(0.6) is null")
    except TimeoutError:
        pass
    return await ctx.db.run("insert into cards (name) values ($1)", name + " too")


@cards.mutation
async def outlasted_and_done(ctx: Ctx, name: str) -> str:
    await ctx.db.run("insert into cards (name) values ($1)", name)
    try:
        async with asyncio.timeout(0.05):
            await ctx.db.one(bool, "select pg_sleep(0.6) is null")
    except TimeoutError:
        pass
    return "ok"


@cards.mutation
async def at_once(ctx: Ctx, names: list[str]) -> list[int]:
    return await asyncio.gather(*(ctx.db.run("insert into cards (name) values ($1)", name) for name in names))


@cards.query
def page(ctx: Ctx, after: str | None = None, limit: int = 2) -> Statement[Page[Card]]:
    return ctx.db.page(Card, sql("select id, name, mood, at from cards"), by="at desc, id", after=after, limit=limit)


@cards.query
def by_weight(ctx: Ctx, after: str | None = None) -> Statement[Page[Card]]:
    return ctx.db.page(Card, "select id, name, mood, weight from cards", by="weight, id", after=after, limit=1)


@cards.query
def by_mood(ctx: Ctx, after: str | None = None) -> Statement[Page[Card]]:
    return ctx.db.page(Card, "select id, name, mood from cards", by="mood, id", after=after, limit=1)


@cards.query
def like(ctx: Ctx, pattern: str) -> Statement[int]:
    return ctx.db.one(int, "select count(*) from cards where name like $1", pattern)


@cards.query
def matching(ctx: Ctx, pattern: str) -> Statement[int]:
    return ctx.db.one(int, "select count(*) from cards where name ~ $1", pattern)


@cards.mutation
def set_facts(ctx: Ctx, facts: dict[str, Any]) -> Statement[int]:
    return ctx.db.run("update cards set facts = $1", facts)


@cards.mutation
def set_nan(ctx: Ctx) -> Statement[int]:
    return ctx.db.run("update cards set facts = $1", {"n": float("nan")})


@cards.query
def both(ctx: Ctx) -> Statement[int]:
    return ctx.db.one(int, sql("select {}::int", 1), 2)


@cards.mutation
async def foreign(ctx: Ctx, name: str) -> int:
    async with ctx.transaction() as tx:
        await tx.run("insert into cards (name) values ($1)", name)
        return await tx.one(int, "select count(*) from cards")


@cards.mutation
def add_elsewhere(ctx: Ctx, name: str, tenant: UUID) -> Statement[UUID]:
    return ctx.db.one(UUID, "insert into cards (name, tenant_id) values ($1, $2) returning id", name, tenant)


@cards.mutation
async def look_away(ctx: Ctx) -> None:
    try:
        await ctx.db.one(Card, "delete from cards returning id, name, mood")
    except TooManyRows:
        pass


@cards.query
def by_nothing(ctx: Ctx) -> Statement[Page[Card]]:
    text = "select id, name, mood, null::text as nothing from cards"
    return ctx.db.page(Card, text, by="nothing, id", after=None, limit=1)


@cards.mutation(deadline_ms=500)
async def slow_commit(ctx: Ctx, name: str) -> None:
    await ctx.db.run("insert into slow (name) values ($1)", name)
    await ctx.db.run("insert into cards (name) values ($1)", name)
    await asyncio.sleep(0.35)


@cards.mutation
async def twice(ctx: Ctx, name: str) -> int:
    statement = ctx.db.run("insert into cards (name) values ($1)", name)
    await statement
    return await statement


@pytest.fixture(scope="session")
def template(cluster18: Cluster) -> str:
    return cluster18.make_template("with_cards", [Migration("0001_cards.sql", CARDS)])


@pytest.fixture
def database(cluster18: Cluster, template: str) -> Any:
    with cluster18.database(template) as made:
        yield made


@pytest.fixture
async def member(database: Database, people: People) -> Any:
    async with opened(app, database):
        yield Client(app, people.acme.member.token)


async def names(client: Client) -> list[str]:
    return [card["name"] for card in (await client.query("cards.all")).data]


async def test_an_enum_travels_as_its_label(member: Client) -> None:
    for name in "ab":
        assert (await member.mutate("cards.add", {"name": name, "mood": "sad"})).data["mood"] == "sad"
    assert [c["mood"] for c in (await member.query("cards.all")).data] == ["sad", "sad"]
    assert (await member.mutate("cards.addMember", {"name": "c"})).data == "glad"


async def test_an_unknown_enum_label_is_the_callers_fault(member: Client) -> None:
    assert (await member.mutate("cards.add", {"name": "a", "mood": "angry"})).code == "BAD_REQUEST"


async def test_a_struct_that_refuses_its_row_has_written_nothing(member: Client) -> None:
    for _ in range(2):
        assert (await member.mutate("cards.addStrict", {"name": "refused"})).code == "INTERNAL_SERVER_ERROR"
        assert await names(member) == []


async def test_a_structs_own_way_of_writing_itself_is_kept(member: Client) -> None:
    await member.mutate("cards.add", {"name": "a"})
    assert (await member.query("cards.named")).data == [{"name": "a"}]
    assert (await member.query("cards.listed")).data == [["a"]]


async def test_a_writing_with_is_run_and_committed(member: Client) -> None:
    await member.mutate("cards.add", {"name": "a"})
    for name in "bc":
        assert (await member.mutate("cards.moved", {"name": name})).data["name"] == name
        assert await names(member) == [name]


@pytest.mark.parametrize("procedure", ["outlasted", "outlastedAndDone"])
async def test_a_statement_given_up_on_takes_the_whole_request_with_it(member: Client, procedure: str) -> None:
    for _ in range(2):
        assert (await member.mutate(f"cards.{procedure}", {"name": "x"})).code == "INTERNAL_SERVER_ERROR"
        assert await names(member) == []


async def test_statements_awaited_at_once_take_turns_in_one_transaction(member: Client) -> None:
    assert (await member.mutate("cards.atOnce", {"names": ["a", "b", "c"]})).data == [1, 1, 1]
    assert (await member.mutate("cards.atOnce", {"names": ["d", "A"]})).code == "CONFLICT"
    assert await names(member) == ["a", "b", "c"]


@pytest.mark.parametrize("by", ["page", "byWeight", "byMood"])
async def test_pages_go_through_every_row_once(member: Client, by: str) -> None:
    for number in range(5):
        await member.mutate(
            "cards.add", {"name": f"n{number}", "weight": number / 3, "mood": ["glad", "sad"][number % 2]}
        )
    seen, after = [], None
    for _ in range(6):
        page = (await member.query(f"cards.{by}", {"after": after} if after else {})).data
        seen += [card["name"] for card in page["items"]]
        after = page["nextCursor"]
        if after is None:
            break
    assert sorted(seen) == [f"n{number}" for number in range(5)]


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "after",
    [
        "", "x", "é", "=" * 5, cursor(), cursor("2026-01-01T00:00:00", "0" * 32), cursor(1, 2), cursor("2026-01-01T00:00:00+00:00", "no"),
        cursor("2026-01-01", "0" * 32), cursor("2026-01-01T00:00:00Z", "\0"),
    ],
)  # fmt: skip
async def test_a_cursor_that_was_made_up_is_the_callers_fault(member: Client, after: str) -> None:
    for _ in range(2):
        reply = await member.query("cards.page", {"after": after})
        assert reply.code == "BAD_REQUEST", reply.json
        assert reply.error["data"]["issues"][0]["path"] == ["after"]


@pytest.mark.parametrize(("procedure", "pattern"), [("like", "a\\"), ("matching", "("), ("matching", "[")])
async def test_a_pattern_that_is_none_is_the_callers_fault(member: Client, procedure: str, pattern: str) -> None:
    await member.mutate("cards.add", {"name": "abc"})
    for _ in range(2):
        assert (await member.query(f"cards.{procedure}", {"pattern": pattern})).code == "BAD_REQUEST"


async def test_json_keeps_a_written_out_escape_and_refuses_nan(member: Client, database: Database) -> None:
    await member.mutate("cards.add", {"name": "a"})
    assert (await member.mutate("cards.setFacts", {"facts": {"a": "\\u0000"}})).data == 1
    assert database.value("select facts ->> 'a' from cards") == "\\u0000"
    assert (await member.mutate("cards.setNan")).code == "BAD_REQUEST"


async def test_values_of_both_kinds_are_refused_rather_than_dropped(member: Client) -> None:
    assert (await member.query("cards.both")).code == "INTERNAL_SERVER_ERROR"


async def test_a_unique_index_names_its_field(member: Client) -> None:
    await member.mutate("cards.add", {"name": "a", "weight": 200})
    taken = await member.mutate("cards.add", {"name": "A", "weight": 300})
    assert (taken.code, taken.error["data"]["constraint"]) == ("CONFLICT", "cards_lower_name_key")


async def test_a_statement_awaited_twice_is_an_error_and_writes_nothing(member: Client) -> None:
    for _ in range(2):
        assert (await member.mutate("cards.twice", {"name": "a"})).code == "INTERNAL_SERVER_ERROR"
        assert await names(member) == []


async def test_a_refused_row_of_another_tenant_is_forbidden_and_counted(member: Client, people: People) -> None:
    stolen = {"name": "a", "tenant": str(people.globex.id)}
    for count in (1, 2):
        assert (await member.mutate("cards.addElsewhere", stolen)).code == "FORBIDDEN"
        state = member.app._state  # pyright: ignore[reportPrivateUsage]
        assert state is not None
        assert state.signals.value("rls_violations_total", "cards", "insert") == count


async def test_two_rows_where_one_was_meant_stay_even_if_the_handler_looks_away(member: Client) -> None:
    for name in "ab":
        await member.mutate("cards.add", {"name": name})
    assert (await member.mutate("cards.lookAway")).code == "INTERNAL_SERVER_ERROR"
    assert await names(member) == ["a", "b"]


async def test_a_null_in_an_order_column_is_named_and_not_skipped(member: Client) -> None:
    for name in "ab":
        await member.mutate("cards.add", {"name": name})
    assert (await member.query("cards.byNothing")).code == "INTERNAL_SERVER_ERROR"


async def test_a_commit_that_outlasts_the_deadline_is_told_as_it_went(member: Client, database: Database) -> None:
    """The deferred trigger sleeps in the commit, under no statement_timeout: whatever is said must be so."""
    reply = await member.mutate("cards.slowCommit", {"name": "a"})
    await asyncio.sleep(0.5)  # a commit that was let through is over by now
    there = await names(member)
    assert (reply.status == 200) == (there == ["a"]), (reply.json, there)


async def test_a_pool_of_one_connection_is_enough_for_several_new_statements(
    database: Database, people: People
) -> None:
    app = Tenantry()
    alone = app.router("alone")

    @alone.mutation
    async def twice(ctx: Ctx, wrong: bool = False) -> int:
        await ctx.db.run("update users set name = 'first' where id = tenantry.user_id()")
        if wrong:
            await ctx.db.one(int, "select no_such_column from users")
        return await ctx.db.one(int, "select count(*) from users where name = 'first'")

    async with opened(app, database, pool_size=1, fast_lane="off", pool_wait_ms=2000) as served:
        client = Client(served, people.acme.owner.token)
        assert (await client.mutate("alone.twice", {"wrong": True})).status == 500
        assert database.value("select count(*) from users where name = 'first'") == 0
        assert (await client.mutate("alone.twice", {})).data == 1
