"""API keys: what they may, when they end, and that they go through the same `enter` as everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenantry import Ctx, Statement, Tenantry
from tenantry.auth.credential import checksum, find_credential
from tests.auth.browser import Browser, signing_in
from tests.auth.test_members import join, owner_of
from tests.conftest import Database
from tests.harness import Client

NOTES = """
create table notes (id uuid primary key default gen_random_uuid(), body text not null, created_at timestamptz not null default now());
select tenantry.protect('notes');
"""


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
async def app(database: Database, outbox: Path) -> AsyncIterator[Tenantry]:
    database.admin.execute("set role tenantry_owner; set search_path = public; " + NOTES + "; reset role")
    app = Tenantry()
    notes = app.router("notes")

    @notes.query
    def count(ctx: Ctx) -> Statement[int]:
        return ctx.db.one(int, "select count(*)::integer from notes")

    @notes.mutation
    def add(ctx: Ctx, body: str) -> Statement[str]:
        return ctx.db.one(str, "insert into notes (body) values ($1) returning body", body)

    @notes.mutation(role="admin")
    def clear(ctx: Ctx) -> Statement[str]:
        return ctx.db.one(str, "select tenantry.role()")

    async with signing_in(database, outbox, app, tenant_sign_up="anyone") as app:
        yield app


async def key_of(browser: Browser, *scopes: str, **more: Any) -> str:
    made = await browser.call("apiKeys.create", {"name": "ci", "scopes": scopes, **more}, mutation=True)
    assert "error" not in made, made
    return made["key"]


async def test_a_key_acts_in_its_tenant_as_bearer_or_header(app: Tenantry, outbox: Path) -> None:
    ann, gus = await owner_of(app, outbox, "acme"), await owner_of(app, outbox, "globex")
    key = await key_of(ann, "write")
    assert (await Client(app, key).mutate("notes.add", {"body": "by key"})).data == "by key"
    assert (await Client(app, headers={"x-api-key": key}).query("notes.count")).data == 1
    assert (await Client(app, await key_of(gus, "read")).query("notes.count")).data == 0


@pytest.mark.parametrize(
    ("scopes", "query", "mutation"),
    [
        (["read"], "ok", "FORBIDDEN"),
        (["write"], "ok", "ok"),
        (["read", "notes.*"], "ok", "FORBIDDEN"),
        (["write", "notes.add"], "FORBIDDEN", "ok"),
        (["write", "users.*"], "FORBIDDEN", "FORBIDDEN"),
        (["admin:*"], "ok", "ok"),
    ],
)
async def test_scopes_bound_what_a_key_calls(
    app: Tenantry, outbox: Path, scopes: list[str], query: str, mutation: str
) -> None:
    client = Client(app, await key_of(await owner_of(app, outbox, "acme"), *scopes))
    count, add = await client.query("notes.count"), await client.mutate("notes.add", {"body": "x"})
    assert [r.code if "error" in r.json else "ok" for r in (count, add)] == [query, mutation]


async def test_a_key_manages_nobody_unless_an_owner_said_so(app: Tenantry, outbox: Path) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example", "admin")
    plain = Client(app, await key_of(ann, "write", role="owner"))
    me = (await ann.call("users.list"))["items"][0]["id"]
    for path, input in (
        ("users.update", {"id": me, "name": "X"}), ("invitations.create", {"email": "x@y.zz"}), ("members.leave", {}),
        ("apiKeys.create", {"name": "x", "scopes": ["read"]}), ("tenants.update", {"name": "X"}),
    ):  # fmt: skip
        assert (await plain.mutate(path, input)).code == "FORBIDDEN", path
    assert (await plain.query("audit.list")).code == "FORBIDDEN"
    assert (await plain.mutate("tenants.switch", {"tenant": "acme"})).code == "UNAUTHORIZED"
    assert (await plain.query("sessions.list")).code == "UNAUTHORIZED"
    assert (await bob.call("apiKeys.create", {"name": "x", "scopes": ["admin:*"]}, mutation=True))[
        "error"
    ] == "FORBIDDEN"
    admin = Client(app, await key_of(ann, "admin:*", role="owner"))
    assert (await admin.mutate("users.update", {"id": me, "name": "Renamed"})).data["name"] == "Renamed"


async def test_a_key_is_worth_the_lesser_of_its_role_and_its_makers(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example", "admin")
    assert (await bob.call("apiKeys.create", {"name": "x", "scopes": ["write"], "role": "owner"}, mutation=True))[
        "error"
    ] == "FORBIDDEN"
    low, high = Client(app, await key_of(bob, "write")), Client(app, await key_of(bob, "write", role="admin"))
    assert (await low.mutate("notes.clear")).code == "FORBIDDEN"
    assert (await high.mutate("notes.clear")).data == "admin"
    database.admin.execute("update users set role = 'member' where email = 'bob@acme.example'")
    assert (await high.mutate("notes.clear")).code == "FORBIDDEN"


async def test_a_key_ends_with_its_time_its_revocation_its_membership_and_its_tenant(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example")
    revoked, dead, late = (
        Client(app, await key_of(ann, "read")),
        Client(app, await key_of(bob, "read")),
        Client(app, await key_of(ann, "read")),
    )
    service = Client(app, await key_of(ann, "read", isService=True))
    keys = await ann.call("apiKeys.list")
    assert [k["isService"] for k in keys] == [False, False, False, True]
    assert [k["userId"] == keys[0]["userId"] for k in await bob.call("apiKeys.list")] == [False]
    await ann.call("apiKeys.revoke", {"id": keys[0]["id"]}, mutation=True)
    await bob.call("members.leave", mutation=True)
    database.admin.execute("update auth_api_keys set expires = now() where id = $1", (keys[2]["id"],))
    for client in (revoked, dead, late):
        reply = await client.query("notes.count")
        assert (reply.code, reply.error["message"]) == ("UNAUTHORIZED", "No active session - please sign in")
    assert (await service.query("notes.count")).data == 0
    database.admin.execute("update tenantry.tenants set status = 'suspended'")
    assert (await service.query("notes.count")).error["message"] == "This tenant is suspended."


async def test_a_key_in_the_url_is_refused_and_that_is_written_down(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    key = await key_of(await owner_of(app, outbox, "acme"), "read")
    reply = await Client(app).send("GET", "/trpc/notes.count", f"api_key={key}")
    assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
    assert key not in str(reply.json)
    for _ in range(100):
        if database.value("select count(*) from audit_log where action = 'api_key_in_url'"):
            break
        await asyncio.sleep(0.05)
    assert key[20:] not in str(database.admin.execute("select * from audit_log").fetchall())
    assert database.value("select host(ip) from audit_log where action = 'api_key_in_url'") == "127.0.0.1"


def test_a_cut_or_mistyped_key_is_no_credential() -> None:
    body = b"tnt_live_0123456789_" + b"x" * 43
    key = body + checksum(body)
    assert find_credential([(b"authorization", b"Bearer " + key)]) is not None
    for wrong in (key[:-1], key[:-1] + b"!", key.replace(b"x", b"y", 1), key + b"0", b"tnt_live_"):
        assert find_credential([(b"authorization", b"Bearer " + wrong)]) is None
        assert find_credential([(b"x-api-key", wrong)]) is None


@pytest.mark.parametrize("scopes", [[], ["everything"], ["notes.*"], ["*"], ["read", "notes.*; drop"]])
async def test_scopes_that_say_nothing_are_refused(app: Tenantry, outbox: Path, scopes: list[str]) -> None:
    ann = await owner_of(app, outbox, "acme")
    assert (await ann.call("apiKeys.create", {"name": "x", "scopes": scopes}, mutation=True))["error"] == "BAD_REQUEST"
