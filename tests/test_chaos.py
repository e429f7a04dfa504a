"""1,000 requests of 50 tenants at once, with cancellations and killed connections: no row crosses, nothing leaks."""

from __future__ import annotations

import asyncio
import random

from tenantry import Tenantry
from tests.conftest import Database
from tests.harness import Client, opened

TENANTS, REQUESTS = 50, 1000


async def test_no_row_crosses_and_the_pool_is_whole_afterwards(database: Database) -> None:
    owners = {}
    for n in range(TENANTS):
        database.add_tenant(f"t{n}")
        owners[n] = database.add_member(f"t{n}", f"owner@t{n}.example", "owner")
        database.add_members(f"t{n}", 3)
    dice = random.Random(7)
    codes: dict[str, int] = {}
    is_over = False

    async def kill() -> None:
        while not is_over:
            await asyncio.sleep(0.05)
            await asyncio.to_thread(
                database.admin.execute,
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'platform'"
                " and datname = current_database() order by random() limit 1",
            )

    async with opened(Tenantry(), database, pool_size=6) as app:

        async def request(_: int) -> None:
            tenant = dice.randrange(TENANTS)
            client, other = Client(app, owners[tenant].token), owners[(tenant + 1) % TENANTS]
            await asyncio.sleep(dice.random() * 2)
            what = dice.randrange(5)
            cancel = dice.random() * 0.01 if dice.random() < 0.2 else None
            if what == 0:
                reply = await client.query("users.list", {"limit": 100}, cancel_after=cancel)
                if reply.status == 200:
                    assert {u["email"].split("@")[1] for u in reply.data["items"]} == {f"t{tenant}.example"}
            elif what == 1:
                reply = await client.query("users.get", {"id": str(other.user_id)}, cancel_after=cancel)
                assert reply.status != 200
            elif what == 2:
                update = {"id": str(owners[tenant].user_id), "name": f"Owner of t{tenant}"}
                reply = await client.mutate("users.update", update, cancel_after=cancel)
                if reply.status == 200:
                    assert reply.data["email"] == f"owner@t{tenant}.example"
            elif what == 3:
                reply = await client.mutate(
                    "users.update", {"id": str(other.user_id), "name": "stolen"}, cancel_after=cancel
                )
                assert reply.status != 200
            else:
                reply = await client.query("tenants.current", cancel_after=cancel)
                if reply.status == 200:
                    assert reply.data["slug"] == f"t{tenant}"
            code = str(reply.status) if reply.status in (0, 200) else reply.code
            codes[code] = codes.get(code, 0) + 1

        killer = asyncio.create_task(kill())
        await asyncio.gather(*map(request, range(REQUESTS)))
        is_over = True
        await killer
        assert sum(codes.values()) == REQUESTS
        assert set(codes) <= {"0", "200", "NOT_FOUND", "TIMEOUT", "SERVICE_UNAVAILABLE"}, codes
        assert codes["200"] > REQUESTS / 4, codes

        pool = app._state.pool  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess] - the pool is what is tested
        async with asyncio.timeout(20):
            while (stats := pool.stats()).open < 6 or stats.idle < 6:
                await asyncio.sleep(0.05)
        assert (stats.busy, stats.waiting, stats.in_transaction) == (0, 0, 0)
        for owner in owners.values():
            reply = await Client(app, owner.token).query("users.get", {"id": str(owner.user_id)})
            assert reply.data["email"] == owner.email
    assert database.value("select count(*) from users where name = 'stolen'") == 0
    named = database.admin.execute("select email, name from users where name like 'Owner of %'").fetchall()
    assert all(email == f"owner@{name.removeprefix('Owner of ')}.example" for email, name in named)
