"""users.changed is written only where somebody watches; who watches, and who comes back, misses nothing by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tenantry import Tenantry
from tenantry.errors import EventsGone, Unauthorized
from tenantry.tenancy.procedures import UserChanged
from tests.conftest import Cluster, Database, People, Person
from tests.events.conftest import Ear, context, listen, make
from tests.harness import Client, opened

TOPIC = "users.changed"


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Tenantry]:
    async with opened(make(), database) as app:
        yield app


def hub_of(app: Tenantry) -> Any:
    return app._state.hub  # pyright: ignore[reportPrivateUsage]


async def hear(app: Tenantry, token: str, after: str | None = None) -> Ear:
    return await listen(app, token, topic=TOPIC, after=after, kind=UserChanged)


async def rename(app: Tenantry, member: Person, name: str) -> None:
    assert (
        await Client(app, member.token).mutate("users.update", {"id": str(member.user_id), "name": name})
    ).status == 200


def written(database: Database) -> int:
    return database.value("select count(*)::int from tenantry.events where topic = 'users.changed'")


def watched(database: Database) -> int:
    return database.value("select count(*)::int from tenantry.watched_topics")


async def test_what_nobody_watches_is_not_written(app: Tenantry, database: Database, people: People) -> None:
    await rename(app, people.acme.member, "one")
    assert (written(database), watched(database)) == (0, 0)
    ear = await hear(app, people.acme.owner.token)
    await rename(app, people.acme.member, "two")
    await rename(app, people.globex.member, "of a tenant that has no subscriber")
    await ear.until(1)
    assert (written(database), watched(database)) == (1, 1)
    await ear.stop()


async def test_who_comes_back_gets_what_happened_meanwhile(app: Tenantry, database: Database, people: People) -> None:
    ear = await hear(app, people.acme.owner.token)
    await rename(app, people.acme.member, "one")
    await ear.until(1)
    await ear.stop()
    await rename(app, people.acme.member, "two")
    database.add_member("acme", "new@acme.example", "member")
    again = await hear(app, people.acme.owner.token, after=ear.heard[0].id)
    await again.until(2)
    assert [e.data.change for e in again.heard] == ["updated", "added"]
    await again.stop()


async def test_what_was_under_way_when_the_first_one_came(app: Tenantry, database: Database, people: People) -> None:
    """It may not have seen the subscriber: who subscribes is not live before it has ended, and hears all that comes after."""
    member = people.acme.member
    with psycopg.connect(database.superuser.reveal()) as other:
        other.execute("update public.users set name = 'before' where id = %s", [member.user_id])
        ear = Ear(context(app, people.acme.owner.token).subscribe(UserChanged, TOPIC, after=None))
        async with asyncio.timeout(20):
            while not database.value("select coalesce((select since > 0 from tenantry.watched_topics), false)"):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not hub_of(app).channels
        other.commit()
    async with asyncio.timeout(20):
        while not hub_of(app).channels:
            await asyncio.sleep(0.01)
    await rename(app, member, "after")
    await ear.until(1)
    assert written(database) == 1
    await ear.stop()


async def test_a_transaction_with_an_older_snapshot_writes_in_any_case(
    app: Tenantry, database: Database, people: People
) -> None:
    member = people.acme.member
    with psycopg.connect(database.superuser.reveal()) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("select 1 from public.users")
        ear = await hear(app, people.acme.owner.token)  # it has no transaction id yet, so nobody waits for it
        other.execute("update public.users set name = 'repeatable' where id = %s", [member.user_id])
    await ear.until(1)
    await ear.stop()


async def test_a_registration_is_forgotten_with_the_last_event_that_its_subscriber_had(
    app: Tenantry, database: Database, people: People
) -> None:
    ear = await hear(app, people.acme.owner.token)
    await rename(app, people.acme.member, "one")
    await ear.until(1)
    await ear.stop()
    keeper = hub_of(app).keeper
    await keeper.keep()
    assert database.value("select closing is null from tenantry.watched_topics")
    database.admin.execute("update tenantry.watched_topics set seen = now() - interval '4 hours'")
    await keeper.keep()
    assert database.value("select closing is not null from tenantry.watched_topics")

    # Somebody comes back: it is open again.
    again = await hear(app, people.acme.owner.token, after=ear.heard[0].id)
    assert database.value("select closing is null and seen > now() - interval '1 hour' from tenantry.watched_topics")
    await again.stop()

    database.admin.execute("update tenantry.watched_topics set seen = now() - interval '4 hours'")
    await keeper.keep()
    for turn in range(9):
        assert watched(database) == 1, f"forgotten at turn {turn}, while its events are kept"
        await rename(app, people.acme.member, f"turn {turn}")
        database.admin.execute("update tenantry.event_ring set since = now() - interval '2 days'")
        await keeper.keep()
        if watched(database) == 0:
            break
    else:
        pytest.fail("never forgotten")
    late = Ear(context(app, people.acme.owner.token).subscribe(UserChanged, TOPIC, after=ear.heard[0].id))
    assert isinstance(await late.ends(), EventsGone)


async def test_it_is_said_that_subscribers_are_still_there(app: Tenantry, database: Database, people: People) -> None:
    ear = await hear(app, people.acme.owner.token)
    database.admin.execute("update tenantry.watched_topics set seen = now() - interval '4 hours', closing = 1")
    watched_topics = hub_of(app).watched
    watched_topics._said_at = float("-inf")
    await watched_topics.say()
    assert database.value("select closing is null and seen > now() - interval '1 hour' from tenantry.watched_topics")
    await ear.stop()


async def test_who_is_signed_out_while_waiting_is_told(app: Tenantry, database: Database, people: People) -> None:
    with psycopg.connect(database.superuser.reveal()) as other:
        other.execute("select pg_catalog.pg_current_xact_id()")
        ear = Ear(context(app, people.acme.owner.token).subscribe(UserChanged, TOPIC, after=None))
        async with asyncio.timeout(20):
            while not watched(database):
                await asyncio.sleep(0.01)
        database.admin.execute("delete from public.auth_sessions")
        assert isinstance(await ear.ends(), Unauthorized)


def test_nobody_sees_or_says_who_watches(database: Database, people: People) -> None:
    with psycopg.connect(database.urls.platform.reveal(), autocommit=True) as platform:
        for asked in (
            "select * from tenantry.watched_topics",
            f"select tenantry.watch_topic('{people.acme.id}', 'users.changed')",
            "select tenantry.forget_watches()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                platform.execute(asked)
