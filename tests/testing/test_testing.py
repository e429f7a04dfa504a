"""`tenantry.testing`, as an application's tests use it: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.conftest import Cluster
from tests.examples.desk_place import FOLDER

PLUGIN = (
    [] if any(one.name == "tenantry" for one in entry_points(group="pytest11")) else ["-p", "tenantry.testing.plugin"]
)
MORE = """
from datetime import timedelta
from uuid import UUID

import pytest
from desk import Note, NotePatch, TooManyProjects, add, as_csv, create, search, update

from tenantry import BadRequest, Forbidden, NotFound, Unauthorized
from tenantry.testing import CallFailed, Clock, Outbox, Tenants


async def test_errors_come_back_as_they_were_raised(tenants: Tenants) -> None:
    acme = await tenants.new("acme")
    ann, tom = await acme.person("admin"), await acme.person()
    with pytest.raises(Forbidden):
        await tom.call(create, name="Launch")
    with pytest.raises(BadRequest) as caught:
        await ann.call(create, name="")
    assert caught.value.data["issues"][0]["path"] == ["name"]
    for number in range(20):
        await ann.call(create, name=f"P{number}")
    with pytest.raises(TooManyProjects) as problem:
        await ann.call(create, name="one more")
    assert problem.value.limit == 20
    with pytest.raises(TypeError):
        await ann.call(create, title="x")  # pyright: ignore


async def test_each_test_has_its_own_database(tenants: Tenants) -> None:
    assert tenants.value("select count(*) from tenantry.tenants") == 0
    assert tenants.value("select count(*) from projects") == 0


async def test_the_row_of_the_test_before_is_gone_and_what_migrations_made_is_there(tenants: Tenants) -> None:
    assert tenants.value("select count(*) from tenantry.permissions") == 1
    tenants.admin.execute("delete from tenantry.permissions")
    tenants.admin.execute("insert into projects (tenant_id, name) select tenantry.create_tenant('x', 'X'), 'left'")


async def test_and_again(tenants: Tenants) -> None:
    assert tenants.value("select count(*) from tenantry.permissions") == 1
    assert tenants.value("select count(*) from projects") == 0


async def test_a_changed_schema_is_put_back(tenants: Tenants) -> None:
    assert tenants.stage.renewals == 0  # the tests before were cleaned up after
    tenants.admin.execute("alter table public.projects add column colour text")
    tenants.admin.execute("create table public.odd (id int)")


@pytest.mark.own_database
async def test_it_was(tenants: Tenants) -> None:
    assert tenants.stage.renewals == 2  # after the one before, and for this one
    assert tenants.value("select to_regclass('public.odd')") is None
    ann = await (await tenants.new()).person("admin")
    await ann.call(create, name="Launch")


async def test_time_goes_on(tenants: Tenants, clock: Clock) -> None:
    acme = await tenants.new("acme")
    ann = await acme.person("admin")
    elsewhere = await ann.session(timedelta(days=30))
    project = await ann.call(create, name="Launch")
    note = await ann.call(add, project_id=project.id, body="Book the hall")
    before = clock.now
    clock.move(timedelta(days=2))
    assert timedelta(days=2) <= clock.now - before < timedelta(days=2, minutes=5)
    with pytest.raises(Unauthorized):
        await ann.call(create, name="Too late")
    found = (await elsewhere.call(search, project_id=project.id)).items[0]
    assert found.id == note.id and note.created_at - found.created_at == timedelta(days=2)
    clock.set(before)
    await ann.call(create, name="Back again")


async def test_mails_are_kept_and_none_is_sent(tenants: Tenants, outbox: Outbox, clock: Clock) -> None:
    acme = await tenants.new("acme")
    ann = await acme.person("owner")
    assert len(outbox) == 0
    made = await ann.call("invitations.create", email="bob@acme.example")
    assert made.email == "bob@acme.example" and made.role == "member"
    assert [mail.to for mail in outbox] == ["bob@acme.example"] and outbox.last.url in outbox.last.text
    assert outbox.to("BOB@acme.example") == outbox.mails and outbox.to("ann@acme.example") == []
    outbox.clear()
    assert outbox.mails == []
    with pytest.raises(LookupError):
        await ann.call("invitations.nothing")


async def test_rows_are_made_with_what_they_need(tenants: Tenants) -> None:
    acme = await tenants.new("acme")
    ann = await acme.person("admin")
    note = await acme.make("notes", body="Book the hall")
    assert note["tenant_id"] == acme.id and note["status"] == "open"
    assert [one.body for one in (await ann.call(search, project_id=note["project_id"])).items] == ["Book the hall"]
    comment = await ann.make("comments", note_id=note["id"])
    assert comment["author_id"] == ann.user_id and comment["body"].startswith("body ")
    with pytest.raises(TypeError, match="no column titel"):
        await acme.make("notes", titel="x")


async def test_keys_and_visitors(tenants: Tenants) -> None:
    ann = await (await tenants.new()).person("admin")
    program = await ann.key(scopes=["read"], role="admin")
    assert await program.call(as_csv) == ""
    with pytest.raises(Forbidden):
        await program.call(create, name="Launch")
    with pytest.raises(Unauthorized):
        await tenants.anyone.call(create, name="Launch")
    async with tenants.anyone.client("/") as http:
        assert (await http.get("api/auth/session")).json() in (None, {})


async def test_another_tenant_s_row_is_told_so(tenants: Tenants) -> None:
    acme, globex = await tenants.new("acme"), await tenants.new("globex")
    ann, eve = await acme.person("admin", email="ann@acme.example"), await globex.person("admin")
    project = await eve.call(create, name="Launch")
    note = await eve.call(add, project_id=project.id, body="Book the hall")
    assert isinstance(note, Note)
    with pytest.raises(NotFound) as caught:
        await ann.call(update, id=note.id, patch=NotePatch(body="x"))
    assert caught.value.__notes__ == [
        "The row exists, in tenant globex; you called as ann@acme.example, in acme."
        " If that was the point, this test passes with pytest.raises(NotFound)."
    ]


async def test_real_http(tenants: Tenants) -> None:
    acme = await tenants.new("acme")
    ann = await acme.person("admin")
    async with ann.client() as http:
        reply = await http.post("projects.create", json={"name": "Launch"})
        assert reply.json()["result"]["data"]["name"] == "Launch"
        assert (await http.get("notes.asCsv")).json() == {"result": {"data": ""}}
"""


def run(cluster: Cluster, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "HOME", "PYTHONPATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    urls = cluster.urls
    environment |= {
        "TRACKER_TOKEN": "t", "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(),
        "DATABASE_OPS_URL": urls.ops.reveal(), "DATABASE_ADMIN_URL": cluster.superuser.reveal(),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGIN, "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_section_six_runs_as_written_and_more(cluster: Cluster, tmp_path: Path) -> None:
    more = tmp_path / "test_more.py"
    more.write_text(MORE)
    done = run(cluster, FOLDER, "tests", str(more))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "17 passed" in done.stdout


def test_the_test_of_notes_runs_as_its_first_line_says(cluster: Cluster) -> None:
    file = FOLDER.parent / "notes" / "test_notes.py"
    words = file.read_text().splitlines()[0].partition("pytest ")[2].rstrip('"').split()
    done = run(cluster, file.parent, *words, file.name)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-6000:] + done.stderr[-2000:]
