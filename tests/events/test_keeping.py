"""The table of events stays bounded: who keeps it, that one at a time does, and that a slot in use is not emptied."""

from __future__ import annotations

import asyncio
import gc
import time

import psutil
import psycopg
import pytest

from tests.conftest import Database, People
from tests.events.conftest import Said, context, make
from tests.harness import Client, opened


def age(database: Database) -> None:
    database.admin.execute("update tenantry.event_ring set since = now() - interval '1 day'")


async def test_a_worker_turns_the_ring_when_it_is_time_and_not_before(database: Database, people: People) -> None:
    database.value("select tenantry.put_events($1, array['t'], array['1'])", people.acme.id)
    async with opened(make(), database) as app:
        keeper = app._state.hub.keeper  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        assert await keeper.keep() == "nothing to do"
        for slot in (1, 2, 3, 4, 5, 6, 7, 0, 1):
            age(database)
            assert await keeper.keep() == f"slot {slot} is written now"
        assert await keeper.keep() == "nothing to do"
        assert (await Client(app, people.acme.owner.token).mutate("talk.say", {"what": "x"})).status == 200
    assert database.value("select slot from tenantry.events where topic = 'talk.said'") == 1
    # What was published in slot 0 went when the ring came round, and is known to be gone.
    assert database.value("select count(*) from tenantry.events where slot = 0") == 0
    assert database.value("select gone > 0 from tenantry.event_ring") is True


def test_a_turn_that_was_undone_loses_no_event(database: Database, people: People) -> None:
    """The slot moves on at once, also for a keeper that is undone before its commit: the next one must not empty what came since."""
    put = "select tenantry.put_events($1, array['t'], array['1'])"
    for _ in range(2):
        age(database)
        with psycopg.connect(database.superuser.reveal()) as keeper:
            keeper.execute("select tenantry.keep_events(interval '1 day', 1073741824)")
            keeper.rollback()
        database.value(put, people.acme.id)
    age(database)
    database.value("select tenantry.keep_events(interval '1 day', 1073741824)")
    database.value(put, people.acme.id)
    assert database.value("select count(*) from tenantry.events where topic = 't'") == 3
    assert database.value("select string_agg(distinct slot::text, '') from tenantry.events where topic = 't'") == "123"
    assert database.value("select slot from tenantry.event_ring") == 3


def test_beyond_its_room_the_oldest_go_before_their_time(database: Database, people: People) -> None:
    for _ in range(200):
        database.value(
            "select tenantry.put_events($1, array['t'],"
            " array[(select string_agg(gen_random_uuid()::text, '') from generate_series(1, 400))])",
            people.acme.id,
        )
    assert database.value("select tenantry.keep_events(interval '1 day', 1048576)") == "slot 1 is written now"
    assert database.value("select tenantry.keep_events(interval '1 day', 1073741824)") == "nothing to do"


def test_one_at_a_time_and_never_a_slot_that_is_held(database: Database, people: People) -> None:
    database.value("select tenantry.put_events($1, array['t'], array['1'])", people.acme.id)
    age(database)
    with psycopg.connect(database.superuser.reveal()) as other:
        other.execute("select tenantry.keep_events(interval '1 day', 1073741824)")
        assert "another worker" in database.value("select tenantry.keep_events(interval '1 day', 1073741824)")
        other.rollback()
    for _ in range(6):  # the turn that was undone has moved on as well
        age(database)
        database.value("select tenantry.keep_events(interval '1 day', 1073741824)")
    age(database)
    with psycopg.connect(database.superuser.reveal()) as reader:
        reader.execute("select count(*) from tenantry.events")
        assert "still holds" in database.value("select tenantry.keep_events(interval '1 day', 1073741824)")
        assert database.value("select slot from tenantry.event_ring") == 7
    assert database.value("select tenantry.keep_events(interval '1 day', 1073741824)") == "slot 0 is written now"


@pytest.mark.soak
async def test_ten_thousand_subscriptions(database: Database, people: People) -> None:
    count, heard = 10_000, [0]
    async with opened(make(), database, pool_size=10) as app:

        async def hear() -> None:
            async for _ in context(app, people.acme.member.token).subscribe(Said, "talk.said"):
                heard[0] += 1

        gc.collect()
        before = psutil.Process().memory_info().rss
        tasks = [asyncio.create_task(hear()) for _ in range(count)]
        hub = app._state.hub  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        async with asyncio.timeout(120):
            while sum(len(channel.members) for channel in hub.channels.values()) < count:
                await asyncio.sleep(0.1)
        gc.collect()
        each = (psutil.Process().memory_info().rss - before) / count
        for turn in range(1, 6):
            assert (await Client(app, people.acme.owner.token).mutate("talk.say", {"what": "x"})).status == 200
            began = time.perf_counter()
            async with asyncio.timeout(30):
                while heard[0] < turn * count:
                    await asyncio.sleep(0.005)
            print(f"{count} heard after {time.perf_counter() - began:.3f} s, {each:.0f} bytes each")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert each < 20_000
