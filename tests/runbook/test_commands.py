"""Every command of the older runbook, as it stands there, against a real Tenantry: it runs, and prints what the table says."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.db.migrate import Migration, push
from tenantry.runbook import sections
from tenantry.runbook.commands import API, COMMANDS, Typed
from tenantry.settings import DatabaseUrl
from tenantry.tenancy import REPAIRS, builtin_migrations
from tests.conftest import Cluster, Database
from tests.processes.place import Place, placed


@pytest.fixture(scope="module", params=["18", "15"])
def as_typed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which `psql -U platform -d platform` needs nothing more, as `eval "$(tenantry env)"` makes it."""
    cluster: Cluster = request.getfixturevalue(f"cluster{request.param}")
    platform, superuser = cluster.urls.platform.with_database("platform"), cluster.superuser.with_database("platform")
    migrations = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
    push(superuser, migrations, urls=cluster.urls, repairs=REPAIRS)
    folder = tmp_path_factory.mktemp("typed")
    port = _port(platform)
    passwords = folder / "pgpass"
    passwords.write_text("".join(f"127.0.0.1:{port}:*:{url.user}:{url.password}\n" for url in (platform, superuser)))
    passwords.chmod(0o600)
    return {
        **os.environ,
        "PGHOST": "127.0.0.1",
        "PGPORT": port,
        "PGPASSFILE": str(passwords),
        "PGCONNECT_TIMEOUT": "20",
    }


def _port(url: DatabaseUrl) -> str:
    found = re.search(r":(\d+)$", url.place)
    assert found is not None
    return found[1]


def run(text: str, environment: dict[str, str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, env=environment, cwd=folder, timeout=60, check=False
    )


def of(by: str) -> list[Typed]:
    return [one for one in COMMANDS if one.by == by]


def test_psql_commands_run_as_typed_and_print_what_is_promised(as_typed: dict[str, str]):
    wrong: list[str] = []
    for one in of("psql"):
        seen = run(one.text, as_typed)
        if seen.returncode != 0 or not re.search(one.expects, seen.stdout):
            wrong.append(f"{one.text}\n-> {seen.returncode} {seen.stdout[-300:]} {seen.stderr[-300:]}")
    assert not wrong, "\n".join(wrong)


def test_shell_commands_run_as_typed(tmp_path: Path):
    (tmp_path / ".env").write_text("AUTH_SECRET=x\n")
    for one in of("shell"):
        seen = run(one.text, dict(os.environ), tmp_path)
        assert seen.returncode == 0, one.text
        assert re.search(one.expects, seen.stdout.strip()), one.text
    assert (tmp_path / ".env").read_text().count("AUTH_SECRET=") == 2  # what the doctor then reports


@pytest.fixture
def served(database: Database) -> Iterator[Place]:
    with placed(database) as place:
        place.serve()
        yield place


def test_curl_and_jq_commands_run_as_typed(served: Place):
    for one in of("curl"):
        seen = run(one.text.replace(API, served.url), dict(os.environ))
        assert seen.returncode == 0, one.text
        assert re.search(one.expects, seen.stdout), f"{one.text}\n{seen.stdout[:500]}"


def test_every_command_has_a_section_and_says_what_is_right():
    slugs = {section.slug for section in sections()}
    for one in COMMANDS:
        assert one.section in slugs
        assert one.judgement == "right" or len(one.says) > 30, one.text
        assert one.expects or one.by in ("pm2", "system", "shell"), one.text
    assert len(COMMANDS) == len({(one.section, one.text) for one in COMMANDS})
