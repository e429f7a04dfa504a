"""One tenant at many times its share, on real PostgreSQL: the others are answered, and only the noisy one is refused."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from tenantry import Ctx, Statement, Tenantry
from tenantry.db import Pool
from tenantry.ops.tenants import TenantNotes, noisiest
from tests.conftest import Database, People
from tests.harness import Client, Reply, opened

app = Tenantry()
work = app.router("work")


@work.query
def sleep(ctx: Ctx, seconds: float) -> Statement[str]:
    return ctx.db.one(str, "select pg_sleep($1)::text", seconds)


@work.query
def quick(ctx: Ctx) -> Statement[str]:
    return ctx.db.one(str, "select slug from tenantry.current_tenant()")


@work.mutation
async def holds(ctx: Ctx, seconds: float) -> int:
    count = await ctx.db.one(int, "select count(*) from users")
    await asyncio.sleep(seconds)
    return count


def pool_of(app: Tenantry) -> Pool:
    return app._state.pool  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - the pool is what is tested


async def known(*clients: Client) -> None:
    """Until the worker knows whose these are."""
    for client in clients:
        for path, given in (("work.sleep", {"seconds": 0}), ("work.quick", ...)):
            assert (await client.query(path, given)).status == 200


async def settled(one: Tenantry) -> None:
    """Nothing is held, nothing waits, and nobody's account says otherwise."""
    pool = pool_of(one)
    async with asyncio.timeout(10):
        while (stats := pool.stats()).idle < stats.size:
            await asyncio.sleep(0.02)
    shares = pool.shares
    every = {*shares._known.values(), *shares._tenants.values(), shares.strangers, shares.own}  # pyright: ignore[reportPrivateUsage]
    assert [(share.busy, share.flying) for share in every] == [(0, 0)] * len(every)
    assert stats.waiting == 0


def refused(one: Tenantry, cause: str) -> float:
    return pool_of(one).signals.value("db_requests_refused_total", cause)


async def test_a_hundred_requests_before_it_delay_another_tenant_by_few(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=4) as one:
        noisy = [Client(one, p.token) for p in (people.acme.owner, people.acme.admin, people.acme.member)]
        other = Client(one, people.globex.owner.token)
        await known(*noisy, other)
        answered: list[str] = []

        async def ask(client: Client, name: str) -> None:
            assert (await client.query("work.sleep", {"seconds": 0.02})).status == 200
            answered.append(name)

        flood = [asyncio.create_task(ask(noisy[n % 3], "noisy")) for n in range(100)]
        await asyncio.sleep(0)
        await asyncio.gather(*(ask(other, "other") for _ in range(5)))
        # Served in the order of arrival it would have been after all hundred.
        assert answered.count("noisy") < 40
        await asyncio.gather(*flood)
        await settled(one)


async def test_long_statements_of_one_tenant_never_hold_the_whole_pool(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=8, fast_lane="off") as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        flood = [asyncio.create_task(noisy.query("work.sleep", {"seconds": 1.5})) for _ in range(12)]
        await asyncio.sleep(0.1)
        assert pool_of(one).stats().busy == 7
        for _ in range(5):
            assert (await other.query("work.quick")).data == "globex"
        assert not any(task.done() for task in flood)
        assert {reply.status for reply in await asyncio.gather(*flood)} == {200}
        await settled(one)


async def test_while_others_want_theirs_a_tenant_has_its_share(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=4, fast_lane="off", tenant_share=50) as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        pool = pool_of(one)
        share = pool.shares.of(_entry(people.acme.owner.token))
        flood = [asyncio.create_task(noisy.query("work.sleep", {"seconds": 0.03})) for _ in range(60)]
        await asyncio.sleep(0.01)
        assert share.busy == 4  # alone: all of a small pool
        others = [asyncio.create_task(other.query("work.sleep", {"seconds": 0.03})) for _ in range(12)]
        await asyncio.sleep(0.06)
        most = 0
        while not all(task.done() for task in others):
            most = max(most, share.busy)
            await asyncio.sleep(0.002)
        assert most == 2
        assert {reply.status for reply in await asyncio.gather(*flood, *others)} == {200}
        await settled(one)


def _entry(token: str) -> Any:
    from tenantry.db import Entry

    return Entry(token.encode(), True, None, None, "a.b", 1000)


async def test_a_flood_of_quick_requests_is_paced_while_another_tenant_asks(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=4, pool_queue=1000) as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        pacing = pool_of(one).shares.pacing
        is_over = False

        async def flood() -> set[int]:
            found = set[int]()
            while not is_over:
                found.add((await noisy.query("work.quick")).status)
            return found

        floods = [asyncio.create_task(flood()) for _ in range(60)]
        async with asyncio.timeout(30):
            while pacing.paced is None:
                assert (await other.query("work.quick")).data == "globex"
        assert pacing.paced is pool_of(one).shares.of(_entry(people.acme.owner.token))
        for _ in range(20):
            assert (await other.query("work.quick")).data == "globex"
        async with asyncio.timeout(30):  # alone again it has everything
            while pacing.paced is not None:
                await asyncio.sleep(0.05)
        is_over = True
        assert set[int]().union(*await asyncio.gather(*floods)) == {200}
        await settled(one)


async def test_a_full_queue_refuses_the_tenant_that_fills_it(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=2, pool_queue=10) as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        flood = [asyncio.create_task(noisy.query("work.sleep", {"seconds": 0.3})) for _ in range(60)]
        await asyncio.sleep(0)
        replies: list[Reply] = await asyncio.gather(*(other.query("work.sleep", {"seconds": 0}) for _ in range(4)))
        assert [reply.status for reply in replies] == [200] * 4
        noise = await asyncio.gather(*flood)
        assert {reply.status for reply in noise} == {200, 429, 503}
        # Those that gave way to the others are told that it is their own doing, and when to come again.
        gave_way = [reply for reply in noise if reply.status == 429]
        assert len(gave_way) >= 4
        assert {(reply.code, reply.header("retry-after")) for reply in gave_way} == {("TOO_MANY_REQUESTS", "1")}
        assert refused(one, "queue_full") == sum(1 for reply in noise if reply.status != 200)
        await settled(one)


async def test_clients_that_leave_the_queue_keep_the_accounts_right(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=3) as one:
        clients = [Client(one, tenant.owner.token) for tenant in (people.acme, people.globex)]
        await known(*clients)

        async def comes_and_goes(client: Client, number: int) -> None:
            path = ("work.sleep", "work.quick")[number % 2]
            given = {"seconds": 0.02} if number % 2 == 0 else ...
            await client.query(path, given, cancel_after=0.001 * (number % 30) if number % 3 else None)
            if number % 5 == 0:
                running = asyncio.create_task(client.mutate("work.holds", {"seconds": 0.02}, cancel_after=0.01))
                await running

        async with asyncio.timeout(30):
            await asyncio.gather(*(comes_and_goes(clients[n % 2], n) for n in range(200)))
        await settled(one)


async def test_killed_back_ends_keep_the_accounts_right(database: Database, people: People) -> None:
    async with opened(app, database, pool_size=4) as one:
        client = Client(one, people.acme.owner.token)
        await known(client)
        for _ in range(40):
            await client.query("work.quick")
        running = [asyncio.create_task(client.query("work.quick")) for _ in range(200)]
        running += [asyncio.create_task(client.query("work.sleep", {"seconds": 0.05})) for _ in range(20)]
        await asyncio.sleep(0.02)
        await asyncio.to_thread(
            database.admin.execute,
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'platform' and datname = current_database()",
        )
        await asyncio.gather(*running)
        await settled(one)


async def test_fast_queries_of_one_tenant_leave_room_on_the_shared_connections(
    database: Database, people: People
) -> None:
    async with opened(app, database, pool_size=4, fast_lane_connections=1) as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        for _ in range(40):
            await noisy.query("work.quick")
        order: list[str] = []

        async def ask(client: Client, name: str) -> None:
            assert (await client.query("work.quick")).status == 200
            order.append(name)

        flood = [asyncio.create_task(ask(noisy, "noisy")) for _ in range(600)]
        await asyncio.sleep(0)
        await asyncio.gather(*(ask(other, "other") for _ in range(5)))
        assert order.count("noisy") < 300
        await asyncio.gather(*flood)
        await settled(one)


async def test_a_rate_is_answered_with_when_to_come_again(database: Database, people: People) -> None:
    async with opened(app, database, tenant_rate=5) as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        replies = [await noisy.query("work.quick") for _ in range(30)]
        over = [reply for reply in replies if reply.status == 429]
        assert len(over) >= 10
        assert {(reply.code, reply.header("retry-after")) for reply in over} == {("TOO_MANY_REQUESTS", "1")}
        assert (await other.query("work.quick")).status == 200
        assert refused(one, "tenant_rate") == len(over)


async def test_a_budget_counts_the_time_in_the_database(database: Database, people: People) -> None:
    async with opened(
        app, database, tenant_budget=1
    ) as one:  # a sixtieth of a second a second, ten seconds' worth ahead
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        assert (await noisy.query("work.sleep", {"seconds": 0.5})).status == 200
        reply = await noisy.query("work.quick")
        assert reply.code == "TOO_MANY_REQUESTS"
        assert 5 < int(reply.header("retry-after") or 0) <= 60
        assert (await other.query("work.quick")).status == 200


async def test_the_noisiest_tenants_are_noted_for_the_service_alone(database: Database, people: People) -> None:
    async with opened(app, database) as one:
        noisy, other = Client(one, people.acme.owner.token), Client(one, people.globex.owner.token)
        await known(noisy, other)
        notes = TenantNotes(pool_of(one), database.home)
        notes.write()
        for _ in range(3):
            await noisy.query("work.sleep", {"seconds": 0.05})
        await other.query("work.quick")
        notes.write()
        path = database.home / "run" / f"tenants-{os.getpid()}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        rows = json.loads(path.read_bytes())
        assert [(row["tenant"], row["calls"]) for row in rows] == [(str(people.acme.id), 3), (str(people.globex.id), 1)]
        assert people.acme.owner.token not in path.read_text()
        first, *_ = noisiest(database.home, path.stat().st_mtime)
        assert first.tenant == str(people.acme.id)
        assert noisiest(database.home, path.stat().st_mtime + 60) == []
    assert not path.exists()
