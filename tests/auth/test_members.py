"""Tenants and their people, from the first owner on: invitations, roles, switching, leaving, sessions, permissions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenantry import Tenantry
from tests.auth.browser import Browser, mails, signing_in
from tests.conftest import Database


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
async def app(database: Database, outbox: Path) -> AsyncIterator[Tenantry]:
    app = Tenantry()
    app.permission("notes.close", least="admin", says="Close a note")
    database.admin.execute("insert into tenantry.permissions values ('notes.close', 'admin', 'Close a note')")
    async with signing_in(database, outbox, app, tenant_sign_up="anyone") as app:
        yield app


async def owner_of(app: Tenantry, outbox: Path, slug: str, email: str | None = None) -> Browser:
    browser = Browser(app)
    await browser.sign_in_by_mail(email or f"owner@{slug}.example", outbox)
    made = await browser.call("tenants.create", {"slug": slug, "name": slug.title()}, mutation=True)
    assert "error" not in made, made
    return browser


async def join(app: Tenantry, outbox: Path, inviter: Browser, email: str, role: str = "member") -> Browser:
    made = await inviter.call("invitations.create", {"email": email, "role": role}, mutation=True)
    assert "error" not in made, made
    url = mails(outbox, email)[-1]["url"]
    browser = Browser(app)
    await browser.sign_in_by_mail(email, outbox)
    accepted = await browser.submit(await browser.fetch(url))
    assert accepted.status == 302
    assert accepted.error is None, accepted.location
    return browser


async def test_a_person_founds_a_tenant_and_owns_it_under_a_new_token(app: Tenantry, outbox: Path) -> None:
    ann = Browser(app)
    await ann.sign_in_by_mail("ann@acme.example", outbox)
    before = ann.token
    assert (await ann.session())["tenant"] is None
    assert (await ann.call("users.list"))["error"] == "FORBIDDEN"
    await ann.call("tenants.create", {"slug": "acme", "name": "Acme"}, mutation=True)
    session = await ann.session()
    assert ann.token != before
    assert (session["tenant"]["slug"], session["user"]["role"]) == ("acme", "owner")
    assert [u["email"] for u in (await ann.call("users.list"))["items"]] == ["ann@acme.example"]


async def test_an_invitation_makes_a_member_once(app: Tenantry, outbox: Path) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example", "admin")
    assert (await bob.session())["user"]["role"] == "admin"
    assert (await ann.call("invitations.list")) == []
    again = await bob.fetch(mails(outbox, "bob@acme.example")[0]["url"])
    assert again.error == "Verification"


async def test_opening_an_invitation_changes_nothing_and_only_its_address_may_accept(
    app: Tenantry, outbox: Path
) -> None:
    ann = await owner_of(app, outbox, "acme")
    await ann.call("invitations.create", {"email": "bob@acme.example"}, mutation=True)
    url = mails(outbox, "bob@acme.example")[-1]["url"]
    eve = Browser(app)
    assert "Sign in to join" in (await eve.fetch(url)).text
    await eve.sign_in_by_mail("eve@evil.example", outbox)
    page = await eve.fetch(url)
    assert "You are signed in as" in page.text
    token = url.partition("token=")[2]
    refused = await eve.post("/api/auth/invitation", {"csrfToken": await eve.csrf(), "token": token})
    assert refused.error == "AccessDenied"
    assert (await eve.post("/api/auth/invitation", {"token": token})).error == "MissingCSRF"
    assert len(await ann.call("invitations.list")) == 1


async def test_a_new_invitation_replaces_the_old_one_and_a_revoked_one_is_gone(app: Tenantry, outbox: Path) -> None:
    ann = await owner_of(app, outbox, "acme")
    for role in ("member", "admin"):
        await ann.call("invitations.create", {"email": "bob@acme.example", "role": role}, mutation=True)
    first, second = (m["url"] for m in mails(outbox, "bob@acme.example"))
    bob = Browser(app)
    assert (await bob.fetch(first)).error == "Verification"
    assert (await bob.fetch(second)).status == 200
    (open_one,) = await ann.call("invitations.list")
    assert (open_one["role"], open_one["email"]) == ("admin", "bob@acme.example")
    await ann.call("invitations.revoke", {"id": open_one["id"]}, mutation=True)
    assert (await bob.fetch(second)).error == "Verification"


async def test_an_invitation_is_worth_what_its_inviter_is_worth_now(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example", "admin")
    await bob.call("invitations.create", {"email": "cat@acme.example", "role": "admin"}, mutation=True)
    database.admin.execute("update users set role = 'member' where email = 'bob@acme.example'")
    cat = Browser(app)
    await cat.sign_in_by_mail("cat@acme.example", outbox)
    page = await cat.fetch(mails(outbox, "cat@acme.example")[0]["url"])
    assert (await cat.submit(page)).error == "Verification"


@pytest.mark.parametrize(("role", "wanted"), [("member", "member"), ("admin", "owner")])
async def test_nobody_invites_above_themselves(app: Tenantry, outbox: Path, role: str, wanted: str) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example", role)
    refused = await bob.call("invitations.create", {"email": "x@acme.example", "role": wanted}, mutation=True)
    assert refused["error"] == "FORBIDDEN"
    assert mails(outbox, "x@acme.example") == []


async def test_two_who_accept_one_invitation_at_once_are_one_member(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    ann = await owner_of(app, outbox, "acme")
    await ann.call("invitations.create", {"email": "bob@acme.example"}, mutation=True)
    url = mails(outbox, "bob@acme.example")[-1]["url"]
    bobs = [Browser(app), Browser(app)]
    for bob in bobs:
        await bob.sign_in_by_mail("bob@acme.example", outbox)
    pages = [await bob.fetch(url) for bob in bobs]
    answers = await asyncio.gather(*(bob.submit(page) for bob, page in zip(bobs, pages, strict=True)))
    assert sorted(a.error or "" for a in answers) == ["", "Verification"]
    assert database.value("select count(*) from users where email = 'bob@acme.example'") == 1


async def test_switching_by_update_rotates_the_token_and_refuses_strangers_tenants_alike(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    ann = await owner_of(app, outbox, "acme")
    await owner_of(app, outbox, "globex")
    await ann.call("tenants.create", {"slug": "second", "name": "Second"}, mutation=True)
    before = ann.token
    switched = await ann.switch("acme")
    assert switched.json["tenant"]["slug"] == "acme"
    assert ann.token != before
    stale = Browser(app)
    stale.jar = {"authjs.session-token": before or ""}
    assert await stale.session() is None
    database.admin.execute("update tenantry.tenants set status = 'suspended' where slug = 'second'")
    answers = [await ann.switch(tenant) for tenant in ("globex", "second", "nowhere", "'; drop table users; --")]
    assert {(a.status, a.text) for a in answers} == {(403, '{"message":"Not a member of this tenant"}')}
    assert (await ann.session())["tenant"]["slug"] == "acme"


async def test_after_sign_in_one_is_where_one_was_last(app: Tenantry, outbox: Path) -> None:
    ann = await owner_of(app, outbox, "acme", "ann@acme.example")
    await ann.call("tenants.create", {"slug": "second", "name": "Second"}, mutation=True)
    await ann.switch("acme")
    other = Browser(app)
    await other.sign_in_by_mail("ann@acme.example", outbox)
    assert (await other.session())["tenant"]["slug"] == "acme"


async def test_the_last_owner_stays_until_another_takes_over(app: Tenantry, outbox: Path) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example")
    assert (await ann.call("members.leave", mutation=True))["error"] == "CONFLICT"
    bobs_id = next(u["id"] for u in (await ann.call("users.list"))["items"] if u["email"] == "bob@acme.example")
    assert (await bob.call("members.transfer", {"id": bobs_id}, mutation=True))["error"] == "FORBIDDEN"
    assert (await ann.call("members.transfer", {"id": bobs_id}, mutation=True))["role"] == "owner"
    assert ((await ann.session())["user"]["role"], (await bob.session())["user"]["role"]) == ("admin", "owner")
    await ann.call("members.leave", mutation=True)
    assert await ann.session() is None or (await ann.session())["tenant"] is None


async def test_an_owner_ends_a_members_sessions_in_the_tenant_only(app: Tenantry, outbox: Path) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example", "admin")
    ids = {u["email"]: u["id"] for u in (await ann.call("users.list"))["items"]}
    assert (await bob.call("members.endSessions", {"id": ids["owner@acme.example"]}, mutation=True))[
        "error"
    ] == "FORBIDDEN"
    assert await ann.call("members.endSessions", {"id": ids["bob@acme.example"]}, mutation=True) == 1
    assert (await bob.call("users.list"))["message"] == "No tenant selected"
    assert (await bob.session())["user"]["email"] == "bob@acme.example"


async def test_sessions_are_listed_and_ended(app: Tenantry, outbox: Path) -> None:
    laptop, phone, tablet = Browser(app), Browser(app), Browser(app)
    for browser in (laptop, phone, tablet):
        await browser.sign_in_by_mail("ann@acme.example", outbox)
    listed = await laptop.call("sessions.list")
    assert [s["isCurrent"] for s in listed] == [True, False, False]
    assert not any(browser.token in str(listed) for browser in (laptop, phone, tablet) if browser.token)
    stranger = Browser(app)
    await stranger.sign_in_by_mail("eve@evil.example", outbox)
    assert (await stranger.call("sessions.revoke", {"id": listed[1]["id"]}, mutation=True))["error"] == "NOT_FOUND"
    assert await laptop.call("sessions.revoke", {"id": listed[1]["id"]}, mutation=True) == 1
    assert await laptop.call("sessions.revokeOthers", mutation=True) == 1
    assert await phone.session() is None
    assert await tablet.session() is None
    assert await laptop.session() is not None


async def test_an_owner_grants_a_permission_anew_in_the_own_tenant(
    app: Tenantry, outbox: Path, database: Database
) -> None:
    ann = await owner_of(app, outbox, "acme")
    gus = await owner_of(app, outbox, "globex")
    bob = await join(app, outbox, ann, "bob@acme.example", "admin")
    assert (await bob.call("permissions.regrant", {"name": "notes.close", "least": "member"}, mutation=True))[
        "error"
    ] == "FORBIDDEN"
    await ann.call("permissions.regrant", {"name": "notes.close", "least": "member"}, mutation=True)
    assert [(p["name"], p["least"], p["isRegranted"]) for p in await bob.call("permissions.list")] == [
        ("notes.close", "member", True)
    ]
    assert [(p["least"], p["isRegranted"]) for p in await gus.call("permissions.list")] == [("admin", False)]
    await ann.call("permissions.regrant", {"name": "notes.close"}, mutation=True)
    assert [(p["least"], p["isRegranted"]) for p in await ann.call("permissions.list")] == [("admin", False)]


async def test_what_was_done_stands_in_the_trail_of_its_tenant(app: Tenantry, outbox: Path, database: Database) -> None:
    ann = await owner_of(app, outbox, "acme")
    bob = await join(app, outbox, ann, "bob@acme.example")
    gus = await owner_of(app, outbox, "globex")
    bobs_id = next(u["id"] for u in (await ann.call("users.list"))["items"] if u["email"] == "bob@acme.example")
    await ann.call("users.update", {"id": bobs_id, "role": "admin"}, mutation=True)
    actions = [line["action"] for line in (await ann.call("audit.list"))["items"]]
    assert actions == ["role_changed", "invite_accepted", "invite_created", "tenant_created"]
    assert (await bob.call("audit.list", {"action": "role_changed"}))["items"][0][
        "detail"
    ] == '{"to": "admin", "from": "member"}'
    assert [line["action"] for line in (await gus.call("audit.list"))["items"]] == ["tenant_created"]
    await ann.call("users.update", {"id": bobs_id, "role": "member"}, mutation=True)
    assert (await bob.call("audit.list"))["error"] == "FORBIDDEN"
    with pytest.raises(Exception, match="append-only"):
        database.admin.execute("update audit_log set action = 'nothing'")
    with pytest.raises(Exception, match="append-only"):
        database.admin.execute("delete from audit_log")
