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
import pytest
from desk import Note, NotePatch, TooManyProjects, add, as_csv, create, search, update

from tenantry import BadRequest, Forbidden, NotFound
from tenantry.testing import CallFailed, Tenants


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


def test_section_six_runs_as_written_and_more(cluster: Cluster, tmp_path: Path) -> None:
    more = tmp_path / "test_more.py"
    more.write_text(MORE)
    names = ("PATH", "HOME", "PYTHONPATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    urls = cluster.urls
    environment |= {
        "TRACKER_TOKEN": "t", "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(),
        "DATABASE_OPS_URL": urls.ops.reveal(), "DATABASE_ADMIN_URL": cluster.superuser.reveal(),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p", "no:cacheprovider", "tests", str(more)],
        cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "5 passed" in done.stdout
