"""One round trip for a one-statement request: shown by what crosses the wire, and by the server's own counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenantry import Tenantry
from tenantry.settings import DatabaseUrl
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened


class Proxy:
    """Counts the turns of a conversation: how often the client begins to speak after the server has spoken."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.turns = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        last = ["server"]

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, name: str) -> None:
            while data := await source.read(65536):
                if name == "client" and last[0] == "server":
                    self.turns += 1
                last[0] = name
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, back, "client"), pump(there, writer, "server"), return_exceptions=True)


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[tuple[Proxy, DatabaseUrl]]:
    made = Proxy(int(database.urls.platform.place.split(":")[1]))
    server = await asyncio.start_server(made.meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = DatabaseUrl(database.urls.platform.reveal().replace(database.urls.platform.place, f"127.0.0.1:{port}"))
    yield made, url
    server.close()


async def test_a_one_statement_request_is_one_turn_and_one_transaction(
    database: Database, people: People, proxy: tuple[Proxy, DatabaseUrl]
) -> None:
    counter, url = proxy
    async with opened(Tenantry(), database, database_url=url) as app:
        # Health asks over a connection of its own, at its own times.
        app._state.health.close()  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        client, own = Client(app, people.acme.owner.token), str(people.acme.owner.user_id)
        calls = [
            lambda: client.query("users.get", {"id": own}),
            lambda: client.query("users.list"),
            lambda: client.mutate("users.update", {"id": own, "name": "Ann"}),
        ]
        for call in calls:
            for _ in range(8):  # every connection of the pool comes to know the statement
                assert (await call()).status == 200
        counter.turns = 0
        for number, call in enumerate(calls, 1):
            for _ in range(10):
                assert (await call()).status == 200
            assert counter.turns == number * 10


def commits(cluster: Cluster, database: Database) -> int:
    """Transactions committed in this database, as far as its back ends have reported."""
    name = database.urls.platform.database
    row = cluster.admin.execute("select xact_commit from pg_stat_database where datname = $1", (name,)).fetchone()
    assert row is not None
    return row[0]


async def test_the_server_counts_one_transaction_a_request(
    cluster: Cluster, database: Database, people: People
) -> None:
    async with opened(Tenantry(), database, pool_size=1) as app:
        app._state.health.close()  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        client, own = Client(app, people.acme.owner.token), str(people.acme.owner.user_id)

        async def get() -> None:
            assert (await client.query("users.get", {"id": own})).status == 200

        async def update() -> None:
            assert (await client.mutate("users.update", {"id": own, "name": "Ann"})).status == 200

        async def reported() -> int:
            # A back end reports at the end of a transaction, if its last report is a second old.
            await asyncio.sleep(1.1)
            await get()
            return commits(cluster, database)

        await update()
        counted: list[int] = []
        while len(counted) < 3 and 21 not in counted:  # autovacuum counts too, if it looks in; nothing takes away
            before = await reported()
            for _ in range(10):
                await get()
                await update()
            counted.append(await reported() - before)
        assert min(counted) == 21  # the twenty, and the one that made the back end report
