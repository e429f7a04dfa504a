"""Bad input over a real socket and real PostgreSQL: the right code, the field at fault, and never a trace or a secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tenantry import Tenantry
from tenantry.http import HttpLimits, NativeServer, bind
from tests.conftest import Database, People
from tests.harness import Client, opened


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Tenantry]:
    async with opened(Tenantry(), database, max_body_bytes=10_000, env="production") as app:
        yield app


UPDATE = "users.update"
BODIES: list[tuple[bytes, str]] = [
    (b"{", "BAD_REQUEST"),
    (b"[]", "BAD_REQUEST"),
    (b"null", "BAD_REQUEST"),
    (b'"text"', "BAD_REQUEST"),
    (b"{}", "BAD_REQUEST"),
    (b'{"id":1,"name":"x"}', "BAD_REQUEST"),
    (b'{"id":"not-a-uuid","name":"x"}', "BAD_REQUEST"),
    (b'{"id":"ID","name":""}', "BAD_REQUEST"),
    (b'{"id":"ID","name":null}', "BAD_REQUEST"),
    (b'{"id":"ID","name":["x"]}', "BAD_REQUEST"),
    (b'{"id":"ID","name":"' + b"x" * 201 + b'"}', "BAD_REQUEST"),
    (b'{"id":"ID","role":"king"}', "BAD_REQUEST"),
    (b'{"id":"ID","name":"a\\u0000b"}', "BAD_REQUEST"),
    (b'{"id":"ID","name":"\\ud800"}', "BAD_REQUEST"),
    (b'{"id":"ID","name":"\xff\xfe"}', "BAD_REQUEST"),
    (b'{"id":"ID","name":' + b"[" * 5000 + b"]" * 5000 + b"}", "BAD_REQUEST"),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
async def test_a_bad_body_is_refused_and_changes_nothing(app: Tenantry, people: People, body: bytes, code: str) -> None:
    client, own = Client(app, people.acme.owner.token), str(people.acme.owner.user_id)
    before = (await client.query("users.get", {"id": own})).data
    sent = body.replace(b"ID", own.encode())
    reply = await client.send("POST", f"/trpc/{UPDATE}", body=sent, headers={"content-type": "application/json"})
    assert (reply.status, reply.code) == (400, code), reply.json
    assert "Traceback" not in json.dumps(reply.json)
    assert (await client.query("users.get", {"id": own})).data == before


async def test_every_fault_is_named_by_its_field(app: Tenantry, people: People) -> None:
    reply = await Client(app, people.acme.owner.token).mutate(UPDATE, {"id": "x", "name": "", "role": "king"})
    assert sorted(issue["path"][0] for issue in reply.error["data"]["issues"]) == ["id", "name", "role"]


async def test_unknown_fields_are_dropped(app: Tenantry, people: People) -> None:
    own = str(people.acme.owner.user_id)
    reply = await Client(app, people.acme.owner.token).mutate(UPDATE, {"id": own, "name": "Ann", "isAdmin": True})
    assert (reply.data["name"], "isAdmin" in reply.data) == ("Ann", False)


@pytest.mark.parametrize("limit", [0, -1, 101, 10**30, 1.5, "20", None, True])
async def test_a_limit_out_of_range_is_refused(app: Tenantry, people: People, limit: Any) -> None:
    assert (await Client(app, people.acme.owner.token).query("users.list", {"limit": limit})).code == "BAD_REQUEST"


async def test_a_whole_float_is_an_integer(app: Tenantry, people: People) -> None:
    reply = await Client(app, people.acme.owner.token).send("GET", "/trpc/users.list", "input=%7B%22limit%22%3A2.0%7D")
    assert len(reply.data["items"]) == 2


@pytest.mark.parametrize("after", ["", "x", "bm9wZQ", "WyJhIl0", "' or true --", "W10", "é"])
async def test_a_cursor_of_ones_own_making_is_refused(app: Tenantry, people: People, after: str) -> None:
    reply = await Client(app, people.acme.owner.token).query("users.list", {"after": after})
    assert (reply.code, reply.error["data"]["issues"][0]["path"]) == ("BAD_REQUEST", ["after"])


@pytest.mark.parametrize(
    "token", ["", "x", "Bearer", "é", "a" * 5000, "tok\x00en", "' or true --", "0" * 64]
)  # fmt: skip
async def test_a_garbage_token_is_nobodys(app: Tenantry, token: str) -> None:
    reply = await Client(app, token).query("users.list")
    assert (reply.status, reply.code, reply.error["message"]) == (
        401,
        "UNAUTHORIZED",
        "No active session - please sign in",
    )


async def test_an_expired_token_is_nobodys(app: Tenantry, people: People, database: Database) -> None:
    client = Client(app, people.acme.owner.token)
    assert (await client.query("users.list")).status == 200
    database.admin.execute("update auth_sessions set expires = now() - interval '1 second'")
    assert (await client.query("users.list")).code == "UNAUTHORIZED"


async def test_a_suspended_tenant_is_shut_at_once(app: Tenantry, people: People, database: Database) -> None:
    client = Client(app, people.acme.owner.token)
    assert (await client.query("users.list")).status == 200
    database.admin.execute("update tenantry.tenants set status = 'suspended' where slug = 'acme'")
    reply = await client.query("users.list")
    assert (reply.code, reply.error["message"]) == ("FORBIDDEN", "This tenant is suspended.")
    assert (await Client(app, people.globex.owner.token).query("users.list")).status == 200


async def test_an_unknown_id_and_a_foreign_one_are_told_apart_by_nothing(app: Tenantry, people: People) -> None:
    client = Client(app, people.acme.owner.token)
    foreign = await client.query("users.get", {"id": str(people.globex.owner.user_id)})
    unknown = await client.query("users.get", {"id": str(uuid4())})
    assert foreign.json == unknown.json


async def test_a_failing_call_of_a_batch_fails_alone(app: Tenantry, people: People) -> None:
    own = str(people.acme.owner.user_id)
    inputs = json.dumps({"0": {"id": own}, "1": {"id": str(people.globex.owner.user_id)}, "2": {"id": 5}})
    from urllib.parse import quote

    client = Client(app, people.acme.owner.token)
    reply = await client.send("GET", "/trpc/users.get,users.get,users.get,no.such", f"batch=1&input={quote(inputs)}")
    codes = [item.get("error", {}).get("data", {}).get("code") for item in reply.json]
    assert (reply.status, codes) == (207, [None, "NOT_FOUND", "BAD_REQUEST", "NOT_FOUND"])


# ------------------------------------------------------------------ on the socket


@pytest.fixture
async def port(app: Tenantry) -> AsyncIterator[int]:
    listener = bind("127.0.0.1", 0)
    number = listener.getsockname()[1]
    server = NativeServer(app.handler, HttpLimits(max_header_bytes=4_000))
    await server.start([listener])
    yield number
    await server.drain(1)


async def talk(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


HEAD = b"host: x\r\nconnection: close\r\n"
BEARER = b"authorization: Bearer nobody\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /trpc/health.liveness HTTP/1.1\r\n" + HEAD + b"\r\n", b"200"),
        (b"HEAD /trpc/health.liveness HTTP/1.1\r\n" + HEAD + b"\r\n", b"204"),
        (b"GET /nothing HTTP/1.1\r\n" + HEAD + b"\r\n", b"404"),
        (b"GET /trpc/%zz HTTP/1.1\r\n" + HEAD + b"\r\n", b"400"),
        (b"not http at all\r\n\r\n", b"400"),
        (b"POST /trpc/users.update HTTP/1.1\r\n" + HEAD + BEARER + b"content-type: application/json\r\ncontent-length: 10001\r\n\r\n", b"413"),
        (b"POST /trpc/users.update HTTP/1.1\r\n" + HEAD + b"content-length: 2\r\n\r\n{}", b"415"),
        (b"POST /trpc/users.update HTTP/1.1\r\n" + HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET /trpc/health.liveness HTTP/1.1\r\n" + HEAD + b"x: " + b"y" * 5000 + b"\r\n\r\n", b"431"),
        (b"POST /trpc/health.liveness HTTP/1.1\r\n" + HEAD + b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}", b"405"),
        (b"POST /trpc/users.update HTTP/1.1\r\n" + HEAD + BEARER + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
         + b"2711\r\n" + b"x" * 0x2711 + b"\r\n0\r\n\r\n", b"413"),
    ],
)  # fmt: skip
async def test_a_socket_answers_with_the_right_status(port: int, sent: bytes, status: bytes) -> None:
    answer = await talk(port, sent)
    assert answer.split(b" ", 2)[1] == status, answer


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(port: int) -> None:
    one = b"GET /trpc/%s HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /trpc/health.liveness HTTP/1.1\r\n" + HEAD + b"\r\n"
    answer = await talk(port, one % b"health.liveness" + one % b"no.such" + last)
    assert [part.split(b" ", 1)[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
