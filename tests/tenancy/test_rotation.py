"""The keyed seal's key is changed under load: no request notices, and a seal of the key before ends with its transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tenantry import Ctx, Tenantry
from tenantry.cli.main import main
from tenantry.tenancy.rotation import rotate
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened


@pytest.fixture(scope="module")
def keyed(cluster18: Cluster) -> str:
    cluster18.admin.execute("alter role postgres set tenantry.seal = 'keyed'")
    try:
        return cluster18.make_template("keyed_to_rotate", [])
    finally:
        cluster18.admin.execute("alter role postgres reset tenantry.seal")


@pytest.fixture
def database(cluster18: Cluster, keyed: str) -> Iterator[Database]:
    with cluster18.database(keyed) as made:
        yield made


def changed(database: Database, wait: float = 20) -> bool:
    with psycopg.connect(database.urls.admin.reveal(), autocommit=True) as admin:
        return rotate(admin, wait_seconds=wait, report=lambda _: None).retired


def app_with_several_statements() -> Tenantry:
    app = Tenantry()
    notes = app.router("notes")

    @notes.query
    async def twice(ctx: Ctx) -> list[int]:
        first = await ctx.db.one(int, "select count(*) from users")
        await asyncio.sleep(0.01)
        return [first, await ctx.db.one(int, "select count(*) from users")]

    return app


async def test_under_load_no_request_notices(database: Database, people: People) -> None:
    database.settings()
    assert database.value("select tenantry.seal()") == "keyed"
    async with opened(app_with_several_statements(), database) as app:
        clients = [Client(app, tenant.owner.token) for tenant in (people.acme, people.globex)]
        assert (await clients[0].query("notes.twice")).data == [3, 3]
        is_over = False
        answers: list[object] = []

        async def load(client: Client) -> None:
            while not is_over:
                answers.append((await client.query("notes.twice")).json)
                answers.append(len((await client.query("users.list")).data["items"]))

        loads = [asyncio.create_task(load(client)) for client in clients]
        keys = set()
        for _ in range(5):
            assert await asyncio.to_thread(changed, database)
            keys.add(database.value("select key from tenantry.seal_key"))
        is_over = True
        await asyncio.gather(*loads)
    assert len(keys) == 5
    assert len(answers) > 20
    assert [one for one in answers if one not in (3, {"result": {"data": [3, 3]}})] == []


def test_an_open_transaction_keeps_its_context_and_holds_the_key_before(database: Database, people: People) -> None:
    with psycopg.connect(database.urls.platform.reveal()) as held:
        held.execute("select tenantry.enter(%s)", (people.acme.owner.token.encode(),))
        assert not changed(database, wait=0.3)
        assert held.execute("select count(*) from users").fetchone() == (3,)
        # The guard's other side: without the overlap the open transaction would lose its rows.
        database.admin.execute("update tenantry.seal_key set previous = null")
        assert held.execute("select count(*) from users").fetchone() == (0,)


def test_an_unfinished_change_is_finished_by_the_next(database: Database, people: People) -> None:
    with psycopg.connect(database.urls.platform.reveal()) as held:
        held.execute("select tenantry.enter(%s)", (people.acme.owner.token.encode(),))
        assert not changed(database, wait=0.2)
    key = database.value("select key from tenantry.seal_key")
    assert changed(database)
    assert database.value("select key from tenantry.seal_key") == key
    assert database.value("select previous from tenantry.seal_key") is None


def test_the_command_says_what_it_did(
    cluster18: Cluster, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in (("DATABASE_URL", database.urls.platform), ("DATABASE_ADMIN_URL", database.urls.admin)):
        monkeypatch.setenv(name, url.reveal())
    assert main(["secret", "rotate-seal"]) == 0
    assert "holds no more" in capsys.readouterr().out
    with cluster18.database() as vault:
        monkeypatch.setenv("DATABASE_URL", vault.urls.platform.reveal())
        monkeypatch.setenv("DATABASE_ADMIN_URL", vault.urls.admin.reveal())
        assert main(["secret", "rotate-seal"]) == 0
        assert "no key to change" in capsys.readouterr().out
