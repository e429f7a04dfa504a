"""One round trip for a one-statement request: shown by what crosses the wire, and by the server's own counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenantry import Tenantry
from tenantry.settings import DatabaseUrl
from tests.conftest import Database, People
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
