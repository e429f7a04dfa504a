"""`tenantry shell`: as a person, READ ONLY unless asked, and in the trail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import Cluster, Database, People
from tests.examples.desk_place import FOLDER, migrations


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    name = "desk_shell"
    if cluster.admin.execute("select from pg_database where datname = $1", (name,)).fetchone() is None:
        cluster.make_template(name, migrations())
    with cluster.database(name) as made:
        yield made


def shell(
    database: Database, lines: str, *arguments: str, env: str = "development"
) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    urls = database.urls
    return subprocess.run(
        [sys.executable, "-m", "tenantry.cli.main", "shell", "desk:app", *arguments], cwd=FOLDER, input=lines, text=True,
        capture_output=True, timeout=120, check=False,
        env={
            **kept, "TENANTRY_ENV": env, "TRACKER_TOKEN": "t", "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(),
            "DATABASE_OPS_URL": urls.ops.reveal(), "DATABASE_ADMIN_URL": database.superuser.reveal(), "TENANTRY_HOME": str(database.home),
        },
    )  # fmt: skip


def test_a_shell_reads_as_its_person_and_is_in_the_trail(database: Database, people: People) -> None:
    person = people.acme.admin
    lines = (
        "await ctx.db.one(int, 'select count(*) from users')\n"
        "await ctx.db.run(\"insert into projects (name) values ('x')\")\n"
        "await call(projects.create, name='y')\n"
        "print('role', ctx.role)\n"
    )
    done = shell(database, lines, "--as", person.email)
    assert done.returncode == 0, done.stderr
    assert "READ ONLY" in done.stderr
    assert "3\n" in done.stdout
    assert "role admin" in done.stdout
    assert "this shell is READ ONLY" in done.stderr
    assert database.value("select count(*) from projects") == 0
    assert (
        database.value("select string_agg(action, ',' order by action desc) from audit_log where action like 'shell%'")
        == "shell_open,shell_close"
    )
    assert database.value("select count(*) from auth_sessions") == 6  # its own is ended


def test_writing_is_asked_for_and_in_production_has_a_reason(database: Database, people: People) -> None:
    person = people.acme.admin
    refused = shell(database, "", "--as", person.email, "--write", env="production")
    assert refused.returncode == 1
    assert refused.stderr.startswith("SHELL_REFUSED")
    done = shell(
        database,
        "(await call(projects.create, name='y')).name\n",
        "--as",
        person.email,
        "--write",
        "--reason",
        "ticket 7",
    )
    assert "'y'" in done.stdout, done.stderr
    assert database.value("select count(*) from projects") == 1
    assert database.value("select detail ->> 'reason' from audit_log where action = 'shell_open'") == "ticket 7"
    unknown = shell(database, "", "--as", "nobody@acme.example")
    assert unknown.returncode == 1
    assert "nobody is called nobody@acme.example here" in unknown.stderr


def test_what_goes_wrong_is_told_without_the_inside(database: Database, people: People) -> None:
    lines = "await ctx.db.all(dict, 'select titel from projects')\n1/0\nundefined\nprint('on')\n"
    done = shell(database, lines, "--as", people.acme.admin.email)
    assert "on" in done.stdout
    assert 'SQL_REFUSED shell (<console>:1): column "titel" does not exist' in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "NameError" in done.stderr
    assert "concurrent/futures" not in done.stderr
    assert "tenantry/db/session.py" not in done.stderr
