"""Attacks by people who have an account: taking over another's, rising, inviting themselves, races for the last owner, lost traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tenantry import Tenantry
from tests.auth.browser import Browser, mails, signing_in
from tests.auth.provider import Provider, person, provider, sign_in
from tests.auth.test_members import join, owner_of
from tests.conftest import Cluster, Database
from tests.harness import Client

__all__ = ["provider"]


@pytest.fixture
def database(cluster18: Cluster) -> Iterator[Database]:
    """One kind of database is enough here: tests/attacks/test_rls.py attacks rows."""
    with cluster18.database() as made:
        yield made


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[Tenantry]:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone") as app:
        yield app


# ------------------------------------------------------------------ other people's accounts


async def test_who_squats_an_address_leaves_no_key_and_no_invitation_behind(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    """The squatter's session and log-in go when the address' owner comes by mail; so do keys that would act as the owner."""
    async with signing_in(database, tmp_path, tenant_sign_up="anyone", **provider.settings()) as app:
        await provider.control(user=person("eve", email="ann@example.com"))
        eve = Browser(app)
        await sign_in(eve, "microsoft-entra-id")
        await eve.call("tenants.create", {"slug": "trap", "name": "Trap"}, mutation=True)
        own, service = [
            (await eve.call("apiKeys.create", {"name": "x", "scopes": ["write"], "isService": one}, mutation=True))[
                "key"
            ]
            for one in (False, True)
        ]
        await eve.call("invitations.create", {"email": "eve@evil.example", "role": "admin"}, mutation=True)
        invitation = mails(tmp_path, "eve@evil.example")[-1]["url"]
        assert (await Client(app, own).query("users.list")).status == 200
        ann = Browser(app)
        await ann.sign_in_by_mail("ann@example.com", tmp_path)
        for key in (own, service):
            assert (await Client(app, key).query("users.list")).code == "UNAUTHORIZED"
        other = Browser(app)
        await other.sign_in_by_mail("eve@evil.example", tmp_path)
        assert (await other.fetch(invitation)).error == "Verification"
        # And a key of the owner's own, made now, stays when she signs in by mail again.
        key = (await ann.call("apiKeys.create", {"name": "x", "scopes": ["read"]}, mutation=True))["key"]
        await Browser(app).sign_in_by_mail("ann@example.com", tmp_path)
        assert (await Client(app, key).query("users.list")).status == 200


@pytest.mark.parametrize("user", [{"email_verified": False}, {"email_verified": "true"}, {}, {"email_verified": 1}])
async def test_an_address_that_a_provider_does_not_vouch_for_proves_nothing(
    database: Database, tmp_path: Path, provider: Provider, user: dict[str, object]
) -> None:
    async with signing_in(database, tmp_path, **provider.settings(auth_link_verified_email=True)) as app:
        await Browser(app).sign_in_by_mail("ann@example.com", tmp_path)
        claims = {k: v for k, v in person("eve", email="ann@example.com").items() if k != "email_verified"} | user
        await provider.control(user=claims)
        eve = Browser(app)
        assert (await sign_in(eve)).error == "OAuthAccountNotLinked"
        assert eve.token is None


async def test_an_account_that_changes_its_address_stays_who_it_was(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    async with signing_in(database, tmp_path, **provider.settings()) as app:
        await Browser(app).sign_in_by_mail("ann@example.com", tmp_path)
        await provider.control(user=person("eve"))
        await sign_in(Browser(app))
        await provider.control(user=person("eve", email="ann@example.com", hd="example.com"))
        eve = Browser(app)
        await sign_in(eve)
        assert (await eve.session())["user"]["email"] == "eve@example.com"
        assert database.value("select array_agg(email order by email) from auth_identities") == [
            "ann@example.com",
            "eve@example.com",
        ]


async def test_the_same_sub_at_another_provider_is_another_person(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    async with signing_in(database, tmp_path, **provider.settings()) as app:
        await provider.control(user=person("ann", sub="1"))
        await sign_in(Browser(app))
        await provider.control(user=person("eve", sub="1"))
        eve = Browser(app)
        await sign_in(eve, "microsoft-entra-id")
        assert (await eve.session())["user"]["email"] == "eve@example.com"


# ------------------------------------------------------------------ invitations


async def test_an_invitation_lets_in_nobody_but_its_address(app: Tenantry, tmp_path: Path, database: Database) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    await ann.call("invitations.create", {"email": "bob@acme.example", "role": "owner"}, mutation=True)
    url = mails(tmp_path, "bob@acme.example")[-1]["url"]
    token = url.partition("token=")[2]
    for address in ("eve@evil.example", "bob@acme.example.evil.example", "bob+x@acme.example", "b.ob@acme.example"):
        eve = Browser(app)
        await eve.sign_in_by_mail(address, tmp_path)
        for fields in ({}, {"email": "bob@acme.example"}, {"role": "owner"}):
            answer = await eve.post("/api/auth/invitation", {"csrfToken": await eve.csrf(), "token": token, **fields})
            assert answer.error == "AccessDenied"
    stranger = Browser(app)
    assert (
        await stranger.post("/api/auth/invitation", {"csrfToken": await stranger.csrf(), "token": token})
    ).error == "SessionRequired"
    assert database.value("select count(*) from users") == 1


@pytest.mark.parametrize("what", ["removed", "demoted", "left", "suspended", "expired"])
async def test_an_invitation_falls_with_what_it_stood_on(
    app: Tenantry, tmp_path: Path, database: Database, what: str
) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    bob = await join(app, tmp_path, ann, "bob@acme.example", "owner")
    await bob.call("invitations.create", {"email": "cat@acme.example", "role": "owner"}, mutation=True)
    him = next(u["id"] for u in (await ann.call("users.list"))["items"] if u["email"] == "bob@acme.example")
    match what:
        case "removed":
            await ann.call("users.delete", {"id": him}, mutation=True)
        case "demoted":
            await ann.call("users.update", {"id": him, "role": "admin"}, mutation=True)
        case "left":
            await bob.call("members.leave", mutation=True)
        case "suspended":
            database.admin.execute("update tenantry.tenants set status = 'suspended'")
        case _:
            database.admin.execute("update auth_invitations set expires = now()")
    cat = Browser(app)
    await cat.sign_in_by_mail("cat@acme.example", tmp_path)
    url = next(m["url"] for m in mails(tmp_path, "cat@acme.example") if "invitation" in m["url"])
    answer = await cat.post(
        "/api/auth/invitation", {"csrfToken": await cat.csrf(), "token": url.partition("token=")[2]}
    )
    assert answer.error == "Verification"
    assert database.value("select count(*) from users where email = 'cat@acme.example'") == 0


async def test_nothing_of_a_tenants_name_gets_into_a_mails_head(app: Tenantry, tmp_path: Path) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    name = "Acme\r\nBcc: eve@evil.example\r\n\r\nYou won\u2028\u202e"
    await ann.call("tenants.update", {"name": name}, mutation=True)
    await ann.call("invitations.create", {"email": "bob@acme.example"}, mutation=True)
    from tenantry.auth.mail import Mail, message

    found = mails(tmp_path, "bob@acme.example")[-1]
    mail = message(Mail(found["to"], found["subject"], found["text"], found["url"]), "Acme <a@b.cd>")
    assert mail["bcc"] is None
    assert "\n" not in found["subject"]
    assert not set("\u2028\u202e\r\n") & set(found["subject"])


# ------------------------------------------------------------------ races


async def test_two_owners_who_demote_each_other_at_once_leave_one(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    bob = await join(app, tmp_path, ann, "bob@acme.example", "owner")
    ids = {u["email"]: u["id"] for u in (await ann.call("users.list"))["items"]}
    for _ in range(4):
        await asyncio.gather(
            ann.call("users.update", {"id": ids["bob@acme.example"], "role": "member"}, mutation=True),
            bob.call("users.update", {"id": ids["owner@acme.example"], "role": "member"}, mutation=True),
            ann.call("members.leave", mutation=True), bob.call("members.leave", mutation=True),
            ann.call("users.delete", {"id": ids["bob@acme.example"]}, mutation=True),
            bob.call("members.transfer", {"id": ids["owner@acme.example"]}, mutation=True),
        )  # fmt: skip
        owners = database.value("select count(*) from users where role = 'owner'")
        assert owners >= 1
        database.admin.execute("update users set role = 'owner'")


async def test_who_is_demoted_meanwhile_does_not_rise_again(app: Tenantry, tmp_path: Path, database: Database) -> None:
    """An admin who is made a member, and at the same moment makes owners, admins, keys and invitations: all or nothing of each, never more."""
    ann = await owner_of(app, tmp_path, "acme")
    for n in range(3):
        bob = await join(app, tmp_path, ann, f"bob{n}@acme.example", "admin")
        cat = await join(app, tmp_path, ann, f"cat{n}@acme.example")
        ids = {u["email"]: u["id"] for u in (await ann.call("users.list", {"limit": 100}))["items"]}
        him, her = ids[f"bob{n}@acme.example"], ids[f"cat{n}@acme.example"]
        answers = await asyncio.gather(
            ann.call("users.update", {"id": him, "role": "member"}, mutation=True),
            bob.call("users.update", {"id": him, "role": "owner"}, mutation=True),
            bob.call("users.update", {"id": him, "role": "admin"}, mutation=True),
            bob.call("users.update", {"id": her, "role": "owner"}, mutation=True),
            bob.call("members.transfer", {"id": her}, mutation=True),
            bob.call("apiKeys.create", {"name": "x", "scopes": ["admin:*"], "role": "admin"}, mutation=True),
        )
        assert "error" in answers[1] and "error" in answers[3] and "error" in answers[4] and "error" in answers[5]
        assert database.value("select count(*) from users where role = 'owner'") == 1
        # Whatever came first, what he is now is what was said last; and as a member he raises nobody.
        role = database.value("select role from users where id = $1", him)
        if role == "member":
            assert (await bob.call("users.update", {"id": him, "role": "admin"}, mutation=True))["error"] == "FORBIDDEN"
        del cat


async def test_one_session_switches_once_however_often_it_is_asked_at_once(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    await ann.call("tenants.create", {"slug": "globex", "name": "Globex"}, mutation=True)
    csrf = await ann.csrf()
    jar = "; ".join(f"{k}={v}" for k, v in ann.jar.items())
    body = {"csrfToken": csrf, "data": {"tenant": "acme"}}
    import json

    pages = await asyncio.gather(
        *(
            Browser(app).fetch("/api/auth/session", "POST", json.dumps(body).encode(), {"content-type": "application/json", "origin": ann.base}, jar)
            for _ in range(6)
        )
    )  # fmt: skip
    assert sorted(page.json is not None for page in pages) == [False] * 5 + [True]
    assert database.value("select count(*) from auth_sessions") == 1


async def test_a_link_that_is_pressed_twice_at_once_signs_in_once(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    browser = Browser(app)
    await browser.post("/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "ann@acme.example"})
    page = await browser.fetch(mails(tmp_path)[0]["url"])
    answers = await asyncio.gather(*(browser.submit(page) for _ in range(6)))
    assert sorted(str(a.error) for a in answers) == ["None"] + ["Verification"] * 5
    assert database.value("select count(*) from auth_sessions") == 1


# ------------------------------------------------------------------ the trail


async def test_nobody_writes_or_reads_a_trail_but_their_own(app: Tenantry, tmp_path: Path, database: Database) -> None:
    ann, gus = await owner_of(app, tmp_path, "acme"), await owner_of(app, tmp_path, "globex")
    bob = await join(app, tmp_path, ann, "bob@acme.example")
    theirs = {line["id"] for line in (await gus.call("audit.list"))["items"]}
    own = {line["id"] for line in (await ann.call("audit.list"))["items"]}
    assert own and theirs and not own & theirs
    assert (await bob.call("audit.list"))["error"] == "FORBIDDEN"
    for text in (
        "insert into audit_log (action) values ('forged')", "update audit_log set action = 'x'", "delete from audit_log", "truncate audit_log",
        "select tenantry.audit(null, 'x', null, null, null, null)", "alter table audit_log disable trigger all", "set session_replication_role = replica",
        "select tenantry.audit_prune('30 days')", "select tenantry.clean_sign_in(1)", "select tenantry.keys_used('[]')",
    ):  # fmt: skip
        import psycopg

        with psycopg.connect(database.urls.platform.reveal()) as connection, pytest.raises(psycopg.Error):
            connection.execute(text.encode())
    # What is said to stand in a line stands there as text, and nowhere else.
    await ann.call("invitations.create", {"email": "eve@evil.example"}, mutation=True)
    evil = {"user-agent": "x', now()); drop table audit_log; -- \x1b[31m{}", "origin": ann.base}
    await ann.post_json("/trpc/invitations.create", {"email": "cat@acme.example"}, evil)
    assert "\x1b" not in str((await ann.call("audit.list"))["items"])
