"""The pool on bad days: full, late, cancelled, cut off. And that nobody ever pays for a neighbour."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenantry import Ctx, Statement, Tenantry
from tests.conftest import Database, People
from tests.harness import Client, Reply, opened

app = Tenantry()
slow = app.router("slow")


@slow.query(deadline_ms=300)
def late(ctx: Ctx, seconds: float) -> Statement[str]:
    return ctx.db.one(str, "select pg_sleep($1)::text", seconds)


@slow.query
def sleep(ctx: Ctx, seconds: float) -> Statement[str]:
    return ctx.db.one(str, "select pg_sleep($1)::text", seconds)


@slow.mutation(deadline_ms=300)
def late_write(ctx: Ctx, seconds: float) -> Statement[int]:
    return ctx.db.run(
        "update users set name = 'late' where pg_sleep($1) is not null and id = tenantry.user_id()", seconds
    )


@slow.mutation
async def holds(ctx: Ctx, seconds: float) -> int:
    count = await ctx.db.run("update users set name = 'held' where id = tenantry.user_id()")
    await asyncio.sleep(seconds)
    return count + await ctx.db.one(int, "select count(*) from users")


@slow.mutation(deadline_ms=900)
async def several(ctx: Ctx) -> int:
    for _ in range(4):
        await ctx.db.run(
            "update users set name = 'several' where id = tenantry.user_id() and pg_sleep(0.06) is not null"
        )
    return await ctx.db.one(int, "select count(*) from users")


@slow.mutation
async def gathers(ctx: Ctx) -> list[int]:
    return list(await asyncio.gather(*(ctx.db.one(int, "select $1::int", n) for n in range(5))))


@slow.mutation
async def locks(ctx: Ctx) -> int:
    await ctx.lock("count")
    count = await ctx.db.one(int, "select count(*) from users where name like 'counted %'")
    await asyncio.sleep(0.02)
    return (
        await ctx.db.run("update users set name = 'counted ' || $1::text where id = tenantry.user_id()", str(count))
        + count
    )


async def name_of(client: Client, people: People) -> str:
    return (await client.query("users.get", {"id": str(people.acme.owner.user_id)})).data["name"]


def pool_of(app: Tenantry) -> Any:
    return app._state.pool  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - the pool is what is tested


async def whole(app: Tenantry) -> None:
    async with asyncio.timeout(5):
        while (stats := pool_of(app).stats()).idle < stats.size:
            await asyncio.sleep(0.02)


async def test_a_full_queue_and_a_long_wait_say_that_the_pool_is_full(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=1, pool_queue=2, pool_wait_ms=200) as opened_app:
        client = Client(opened_app, people.acme.owner.token)
        await client.query("slow.sleep", {"seconds": 0})
        replies: list[Reply] = await asyncio.gather(*(client.query("slow.sleep", {"seconds": 0.6}) for _ in range(6)))
        full = [r for r in replies if r.status == 503]
        assert len(full) == 5
        assert {(r.code, r.error["message"], r.header("retry-after")) for r in full} == {
            ("SERVICE_UNAVAILABLE", "Connection pool is full", "1")
        }
        await whole(opened_app)


async def test_a_deadline_ends_a_query_and_undoes_a_mutation(database: Database, people: People) -> None:
    async with opened(app, database) as opened_app:
        client = Client(opened_app, people.acme.owner.token)
        for _ in range(2):
            assert (await client.query("slow.late", {"seconds": 3})).code == "TIMEOUT"
            assert (await client.mutate("slow.lateWrite", {"seconds": 3})).code == "TIMEOUT"
            assert await name_of(client, people) != "late"
        assert (await client.query("slow.late", {"seconds": 0})).status == 200
        await whole(opened_app)


async def test_a_client_that_goes_away_is_cancelled_and_no_neighbour_is_struck(
    database: Database, people: People
) -> None:
    async with opened(app, database, pool_size=3) as opened_app:
        client = Client(opened_app, people.acme.owner.token)
        await client.query("slow.sleep", {"seconds": 0})

        async def neighbour() -> None:
            for _ in range(100):
                assert (await client.query("slow.sleep", {"seconds": 0.002})).status == 200

        async def goes_away() -> None:
            for _ in range(60):
                await client.query("slow.sleep", {"seconds": 5}, cancel_after=0.005)

        async with asyncio.timeout(25):
            await asyncio.gather(neighbour(), neighbour(), goes_away())
        await whole(opened_app)
        running = database.value(
            "select count(*) from pg_stat_activity where usename = 'platform' and state = 'active' and datname = current_database()"
        )
        assert running == 0


async def test_a_transaction_that_lies_idle_is_ended_and_named(database: Database, people: People) -> None:
    async with opened(app, database, idle_in_transaction_ms=100, env="development") as opened_app:
        client = Client(opened_app, people.acme.owner.token)
        reply = await client.mutate("slow.holds", {"seconds": 0.5})
        assert reply.code == "INTERNAL_SERVER_ERROR"
        assert "TRANSACTION_HELD" in reply.error["data"]["help"]
        assert await name_of(client, people) != "held"
        assert (await client.mutate("slow.holds", {"seconds": 0})).data == 4
        await whole(opened_app)


async def test_each_statement_of_a_transaction_has_the_deadline_of_the_call(database: Database, people: People) -> None:
    async with opened(app, database) as opened_app:
        assert (await Client(opened_app, people.acme.owner.token).mutate("slow.several")).data == 3


async def test_statements_awaited_at_once_take_turns(database: Database, people: People) -> None:
    async with opened(app, database) as opened_app:
        assert (await Client(opened_app, people.acme.owner.token).mutate("slow.gathers")).data == [0, 1, 2, 3, 4]


async def test_a_lock_makes_count_then_write_safe(database: Database, people: People) -> None:
    async with opened(app, database) as opened_app:
        clients = [Client(opened_app, p.token) for p in (people.acme.owner, people.acme.admin, people.acme.member)]
        counts = [r.data for r in await asyncio.gather(*(c.mutate("slow.locks") for c in clients))]
        assert sorted(counts) == [1, 2, 3]


async def test_a_mutation_cut_off_in_its_statement_is_known_to_be_undone(database: Database, people: People) -> None:
    async with opened(app, database) as opened_app:
        client = Client(opened_app, people.acme.owner.token)
        await client.mutate("slow.lateWrite", {"seconds": 0})
        before = await name_of(client, people)
        running = asyncio.create_task(client.mutate("slow.holds", {"seconds": 0.4}))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(
            database.admin.execute,
            "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction' and usename = 'platform'"
            " and datname = current_database()",
        )
        assert (await running).code in ("SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR")
        assert await name_of(client, people) == before
        await whole(opened_app)


async def test_a_poisoned_connection_is_dropped_and_the_request_still_answered(
    database: Database, people: People
) -> None:
    async with opened(app, database, pool_size=1) as opened_app:
        client = Client(opened_app, people.acme.owner.token)
        assert (await client.query("users.list")).status == 200
        connection = next(iter(pool_of(opened_app).connections))
        # What no handler can do: a change of the session, over the connection itself.
        connection.loop.remove_reader(connection.fd)
        connection.pg.exit_pipeline_mode()
        connection.pg.exec_(b"set search_path = pg_temp, public")
        connection.pg.enter_pipeline_mode()
        connection.loop.add_reader(connection.fd, connection.readable)
        assert (await client.query("users.list")).status == 200
        assert "its session state was changed" in pool_of(opened_app).stats().lost


@pytest.mark.parametrize(
    "text",
    ["set search_path = public", "prepare x as select 1", "deallocate all", "begin", "commit", "lock table users", "listen x",
     "copy users to stdout", "do $$ begin end $$", "explain select 1", "-- a\n/* b */ set role x", ""],
)  # fmt: skip
async def test_a_text_that_could_outlive_the_transaction_is_not_sent(
    database: Database, people: People, text: str
) -> None:
    refusing = Tenantry()

    @refusing.router("r").mutation
    async def go(ctx: Ctx) -> int:
        from tenantry import sql

        return await ctx.db.run(sql.trusted(text))

    async with opened(refusing, database) as opened_app:
        reply = await Client(opened_app, people.acme.owner.token).mutate("r.go")
        assert reply.code == "INTERNAL_SERVER_ERROR"
        assert "SQL_REFUSED" in reply.error["data"]["help"]


async def test_two_statements_in_one_text_are_refused_by_the_server(database: Database, people: People) -> None:
    refusing = Tenantry()

    @refusing.router("r").mutation
    def go(ctx: Ctx) -> Statement[int]:
        return ctx.db.run("select 1; select 2")

    async with opened(refusing, database) as opened_app:
        assert (await Client(opened_app, people.acme.owner.token).mutate("r.go")).code == "INTERNAL_SERVER_ERROR"
