"""What a subscriber is promised: what was committed, all of it, once, in order, of its own tenant, until its session ends."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel

from tenantry import Record, Tenantry
from tenantry.errors import EventsGone, SlowConsumer, TenantSuspended, Unauthorized
from tests.conftest import Cluster, Database, People
from tests.events.conftest import Said, context, listen, make, say
from tests.harness import Client, opened


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


@pytest.fixture
async def app(database: Database):
    async with opened(make(), database) as app:
        yield app


async def test_a_published_value_arrives_as_it_was_typed(app: Tenantry, people: People) -> None:
    ear = await listen(app, people.acme.member.token)
    client = Client(app, people.acme.owner.token)
    await say(client, "one", 'two "quoted" \\ and, {braces} ü \u0001')
    assert await ear.until(2) == ["one", 'two "quoted" \\ and, {braces} ü \u0001']
    assert isinstance(ear.heard[0].data, Said)
    assert ear.heard[0].id != ear.heard[1].id
    await ear.stop()


async def test_what_is_rolled_back_is_never_seen(app: Tenantry, people: People) -> None:
    ear = await listen(app, people.acme.member.token)
    client = Client(app, people.acme.owner.token)
    assert (await client.mutate("talk.sayAndFail", {"what": "lost"})).status == 500
    await say(client, "kept")
    assert await ear.until(1) == ["kept"]
    await ear.stop()


async def test_blocks_publish_what_they_commit(app: Tenantry, people: People) -> None:
    ear = await listen(app, people.acme.member.token)
    assert (await Client(app, people.acme.owner.token).mutate("talk.sayInBlocks", {"what": "b"})).status == 200
    await ear.until(2)
    await asyncio.sleep(0.1)
    assert [e.data.n for e in ear.heard] == [1, 3]
    await ear.stop()


async def test_one_transaction_s_events_keep_their_order(app: Tenantry, people: People) -> None:
    ear = await listen(app, people.acme.member.token)
    assert (await Client(app, people.acme.owner.token).mutate("talk.sayMany", {"count": 700})).status == 200
    await ear.until(700)
    assert [e.data.n for e in ear.heard] == list(range(700))
    await ear.stop()


async def test_it_begins_now_and_goes_on_after_an_id_without_gap_or_repeat(app: Tenantry, people: People) -> None:
    client = Client(app, people.acme.owner.token)
    await say(client, "before")
    ear = await listen(app, people.acme.member.token)
    await say(client, "1", "2", "3")
    assert await ear.until(3) == ["1", "2", "3"]
    await ear.stop()
    await say(client, "4", "5")
    for n in range(3):
        again = await listen(app, people.acme.member.token, after=ear.heard[n].id)
        if n == 2:
            await say(client, "6")
            assert await again.until(3) == ["4", "5", "6"]
        else:
            assert await again.until(4 - n) == ["1", "2", "3", "4", "5"][n + 1 :]
        await again.stop()


async def test_a_resume_over_many_pages_meets_the_live_events(app: Tenantry, people: People) -> None:
    client = Client(app, people.acme.owner.token)
    first = await listen(app, people.acme.member.token)
    await say(client, "first")
    await first.until(1)
    await first.stop()
    for _ in range(2):
        assert (await client.mutate("talk.sayMany", {"count": 800})).status == 200
    ear = await listen(app, people.acme.member.token, after=first.heard[0].id)
    await say(client, "last")
    said = await ear.until(1601)
    assert said[-1] == "last"
    assert [e.data.n for e in ear.heard[:-1]] == [*range(800), *range(800)]
    await ear.stop()


async def test_a_transaction_that_commits_late_is_not_skipped(
    app: Tenantry, database: Database, people: People
) -> None:
    """Its numbers were drawn first: who goes by them would have passed it. (The guard's fault is shown: the row is there, lower.)"""
    ear = await listen(app, people.acme.member.token)
    client = Client(app, people.acme.owner.token)
    with psycopg.connect(database.superuser.reveal()) as late:
        late.execute(
            "select tenantry.put_events(%s, array['talk.said'], array['{\"whatWas\": \"late\"}'])", (people.acme.id,)
        )
        await say(client, "early")
        await asyncio.sleep(0.3)
        during = list(ear.said)
        late.commit()
    await ear.until(2)
    assert sorted(ear.said) == ["early", "late"]
    assert during == [], "nothing passes a transaction that is open below it"
    places = database.admin.execute(
        "select value::json ->> 'whatWas' from tenantry.events where topic = 'talk.said' order by place, at"
    ).fetchall()
    assert [value for (value,) in places] == ear.said
    await ear.stop()


async def test_another_writer_s_open_transaction_repeats_nothing(
    app: Tenantry, database: Database, people: People
) -> None:
    """Events committed above the horizon before a subscription began came before it."""
    client = Client(app, people.acme.owner.token)
    with psycopg.connect(database.superuser.reveal()) as holder:
        holder.execute("create table held (id int)")
        await say(client, "before")
        ear = await listen(app, people.acme.member.token)
        await say(client, "after")
        await asyncio.sleep(0.1)
        holder.rollback()
    assert await ear.until(1) == ["after"]
    await asyncio.sleep(0.3)
    assert ear.said == ["after"]
    await ear.stop()


async def test_the_order_is_the_commits_order_whoever_began_first(
    app: Tenantry, database: Database, people: People
) -> None:
    """A transaction that wrote first and published last stands behind what was committed in between."""
    ear = await listen(app, people.acme.member.token)
    with psycopg.connect(database.superuser.reveal()) as first:
        first.execute("update users set created_at = created_at")  # has its transaction id now, lower than the other's
        await say(Client(app, people.acme.owner.token), "second")
        first.execute(
            "select tenantry.put_events(%s, array['talk.said'], array['{\"whatWas\": \"first\"}'])", (people.acme.id,)
        )
        first.commit()
    assert await ear.until(2) == ["second", "first"]
    await ear.stop()


async def test_two_workers_hear_of_each_other(database: Database, people: People) -> None:
    async with opened(make(), database) as one, opened(make(), database) as other:
        here, there = [await listen(app, people.acme.member.token) for app in (one, other)]
        for n in range(10):
            await say(Client(one if n % 2 else other, people.acme.owner.token), str(n))
        expected = [str(n) for n in range(10)]
        assert await here.until(10) == expected
        assert await there.until(10) == expected
        await here.stop()
        await there.stop()


async def test_a_killed_listening_connection_loses_nothing(database: Database, people: People) -> None:
    async with opened(make(), database) as one, opened(make(), database) as other:
        ear = await listen(other, people.acme.member.token)
        client = Client(one, people.acme.owner.token)
        await say(client, "0")
        await ear.until(1)
        for n in range(1, 6):
            database.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^listen|pg_notify|^select 1$'"
                " and usename = 'tenantry_auth' and datname = current_database()"
            )
            await say(client, str(n))
        assert await ear.until(6) == [str(n) for n in range(6)]
        await ear.stop()


async def test_a_restart_of_all_back_ends_loses_nothing(app: Tenantry, database: Database, people: People) -> None:
    ear = await listen(app, people.acme.member.token)
    client = Client(app, people.acme.owner.token)
    await say(client, "before")
    await ear.until(1)
    database.admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(20):
        while (await client.mutate("talk.say", {"what": "after"})).status != 200:
            await asyncio.sleep(0.05)
    assert (await ear.until(2))[:2] == ["before", "after"]
    await ear.stop()


async def test_fifty_tenants_hear_their_own_and_nothing_else(app: Tenantry, database: Database) -> None:
    ears, clients = [], []
    for n in range(50):
        database.add_tenant(f"t{n}")
        token = database.add_member(f"t{n}", f"p@t{n}.example", "owner").token
        clients.append(Client(app, token))
        ears.append(await listen(app, token))
    for turn in range(3):
        await asyncio.gather(*(say(client, f"t{n}.{turn}") for n, client in enumerate(clients)))
    for n, ear in enumerate(ears):
        assert await ear.until(3) == [f"t{n}.{turn}" for turn in range(3)]
    # Another tenant's id is no id: the answer is that of one that never was.
    foreign = await listen(app, clients[0].headers["authorization"].removeprefix("Bearer "), after=ears[1].heard[0].id)
    assert isinstance(foreign.error, EventsGone)
    for ear in ears:
        await ear.stop()


async def test_an_id_that_is_no_longer_kept_is_said_so(app: Tenantry, database: Database, people: People) -> None:
    client = Client(app, people.acme.owner.token)
    ear = await listen(app, people.acme.member.token)
    await say(client, "old")
    await ear.until(1)
    database.admin.execute("update tenantry.event_ring set since = now() - interval '1 year'")
    for _ in range(8):
        said = database.value("select tenantry.keep_events(interval '1 minute', 1099511627776)")
        assert said.startswith("slot "), said
        database.admin.execute("update tenantry.event_ring set since = now() - interval '1 year'")
    await say(client, "new")
    assert await ear.until(2) == ["old", "new"]
    for lost in (ear.heard[0].id, "00000000-0000-0000-0000-000000000000", "garbage", ""):
        error = await (await listen(app, people.acme.member.token, after=lost)).ends() if lost != "" else EventsGone()
        assert isinstance(error, EventsGone), lost
    assert database.value("select tenantry.keep_events(interval '1 day', 1099511627776)") is not None
    await ear.stop()


@pytest.mark.parametrize("how", ["revoked", "expired", "removed", "suspended"])
async def test_a_subscription_ends_with_its_session(
    app: Tenantry, database: Database, people: People, how: str
) -> None:
    ears = [await listen(app, people.acme.member.token) for _ in range(5)]
    other = await listen(app, people.acme.admin.token)
    statement = {
        "revoked": "delete from auth_sessions where token_hash = sha256(convert_to($1, 'UTF8'))",
        "expired": "update auth_sessions set expires = now() where token_hash = sha256(convert_to($1, 'UTF8'))",
        "removed": "delete from users where id = (select u.id from users u join auth_sessions s using (identity_id)"
        " where s.token_hash = sha256(convert_to($1, 'UTF8')))",
        "suspended": "update tenantry.tenants set status = 'suspended' from auth_sessions s where tenants.id = s.tenant_id"
        " and s.token_hash = sha256(convert_to($1, 'UTF8'))",
    }[how]
    database.admin.execute(statement, (people.acme.member.token,))
    for ear in ears:
        error = await ear.ends(10)
        assert isinstance(error, TenantSuspended if how == "suspended" else Unauthorized), error
    if how == "suspended":
        assert await other.ends(10) is not None
    else:
        assert other.error is None
    await other.stop()


async def test_who_loses_the_right_loses_the_subscription(app: Tenantry, database: Database, people: People) -> None:
    from tests.events.conftest import Ear

    ear = Ear(context(app, people.acme.admin.token, need="admin").subscribe(Said, "talk.said"))
    await asyncio.sleep(0.3)
    database.admin.execute("update users set role = 'member' where id = $1", (people.acme.admin.user_id,))
    assert type(await ear.ends(10)).__name__ == "Forbidden"


async def test_a_slow_consumer_is_told_and_goes_on_after_its_last_id(database: Database, people: People) -> None:
    async with opened(make(), database, events_queue=10) as app:
        client = Client(app, people.acme.owner.token)
        slow = context(app, people.acme.member.token).subscribe(Said, "talk.said")
        first = asyncio.ensure_future(anext(slow))
        quick = await listen(app, people.acme.member.token)
        await asyncio.sleep(0.2)
        await say(client, "0")
        got = await first
        # One after the other: of more than ten at once the quick one would be too slow as well.
        for number in range(1, 20):
            await say(client, str(number))
            await quick.until(number + 1)
        with pytest.raises(SlowConsumer):
            [await anext(slow) for _ in range(20)]
        again = await listen(app, people.acme.member.token, after=got.id)
        assert await again.until(19) == [str(n) for n in range(1, 20)]
        await quick.stop()
        await again.stop()


async def test_nobody_without_a_session_subscribes(app: Tenantry) -> None:
    ear = await listen(app, "nobody")
    assert isinstance(ear.error, Unauthorized)


async def test_it_holds_no_connection_and_leaves_nothing_behind(app: Tenantry, people: People) -> None:
    ears = [await listen(app, people.acme.member.token) for _ in range(50)]
    await asyncio.sleep(0.1)
    state = app._state  # pyright: ignore[reportPrivateUsage]
    assert state is not None
    stats = state.pool.stats()
    assert stats.idle == stats.open
    for ear in ears:
        await ear.stop()
    del ears, ear
    gc.collect()
    await asyncio.sleep(0.05)
    assert not state.hub.channels
    assert not state.hub.watch.members


async def test_a_query_cannot_publish_and_too_much_is_refused(app: Tenantry, people: People) -> None:
    client = Client(app, people.acme.owner.token)
    assert (await client.query("talk.sayInAQuery")).code == "INTERNAL_SERVER_ERROR"
    assert (await client.mutate("talk.say", {"what": "x" * 70_000})).code == "PAYLOAD_TOO_LARGE"
    assert (await client.mutate("talk.say", {"what": "x", "topic": "no topic!"})).status == 500
    assert (await client.mutate("talk.sayMany", {"count": 1001})).status == 500


async def test_closing_ends_subscriptions_so_that_clients_go_elsewhere(database: Database, people: People) -> None:
    app = make()
    async with opened(app, database):
        ear = await listen(app, people.acme.member.token)
    assert type(await ear.ends()).__name__ == "SubscriptionsClosed"


async def test_users_changed_tells_of_every_change_of_a_membership(
    app: Tenantry, database: Database, people: People
) -> None:
    from tenantry.tenancy.procedures import UserChanged

    ear = await listen(app, people.acme.member.token, topic="users.changed", kind=UserChanged)
    foreign = await listen(app, people.globex.member.token, topic="users.changed", kind=UserChanged)
    owner, member = Client(app, people.acme.owner.token), people.acme.member.user_id
    assert (await owner.mutate("users.update", {"id": str(member), "name": "Mel"})).status == 200
    assert (
        await owner.mutate("users.update", {"id": str(member), "name": "Mel"})
    ).status == 200  # no difference, no event
    assert (await owner.mutate("users.update", {"id": str(member), "role": "admin"})).status == 200
    new = database.add_member("acme", "new@acme.example", "member")
    assert (await owner.mutate("users.delete", {"id": str(new.user_id)})).status == 200
    await ear.until(4)
    assert [(e.data.id, e.data.change) for e in ear.heard] == [
        (member, "updated"),
        (member, "updated"),
        (new.user_id, "added"),
        (new.user_id, "removed"),
    ]
    assert foreign.heard == []
    await ear.stop()
    await foreign.stop()


async def test_a_type_that_does_not_fit_is_said_so(app: Tenantry, people: People) -> None:
    """Also one that nothing can be decoded to; Pydantic models fit as they do elsewhere; `object` takes anything."""

    class Other(Record):
        missing: int

    class Foreign(BaseModel):
        whatWas: str

    class Odd:
        pass

    kinds = (Other, Odd, Foreign, object, dict[str, Any])
    ears = [await listen(app, people.acme.member.token, kind=kind) for kind in kinds]
    await say(Client(app, people.acme.owner.token), "1")
    for ear in ears[:2]:
        assert type(await ear.ends()).__name__ == "EventShape"
    for ear in ears[2:]:
        await ear.until(1)
    assert ears[2].heard[0].data == Foreign(whatWas="1")
    assert ears[3].heard[0].data == {"whatWas": "1", "n": 0}
    for ear in ears:
        await ear.stop()
