"""What sign-in does beside requests: what is over goes, what holds stays, and a key tells when it was used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry import Tenantry
from tenantry.auth import housekeeping
from tests.auth.browser import Browser, signing_in
from tests.auth.test_members import join, owner_of
from tests.conftest import Database
from tests.harness import Client


def keeping(app: Tenantry) -> housekeeping.Housekeeping:
    state = app._state  # pyright: ignore[reportPrivateUsage]
    assert state is not None
    return state.dispatcher.road.auth.upkeep


async def test_what_is_over_is_cleared_away_in_batches_and_what_holds_stays(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CLEAN_BATCH", 3)
    async with signing_in(database, tmp_path, tenant_sign_up="anyone", auth_rate_limits="on") as app:
        ann = await owner_of(app, tmp_path, "acme")
        await ann.call("invitations.create", {"email": "kept@acme.example"}, mutation=True)
        await Browser(app).post("/api/auth/signin/email", {"csrfToken": "x", "email": "y"})
        person = database.value("select id from auth_identities")
        tenant = database.value("select id from tenantry.tenants")
        for number in range(10):
            over = "now() - make_interval(secs => $1)"
            database.value(
                f"insert into auth_sessions (token_hash, identity_id, expires) values (sha256($1::text::bytea), $2, {over.replace('$1', '$3')}) returning 1",
                f"s{number}", person, number + 1,
            )  # fmt: skip
            database.value(
                "insert into auth_verifications (identifier, token_hash, expires) values ('x@y.zz', sha256($1::text::bytea), now() - interval '1 s') returning 1",
                f"v{number}",
            )
            database.value(
                "insert into auth_invitations (tenant_id, email, role, token_hash, expires)"
                " values ($1, $2, 'member', sha256($2::text::bytea), now() - interval '1 s') returning 1", tenant, f"i{number}@acme.example",
            )  # fmt: skip
            database.value(
                "insert into tenantry.sender_limits values ($1, now() - interval '2 s', now() - interval '1 s', 5) returning 1",
                f"old-{number}",
            )
        live = database.value("select count(*) from auth_sessions where expires > now()")
        held = database.value("select count(*) from tenantry.sender_limits where ends > now()")
        assert live == 1
        assert await keeping(app).clean() == 10
        assert await keeping(app).clean() == 0
        assert await ann.session() is not None
    count = "select (select count(*) from auth_sessions), (select count(*) from auth_verifications), (select count(*) from auth_invitations), (select count(*) from tenantry.sender_limits)"
    assert database.admin.execute(count).fetchone() == (1, 0, 1, held)


async def test_it_is_done_by_itself_again_and_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(housekeeping, "CLEAN_SECONDS", 0.1)
    async with signing_in(database, tmp_path) as app:
        await Browser(app).sign_in_by_mail("ann@acme.example", tmp_path)
        for _ in range(2):
            database.admin.execute("update auth_sessions set expires = now() - interval '1 second'")
            for _ in range(300):
                if not database.value("select count(*) from auth_sessions"):
                    break
                await asyncio.sleep(0.05)
            assert database.value("select count(*) from auth_sessions") == 0
            await Browser(app).sign_in_by_mail("ann@acme.example", tmp_path)


async def test_a_key_tells_when_it_was_used(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone") as app:
        ann = await owner_of(app, tmp_path, "acme")
        bob = await join(app, tmp_path, ann, "bob@acme.example")
        used, _ = [
            (await one.call("apiKeys.create", {"name": "ci", "scopes": ["read"]}, mutation=True))["key"]
            for one in (ann, bob)
        ]
        assert [key["lastUsedAt"] for key in await ann.call("apiKeys.list")] == [None, None]
        for _ in range(3):
            assert (await Client(app, used).query("users.list")).status == 200
        # A guess at a known id is no use of it.
        guessed = used[:20] + "x" * 43
        from tenantry.auth.credential import checksum

        await Client(app, guessed + checksum(guessed.encode()).decode()).query("users.list")
        assert await keeping(app).write_uses() == 1
        first, second = [key["lastUsedAt"] for key in await ann.call("apiKeys.list")]
        assert (first is not None, second) == (True, None)
        # And not again within half a minute, whatever other workers say.
        await Client(app, used).query("users.list")
        assert await keeping(app).write_uses() == 0


async def test_what_is_known_of_keys_is_written_at_the_end(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone") as app:
        ann = await owner_of(app, tmp_path, "acme")
        key = (await ann.call("apiKeys.create", {"name": "ci", "scopes": ["read"]}, mutation=True))["key"]
        await Client(app, key).query("users.list")
    assert database.value("select last_used_at > now() - interval '1 minute' from auth_api_keys")
