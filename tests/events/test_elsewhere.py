"""A database that was restored on another server, or without its rows: events begin anew, and who comes back is told."""

from __future__ import annotations

import pytest

from tenantry.db.migrate import Migration, push
from tenantry.errors import EventsGone
from tenantry.tenancy import REPAIRS, builtin_migrations
from tests.conftest import Cluster, Database, People
from tests.events.conftest import Ear, Said, context, listen, make, say
from tests.harness import Client, opened

OURS = [Migration(*file, "built-in") for file in builtin_migrations()]


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


def pushed(database: Database) -> list[str]:
    return push(database.urls.admin, OURS, repairs=REPAIRS).repaired


async def test_places_of_another_server(database: Database, people: People) -> None:
    async with opened(make(), database) as app:
        ear = await listen(app, people.acme.member.token)
        await say(Client(app, people.acme.owner.token), "before")
        await ear.until(1)
        await ear.stop()
    assert pushed(database) == []
    # As after a restore on a server whose transaction ids are lower.
    database.admin.execute("update tenantry.events set place = place + 1000000")
    database.admin.execute(
        "insert into tenantry.watched_topics (tenant_id, topic, since) values ($1, 'users.changed', 5000000)".replace(
            "$1", f"'{people.acme.id}'"
        )
    )
    database.admin.execute("update tenantry.event_ring set gone = 900000")
    assert pushed(database) == ["events of another server are gone"]
    assert pushed(database) == []
    async with opened(make(), database) as app:
        back = Ear(context(app, people.acme.member.token).subscribe(Said, "talk.said", after=ear.heard[0].id))
        assert isinstance(await back.ends(), EventsGone)
        anew = await listen(app, people.acme.member.token)
        await say(Client(app, people.acme.owner.token), "after")
        assert await anew.until(1) == ["after"]
        await anew.stop()


async def test_a_schema_without_its_rows(database: Database, people: People) -> None:
    database.admin.execute("delete from tenantry.event_ring")
    database.admin.execute("select pg_catalog.setval('tenantry.ring_slot', 0, false)")
    assert pushed(database) == ["the ring of events is there again"]
    async with opened(make(), database) as app:
        ear = await listen(app, people.acme.member.token)
        await say(Client(app, people.acme.owner.token), "heard")
        assert await ear.until(1) == ["heard"]
        await ear.stop()
