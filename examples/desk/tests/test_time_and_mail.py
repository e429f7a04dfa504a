"""What tests of an application have beside people: rows, time that moves, and the mails."""

from datetime import timedelta

import pytest
from desk import create, remove, search

from tenantry import NotFound, Unauthorized
from tenantry.testing import Clock, Outbox, Tenants


async def test_a_session_ends(tenants: Tenants, clock: Clock) -> None:
    ann = await (await tenants.new("acme")).person("admin")
    await ann.call(create, name="Launch")
    clock.move(timedelta(days=1, seconds=1))
    with pytest.raises(Unauthorized):
        await ann.call(create, name="Too late")


async def test_only_its_author_or_an_admin_removes_a_comment(tenants: Tenants) -> None:
    acme = await tenants.new("acme")
    ann, bob, eve = await acme.person(), await acme.person(), await acme.person("admin")
    mine, other = await ann.make("comments"), await ann.make("comments")  # with a note, and its project
    with pytest.raises(NotFound):
        await bob.call(remove, id=mine["id"])
    assert await ann.call(remove, id=mine["id"]) == mine["id"]
    assert await eve.call(remove, id=other["id"]) == other["id"]


async def test_an_invitation_is_a_mail(tenants: Tenants, outbox: Outbox) -> None:
    ann = await (await tenants.new("acme")).person("owner")
    await ann.call("invitations.create", email="bob@acme.example")
    assert [mail.to for mail in outbox] == ["bob@acme.example"]
    assert outbox.last.url.startswith("http")


async def test_pages_go_on_where_they_ended(tenants: Tenants) -> None:
    acme = await tenants.new("acme")
    ann = await acme.person()
    project = await acme.make("projects")
    for _ in range(3):
        await acme.make("notes", project_id=project["id"])
    first = await ann.call(search, project_id=project["id"], limit=2)
    rest = await ann.call(search, project_id=project["id"], limit=2, after=first.next_cursor)
    assert (len(first.items), len(rest.items), rest.next_cursor) == (2, 1, None)
