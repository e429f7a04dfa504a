"""Every command of the older runbook, as it stands there, against a real Tenantry: it runs, and prints what the table says."""

from __future__ import annotations

import os
import re
import shutil
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


ROOT = Path(__file__).parents[2]
ELSEWHERE: dict[str, tuple[str, str]] = {
    "pm2 restart platform-api": ("tests/processes/test_pm2.py", '"pm2 restart platform-api"'),
    "pm2 list": ("tests/processes/test_pm2.py", '"pm2 list"'),
    "pm2 monit": ("tests/processes/test_pm2.py", '"monit"'),
    "pm2 restart platform-api --max-memory-restart 500M": ("tests/processes/test_pm2.py", "--max-memory-restart"),
    'pm2 logs platform-api --lines 100 | grep "Heap"': ("tests/processes/test_pm2.py", 'grep "Heap"'),
    "pm2 logs platform-api": ("tests/processes/test_pm2.py", "pm2 logs platform-api"),
    'psql -p 6432 -U postgres pgbouncer -c "SHOW POOLS;"': ("tests/deploy/test_pgbouncer.py", "SHOW POOLS"),
    "sudo systemctl restart pgbouncer": ("tests/deploy/test_pgbouncer.py", "restart"),
    "sudo apt-get install pgbouncer": ("scripts/test-needs.sh", "pgbouncer"),
    "cd /app && pnpm db:push": ("package.json", '"db:push"'),
}
"""Run by another test, which has what they need."""

NOT_RUN: dict[str, str] = {
    "sudo systemctl status postgresql": "no systemd in a test's machine: pg_lsclusters stands in, below",
    "sudo systemctl start postgresql": "as above: pg_ctlcluster start, which the doctor's remedy falls back to",
    "sudo systemctl reload postgresql": "as above: pg_ctlcluster reload",
    "sudo netstat -tulpn | grep 5432": "net-tools are not everywhere: the page names ss",
    "sudo tail -f /var/log/postgresql/postgresql-16-main.log": "never ends, and names a version that is not here",
    "sudo cat /etc/postgresql/16/main/pg_hba.conf": "a file of a version that is not here; pg_hba_file_rules is asked instead",
    "curl -I https://accounts.google.com/.well-known/openid-configuration": "tests have no network but loopback",
    "node --heap-prof packages/api/dist/index.js": "there is no such file: it profiles another program",
    "await sql.unsafe(`SELECT set_config('app.current_tenant_id', '${authContext.tenantId}', true)`);": "no shell command: it is what must not be done",
}


def test_what_is_not_typed_here_is_run_elsewhere_or_says_why_not():
    rest = {one.text for one in COMMANDS if one.by in ("pm2", "system")}
    assert rest == {*ELSEWHERE, *NOT_RUN}
    for text, (path, sign) in ELSEWHERE.items():
        assert sign in (ROOT / path).read_text("utf-8"), text


def test_without_systemd_debians_own_tools_do_the_same():
    """`pg_ctlcluster` takes what `systemctl` would: known to this machine, or there is nothing to try."""
    if shutil.which("pg_lsclusters") is None:
        pytest.skip("Debian's postgresql-common is not here")
    listed = run("pg_lsclusters --no-header", dict(os.environ))
    assert listed.returncode == 0
    for line in listed.stdout.splitlines():
        version, cluster, *_ = line.split()
        status = run(f"pg_ctlcluster {version} {cluster} status", dict(os.environ))
        assert status.returncode in (0, 3), status.stderr  # 3: it does not run
