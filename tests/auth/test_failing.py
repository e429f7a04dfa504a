"""Sessions and keys that open nothing, presented at procedures: counted by sender, and nobody else is shut out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tenantry import Ctx, Tenantry
from tenantry.auth.credential import checksum
from tenantry.auth.failing import MOST, MOST_SENDERS, Failing
from tenantry.errors import Unauthorized
from tests.auth.browser import Browser, Page, signing_in
from tests.auth.test_members import owner_of
from tests.conftest import Database


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[Tenantry]:
    app = Tenantry()
    asks = app.router("asks")

    @asks.query
    async def again(ctx: Ctx) -> int:
        await ctx.db.one(int, "select 1")
        raise Unauthorized("Tell me your password once more")

    async with signing_in(database, tmp_path, app, auth_rate_limits="on", tenant_sign_up="anyone") as app:
        yield app


async def guess(
    app: Tenantry, n: object, *, peer: str = "203.0.113.5", path: str = "users.list", **headers: str
) -> Page:
    sent = headers or {"authorization": f"Bearer guessed-token-number-{n}"}
    return await Browser(app, peer=peer).fetch(
        f"/trpc/{path}", headers={k.replace("_", "-"): v for k, v in sent.items()}
    )


async def test_guesses_end_in_429_with_the_time_to_wait(app: Tenantry, database: Database) -> None:
    pages = [await guess(app, n) for n in range(MOST + 3)]
    assert [page.status for page in pages] == [401] * MOST + [429] * 3
    assert pages[0].json["error"]["message"] == "No active session - please sign in"
    error = pages[-1].json["error"]
    assert (error["data"]["code"], error["code"]) == ("TOO_MANY_REQUESTS", -32029)
    assert 1 <= int(pages[-1].header("retry-after") or 0) <= 60
    assert database.value("select array_agg(key) from tenantry.sender_limits") == ["token:203.0.113.5"]
    # The same minute, and the same limit, as at sign-in's own paths.
    eve = Browser(app, peer="203.0.113.5")
    eve.jar = {"authjs.session-token": "guessed"}
    assert (await eve.fetch("/api/auth/session")).status == 429


async def test_a_good_session_passes_while_its_neighbours_guess(app: Tenantry, tmp_path: Path) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    key = (await ann.call("apiKeys.create", {"name": "ci", "scopes": ["read"]}, mutation=True))["key"]
    for n in range(MOST + 2):
        await guess(app, n, peer="127.0.0.1")
    assert (await guess(app, "last", peer="127.0.0.1")).status == 429
    assert (await ann.fetch("/trpc/users.list")).status == 200
    assert (await guess(app, 0, peer="127.0.0.1", x_api_key=key)).status == 200
    assert (await guess(app, 0, peer="198.51.100.7")).status == 401


def key(n: int) -> str:
    """An API key that is whole, and nobody's."""
    begin = f"tnt_live_{n:010}_" + "x" * 43
    return begin + checksum(begin.encode()).decode()


KINDS: dict[str, Callable[[int], dict[str, str]]] = {
    "a cookie": lambda n: {"cookie": f"authjs.session-token=guessed-session-{n}"},
    "a key cut short": lambda n: {"x_api_key": f"tnt_live_{n}_cut-short"},
    "a whole key": lambda n: {"authorization": f"Bearer {key(n)}"},
    "no token at all": lambda n: {"authorization": f"Bearer with space {n}"},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_credential_is_counted(app: Tenantry, kind: str) -> None:
    statuses = [(await guess(app, 0, **KINDS[kind](n))).status for n in range(MOST + 1)]
    assert statuses == [401] * MOST + [429]


async def test_the_same_credential_again_is_no_guess(app: Tenantry) -> None:
    """A page that goes on asking with a session that has ended is told so, however often it asks, and whatever others do beside it."""
    assert {(await guess(app, "stale")).status for _ in range(MOST + 20)} == {401}
    assert [(await guess(app, n)).status for n in range(MOST)] == [401] * (MOST - 1) + [429]
    assert (await guess(app, "stale")).status == 401


async def test_who_presents_nothing_is_not_counted_and_a_handlers_own_refusal_neither(
    app: Tenantry, tmp_path: Path
) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    for _ in range(MOST + 5):
        assert (await Browser(app).fetch("/trpc/users.list")).status == 401
        assert (await ann.fetch("/trpc/asks.again")).status == 401
    assert (await guess(app, 0, peer="127.0.0.1")).status == 401


async def test_a_batch_is_one_try(app: Tenantry) -> None:
    path = ",".join(["users.list"] * 10) + "?batch=1&input=" + quote(json.dumps({}))
    for _ in range(6):
        assert [one["error"]["data"]["code"] for one in (await guess(app, 0, path=path)).json] == ["UNAUTHORIZED"] * 10
    assert (await guess(app, 1)).status == 401


async def test_a_person_over_the_accounts_is_counted_as_well(app: Tenantry) -> None:
    statuses = [(await guess(app, n, path="tenants.list")).status for n in range(MOST + 1)]
    assert statuses[-1] == 429


async def test_a_stranger_does_not_choose_who_is_counted(app: Tenantry) -> None:
    statuses = [
        (
            await guess(
                app,
                n,
                authorization=f"Bearer guess-{n}",
                x_forwarded_for=f"198.51.100.{n}",
                forwarded=f"for=198.51.100.{n}",
            )
        ).status
        for n in range(MOST + 1)
    ]
    assert statuses[-1] == 429


async def test_an_ipv6_network_is_one_sender(app: Tenantry) -> None:
    statuses = [(await guess(app, n, peer=f"2001:db8:1:2::{n:x}")).status for n in range(MOST + 1)]
    assert statuses[-1] == 429
    assert (await guess(app, 0, peer="2001:db8:1:3::1")).status == 401


async def test_behind_a_trusted_proxy_its_clients_are_counted(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, auth_rate_limits="on", trusted_proxies="10.0.0.0/8") as app:

        async def by_proxy(n: int, client: str) -> int:
            return (
                await guess(app, n, peer="10.0.0.1", authorization=f"Bearer guess-{n}", x_forwarded_for=client)
            ).status

        statuses = [await by_proxy(n, f"192.0.2.{n}, 203.0.113.5") for n in range(MOST + 1)]
        assert statuses[-1] == 429
        assert await by_proxy(0, "203.0.113.6") == 401


async def test_workers_count_together(app: Tenantry, database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path / "other", auth_rate_limits="on") as other:
        for n in range(MOST):
            assert (await guess(app if n % 2 else other, n)).status == 401
        assert [(await guess(one, "next")).status for one in (app, other)] == [429, 429]


async def test_a_flood_at_once_costs_few_statements(app: Tenantry, database: Database) -> None:
    pages = await asyncio.gather(*(guess(app, n) for n in range(200)))
    statuses = [page.status for page in pages]
    assert statuses.count(401) <= MOST
    assert statuses.count(429) == 200 - statuses.count(401)
    assert database.value("select count from tenantry.sender_limits") <= MOST + 1


async def test_limits_that_are_off_count_nothing(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path) as app:
        assert {(await guess(app, n)).status for n in range(MOST + 5)} == {401}
        assert database.value("select count(*) from tenantry.sender_limits") == 0


async def test_the_table_of_senders_is_bounded() -> None:
    class Nobody:
        async def wait_of(self, limits: object) -> int:
            return 0

    failing = Failing(Nobody(), is_on=True)  # pyright: ignore[reportArgumentType] - no database is needed to count
    told: list[int] = []
    for n in range(MOST_SENDERS + 500):
        failing.count(f"sender-{n}", n, f"request-{n}", told.append)
    await asyncio.sleep(0.05)
    assert len(told) == MOST_SENDERS + 500
    assert len(failing.windows) == MOST_SENDERS
    assert len(failing._told) <= 1000
