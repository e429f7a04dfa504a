"""`Idempotency-Key`: done once, answered twice; each claim as a client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tenantry.settings import DatabaseUrl
from tests.conftest import Database, People
from tests.dispatch.conftest import TABLE, Served, application
from tests.harness import Client, opened

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


# ------------------------------------------------------------------ what else may come under one key


async def test_two_at_once_are_done_once(served: Served, people: People, database: Database) -> None:
    member = served.client(people.acme.member.token)
    replies = await asyncio.gather(*(member.mutate("notes.add", {"body": "x"}, headers=KEY) for _ in range(8)))
    assert count(database) == 1
    assert {reply.status for reply in replies} <= {200, 409}
    assert len({reply.data["id"] for reply in replies if reply.status == 200}) == 1


async def test_each_call_of_a_batch_has_its_own_place_under_the_key(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    body = json.dumps({"0": {"body": "x"}, "1": {"body": "x"}, "2": {"body": "x"}}).encode()
    headers = {**KEY, "content-type": "application/json"}
    path = "/trpc/notes.add,notes.add,notes.failAfter"
    first, second = [await member.send("POST", path, "batch=1", body, headers) for _ in range(2)]
    assert [one.get("result") for one in first.json] == [one.get("result") for one in second.json]
    assert [one["error"]["data"]["code"] for one in (first.json[2], second.json[2])] == ["INTERNAL_SERVER_ERROR"] * 2
    assert (first.status, second.header("idempotency-replayed"), count(database)) == (207, "true", 2)


async def test_another_procedure_or_transformer_under_the_same_key_is_refused(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    await member.mutate("notes.add", {"body": "x"}, headers=KEY)
    other = await member.mutate("notes.addInBlocks", {"body": "x"}, headers=KEY)
    body, headers = json.dumps({"json": {"body": "x"}}).encode(), {**KEY, "content-type": "application/json"}
    rich = await member.send("POST", "/rich/notes.add", body=body, headers=headers)
    assert (other.status, rich.status, count(database)) == (422, 422, 1)


async def test_queries_and_sockets_know_of_no_key(served: Served, people: People, database: Database) -> None:
    member = served.client(people.acme.member.token)
    assert (await member.query("notes.all", headers=KEY)).data == []
    assert database.value("select count(*) from tenantry.idempotency_keys") == 0


async def test_a_handler_that_does_nothing_keeps_its_answer_too(served: Served, people: People) -> None:
    member = served.client(people.acme.member.token)
    replies = [await member.mutate("notes.doesNothing", headers=KEY) for _ in range(2)]
    assert [(one.data, one.header("idempotency-replayed")) for one in replies] == [(7, None), (7, "true")]


async def test_who_may_not_call_hears_so_and_takes_no_key(served: Served, people: People, database: Database) -> None:
    assert (await served.client("nobody").mutate("notes.add", {"body": "x"}, headers=KEY)).code == "UNAUTHORIZED"
    assert database.value("select count(*) from tenantry.idempotency_keys") == 0


# ------------------------------------------------------------------ a handler with blocks


async def test_a_handler_with_blocks_is_done_once_and_answers_twice(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    first, second = [await member.mutate("notes.addInBlocks", {"body": "x"}, headers=KEY) for _ in range(2)]
    assert first.data == second.data == [1, 2]
    assert (second.header("idempotency-replayed"), count(database)) == ("true", 2)


async def test_what_broke_off_before_a_block_was_committed_may_be_tried_again(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    for where in ("at once", "first", "first"):
        reply = await member.mutate("notes.addInBlocks", {"body": "x", "fails": where}, headers=KEY)
        assert reply.code == "BAD_GATEWAY"
        assert count(database) == 0
        assert database.value("select count(*) from tenantry.idempotency_keys") == 0


@pytest.mark.parametrize(("where", "written"), [("between", 1), ("second", 1)])
async def test_what_broke_off_after_a_block_is_not_begun_again(
    served: Served, people: People, database: Database, where: str, written: int
) -> None:
    member = served.client(people.acme.member.token)
    given = {"body": "x", "fails": where}
    assert (await member.mutate("notes.addInBlocks", given, headers=KEY)).code == "BAD_GATEWAY"
    again = await member.mutate("notes.addInBlocks", given, headers=KEY)
    assert (again.code, "look at what was done" in again.error["message"]) == ("CONFLICT", True)
    assert count(database) == written


async def test_the_key_goes_into_the_next_block_when_the_first_is_undone(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    given = {"body": "again", "fails": "first"}
    first, second = [await member.mutate("notes.addInBlocks", given, headers=KEY) for _ in range(2)]
    assert (first.status, second.data, count(database)) == (200, first.data, 2)


async def test_between_two_blocks_the_second_request_conflicts(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    given = {"body": "x", "ms": 800}
    first = asyncio.create_task(member.mutate("notes.addInBlocks", given, headers=KEY))
    await asyncio.sleep(0.3)
    assert (await member.mutate("notes.addInBlocks", given, headers=KEY)).code == "CONFLICT"
    assert (await first).status == 200
    assert (await member.mutate("notes.addInBlocks", given, headers=KEY)).data == (await first).data
    assert count(database) == 2


async def test_blocks_side_by_side_share_the_key(served: Served, people: People, database: Database) -> None:
    member = served.client(people.acme.member.token)
    replies = [await member.mutate("notes.addInTwoAtOnce", {"body": "x"}, headers=KEY) for _ in range(2)]
    assert ([one.data for one in replies], count(database)) == ([2, 2], 2)


async def test_blocks_after_bare_statements_are_the_builders_mistake_with_a_key_or_without(
    served: Served, people: People, database: Database
) -> None:
    member = served.client(people.acme.member.token)
    for headers in ({}, KEY):
        reply = await member.mutate("notes.mixes", {"body": "x"}, headers=headers)
        assert "TRANSACTION_MIXED" in reply.error["data"]["help"]
    assert (count(database), database.value("select count(*) from tenantry.idempotency_keys")) == (0, 0)


# ------------------------------------------------------------------ an outcome that nobody heard


class Silencer:
    """A proxy before PostgreSQL: once armed it lets the next COMMIT through, and cuts the line instead of its answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.is_armed = False
        self.meetings: set[asyncio.Task[None]] = set()

    def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.meetings.add(asyncio.ensure_future(self.meet(reader, writer)))

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        is_cut = False

        async def forth() -> None:
            nonlocal is_cut
            while data := await reader.read(65536):
                if self.is_armed and b"commit" in data.lower():
                    self.is_armed, is_cut = False, True
                back.write(data)
                await back.drain()

        async def home() -> None:
            while (data := await there.read(65536)) and not is_cut:
                writer.write(data)
                await writer.drain()

        ways = [asyncio.ensure_future(forth()), asyncio.ensure_future(home())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.transport.abort()
        back.transport.abort()


@asynccontextmanager
async def silenced(database: Database) -> AsyncIterator[tuple[Silencer, DatabaseUrl]]:
    place = database.urls.platform.place
    silencer = Silencer(int(place.split(":")[1]))
    server = await asyncio.start_server(silencer.met, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield silencer, DatabaseUrl(database.urls.platform.reveal().replace(place, f"127.0.0.1:{port}"))
    finally:
        server.close()
        await asyncio.wait(silencer.meetings, timeout=10)


@pytest.mark.parametrize(("path", "again"), [("notes.add", 200), ("notes.addSlowly", 200), ("notes.addInBlocks", 409)])
async def test_after_an_unknown_outcome_the_same_key_never_does_it_twice(
    database: Database, people: People, path: str, again: int
) -> None:
    database.admin.execute("set role tenantry_owner")
    for statement in TABLE.strip().split("\n"):
        database.admin.execute(statement)
    database.admin.execute("reset role")
    given = {"body": "x"} | ({"ms": 0} if path == "notes.addSlowly" else {})
    async with silenced(database) as (silencer, url), opened(application(), database, database_url=url) as app:
        member = Client(app, people.acme.member.token)
        silencer.is_armed = True
        lost = await member.mutate(path, given, headers=KEY)
        assert lost.error["data"]["outcome"] == "unknown", lost.json
        replies = [await member.mutate(path, given, headers=KEY) for _ in range(2)]
        assert [one.status for one in replies] == [again] * 2
    assert count(database) == 1
