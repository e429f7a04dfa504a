"""`Idempotency-Key`: done once, answered twice; each claim as a client sees it."""

from __future__ import annotations

import asyncio

from tests.conftest import Database, People
from tests.dispatch.conftest import Served

KEY = {"idempotency-key": "one"}


def count(database: Database) -> int:
    return database.value("select count(*) from notes")


async def test_the_second_time_the_first_answer_is_given_again(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    first = await member.mutate("notes.add", {"body": "x"}, headers=KEY)
    second = await member.mutate("notes.add", {"body": "x"}, headers=KEY)
    assert first.data == second.data
    assert (first.header("idempotency-replayed"), second.header("idempotency-replayed")) == (None, "true")
    assert count(database) == 1


async def test_without_a_key_nothing_is_kept(served: Served, people: People, database: Database) -> None:
    member = served.client(people.acme.member.token)
    await member.mutate("notes.add", {"body": "x"})
    await member.mutate("notes.add", {"body": "x"})
    assert (count(database), database.value("select count(*) from tenantry.idempotency_keys")) == (2, 0)


async def test_another_request_under_the_same_key_is_refused(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    await member.mutate("notes.add", {"body": "x"}, headers=KEY)
    other = await member.mutate("notes.add", {"body": "y"}, headers=KEY)
    assert (other.status, other.code, count(database)) == (422, "UNPROCESSABLE_CONTENT", 1)


async def test_a_key_is_its_members_own(served: Served, people: People, database: Database) -> None:
    for person in (people.acme.member, people.acme.admin, people.globex.member):
        reply = await served.client(person.token).mutate("notes.add", {"body": "x"}, headers=KEY)
        assert reply.status == 200
    assert count(database) == 3


async def test_while_the_first_is_under_way_the_second_conflicts(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    first = asyncio.create_task(member.mutate("notes.addSlowly", {"body": "x", "ms": 800}, headers=KEY))
    await asyncio.sleep(0.3)
    second = await member.mutate("notes.addSlowly", {"body": "x", "ms": 800}, headers=KEY)
    assert (second.code, (await first).status) == ("CONFLICT", 200)
    third = await member.mutate("notes.addSlowly", {"body": "x", "ms": 800}, headers=KEY)
    assert (third.data, count(database)) == ((await first).data, 1)


async def test_what_failed_is_not_kept_and_may_be_tried_again(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    for _ in range(2):
        assert (await member.mutate("notes.failAfter", {"body": "x"}, headers=KEY)).status == 500
    assert (count(database), database.value("select count(*) from tenantry.idempotency_keys")) == (0, 0)


async def test_after_a_day_a_key_may_be_used_again(served: Served, people: People, database: Database) -> None:
    member = served.client(people.acme.member.token)
    await member.mutate("notes.add", {"body": "x"}, headers=KEY)
    database.admin.execute("update tenantry.idempotency_keys set created_at = now() - interval '25 hours'")
    assert (await member.mutate("notes.add", {"body": "y"}, headers=KEY)).status == 200
    assert count(database) == 2


async def test_the_key_is_kept_by_hash_and_the_request_too(served: Served, people: People, database: Database) -> None:
    await served.client(people.acme.member.token).mutate("notes.add", {"body": "my secret"}, headers=KEY)
    row = database.admin.execute("select key_hash, request_hash from tenantry.idempotency_keys").fetchone()
    assert row is not None
    assert [len(part) for part in row] == [32, 32]


async def test_a_key_that_is_none_is_refused(served: Served, people: People) -> None:
    reply = await served.client(people.acme.member.token).mutate(
        "notes.add", {"body": "x"}, headers={"idempotency-key": ""}
    )
    assert reply.code == "BAD_REQUEST"
