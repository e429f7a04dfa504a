"""Streams of a tenant: decided by the database before anything runs, ended with their session, closed when the client goes."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conftest import Database, People
from tests.dispatch.conftest import Served, bearer, sse


def end_sessions(database: Database) -> None:
    database.admin.execute("delete from auth_sessions")


@pytest.mark.parametrize(
    ("path", "token", "code"),
    [
        ("notes.counted", "nobody", "UNAUTHORIZED"),
        ("notes.counted", None, "UNAUTHORIZED"),
        ("notes.forAdmins", "member", "FORBIDDEN"),
    ],
)
async def test_who_may_not_is_told_in_the_stream(
    served: Served, people: People, path: str, token: str | None, code: str
) -> None:
    headers = {} if token is None else bearer(people.acme.member.token if token == "member" else token)
    async with httpx.AsyncClient() as http, http.stream("GET", f"{served.url}/{path}", headers=headers) as response:
        events = [event async for event in sse(response)]
    assert [event["event"] for event in events] == ["connected", "serialized-error"]
    assert json.loads(events[1]["data"])["data"]["code"] == code


async def test_a_handler_without_a_statement_is_decided_by_the_database_all_the_same(
    served: Served, people: People
) -> None:
    assert (await served.client("nobody").query("notes.nothingRead")).code == "UNAUTHORIZED"
    assert (await served.client(people.acme.member.token).query("notes.nothingRead")).code == "FORBIDDEN"
    assert (await served.client(people.acme.admin.token).query("notes.nothingRead")).data == "secret"


async def test_a_subscription_goes_on_after_the_last_id_and_reads_its_own_tenant(
    served: Served, people: People
) -> None:
    await served.client(people.globex.owner.token).mutate("notes.add", {"body": "theirs"})
    headers = {**bearer(people.acme.member.token), "last-event-id": "41"}
    async with (
        httpx.AsyncClient() as http,
        http.stream("GET", f"{served.url}/notes.counted", headers=headers) as response,
    ):
        events = sse(response)
        assert (await anext(events))["event"] == "connected"
        assert await anext(events) == {"data": "0", "id": "42"}


async def test_a_token_may_come_as_a_connection_param(served: Served, people: People) -> None:
    params = {"connectionParams": json.dumps({"token": people.acme.member.token})}
    async with (
        httpx.AsyncClient() as http,
        http.stream("GET", f"{served.url}/notes.counted", params=params) as response,
    ):
        events = sse(response)
        await anext(events)
        assert (await anext(events))["data"] == "0"


async def test_a_stream_ends_within_five_seconds_of_its_session(
    served: Served, people: People, database: Database
) -> None:
    headers = bearer(people.acme.member.token)
    async with (
        httpx.AsyncClient(timeout=30) as http,
        http.stream("GET", f"{served.url}/notes.counted", headers=headers) as response,
    ):
        events = sse(response)
        await anext(events)
        await anext(events)
        end_sessions(database)
        started = time.monotonic()
        last = [event async for event in events][-1]
    assert json.loads(last["data"])["data"]["code"] == "UNAUTHORIZED"
    assert time.monotonic() - started < 5


async def test_a_socket_ends_within_five_seconds_of_its_session(
    served: Served, people: People, database: Database
) -> None:
    url = f"ws://127.0.0.1:{served.port}/trpc"
    async with connect(url, additional_headers=bearer(people.acme.member.token)) as socket:
        await socket.send(json.dumps({"id": 1, "method": "query", "params": {"path": "notes.all"}}))
        assert json.loads(await socket.recv()) == {"id": 1, "result": {"type": "data", "data": []}}
        end_sessions(database)
        started = time.monotonic()
        await asyncio.wait_for(socket.wait_closed(), 20)
    assert (socket.close_code, time.monotonic() - started < 5) == (1008, True)


@pytest.mark.parametrize(("origin", "is_let_in"), [("http://evil.example", False), ("", True)])
async def test_another_sites_page_opens_no_socket_with_this_sites_cookie(
    served: Served, people: People, origin: str, is_let_in: bool
) -> None:
    headers = {"cookie": f"authjs.session-token={people.acme.member.token}"}
    headers["origin"] = origin or f"http://127.0.0.1:{served.port}"
    opening = connect(f"ws://127.0.0.1:{served.port}/trpc", additional_headers=headers)
    if is_let_in:
        async with opening:
            return
    with pytest.raises(InvalidStatus, match="403"):
        await opening


async def test_a_deferred_member_has_a_transaction_of_its_own(served: Served, people: People) -> None:
    headers = {**bearer(people.acme.member.token), "trpc-accept": "application/jsonl"}
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"{served.url}/notes.later,notes.each", params={"batch": "1"}, headers=headers)
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[0] == {"0": [[0], [None, 0, 0]], "1": [[0], [None, 0, 1]]}
    assert any(
        line[2] == [[{"now": 0, "later": 0}], ["later", 0, line[2][1][2]]] for line in lines[1:] if len(line[2]) > 1
    )


async def test_a_refused_credential_fails_a_streamed_iterator_before_it_begins(served: Served) -> None:
    headers = {**bearer("nobody"), "trpc-accept": "application/jsonl"}
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"{served.url}/notes.each", params={"batch": "1"}, headers=headers)
    assert json.loads(reply.text.splitlines()[1])[2][0][0]["error"]["data"]["code"] == "UNAUTHORIZED"


async def test_a_batch_holds_no_more_connections_than_its_share(
    served: Served, people: People, database: Database
) -> None:
    paths = ",".join(["notes.addSlowly"] * 6)
    inputs = {str(n): {"body": "x", "ms": 300} for n in range(6)}
    client = served.client(people.acme.member.token)
    asked = asyncio.create_task(
        client.send(
            "POST", f"/trpc/{paths}", "batch=1", json.dumps(inputs).encode(), {"content-type": "application/json"}
        )
    )
    await asyncio.sleep(0.2)
    state = served.app._state  # pyright: ignore[reportPrivateUsage]
    assert state is not None
    assert state.pool.stats().busy <= 2  # the pool has four
    assert [item["result"]["data"]["body"] for item in (await asked).json] == ["x"] * 6


async def test_draining_sends_subscribers_elsewhere(served: Served, people: People) -> None:
    headers = bearer(people.acme.member.token)
    async with (
        httpx.AsyncClient(timeout=30) as http,
        http.stream("GET", f"{served.url}/notes.counted", headers=headers) as response,
    ):
        events = sse(response)
        await anext(events)
        await anext(events)
        state = served.app._state  # pyright: ignore[reportPrivateUsage]
        assert state is not None
        state.dispatcher.drain()
        rest = [event async for event in events]
    assert all(event.get("event") != "return" for event in rest)
