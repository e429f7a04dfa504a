"""Every command of README and guides is run as it stands there, in a served project with the demo's tenants; exit code 0, or the page is wrong.

Minutes in a guide are seconds here; what is not run here names where it is (`ELSEWHERE`).
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.db.migrate import application_migrations
from tests.conftest import Cluster, Database
from tests.docs.test_links import PAGES, ROOT, commands
from tests.examples.desk_place import FOLDER, migrations
from tests.processes.place import Place, placed

ELSEWHERE = {
    "tenantry serve": "the place itself is served; tests/processes",
    "tenantry stop": "it would end the place; tests/processes",
    "tenantry drill run": "minutes: tests/drills, and all of them by make drills",
    "tenantry drill report": "it tells of a run: tests/drills",
    "tenantry db upgrade": "it needs an embedded server of an older version: tests/backup/test_upgrade.py",
    "tenantry backup restore --into": "the name is another database of the same server for all runs: tests/backup",
    "tenantry doctor --watch": "it never ends: tests/runbook/test_command_line.py",
    "tenantry doctor --approve": "it needs a session that blocks: tests/runbook",
    "tenantry typescript notes:app --out web/src --watch": "it never ends: tests/cli/test_typescript.py",
    "tenantry incident ack": "it needs that incident: tests/ops/incidents",
    "tenantry incident unack": "it needs that incident: tests/ops/test_watch.py",
    "tenantry incident show inc-": "it needs that incident: tests/ops/incidents/test_shown.py",
    "tenantry incident note": "it needs that incident: tests/ops/incidents",
    "tenantry alerts replay": "it needs the file: tests/ops/alerts",
    "tenantry auth import": "it needs the other database: tests/auth/test_import.py",
    "tenantry db protect": "it needs a table that is not protected: tests/tenancy/test_live_protect.py",
    "tenantry verify --url": "it needs the other database: tests/tenancy/verify",
    "tenantry shell": "it needs a terminal: tests/cli/test_shell.py",
    "tenantry audit prune": "it needs a trail so old: tests/auth/test_trail.py",
}
MAY_FAIL = {
    "tenantry doctor": "1 where it found something: the machine of a test is small",
    "tenantry alerts test": "1 without a channel",
    "tenantry oncall": "1 where a level has nobody",
    "tenantry slow --plan": "1 where the slowest statement is one whose text cannot be planned with $1 in it, which it says",
}
RUN = [
    page
    for page in PAGES
    if (page.parent.name in ("guides", "explanation", "docs") or page.name == "README.md") and commands(page)
]
RUN = [page for page in RUN if page.parent.name not in ("tutorial", "runbook", "saas")]


def is_elsewhere(typed: str) -> bool:
    return any(typed.startswith(one) for one in ELSEWHERE)


@contextlib.contextmanager
def example(database: Database, folder: Path, app: str) -> Iterator[Place]:
    """An example's files in a place of their own, served, with the demo's people."""
    environment = {
        "TENANTRY_ENV": "development",
        "DATABASE_ADMIN_URL": database.superuser.reveal(),
        "TENANTRY_APP": app,
        "TRACKER_TOKEN": "t",
    }
    with placed(database, **environment) as place:
        shutil.copytree(
            folder, place.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".tenantry", "web", "tests", ".env")
        )
        (place.folder / "served.py").unlink()
        assert place.command("demo").returncode == 0
        yield place


@pytest.fixture(scope="module")
def notes_place(cluster18: Cluster) -> Iterator[Place]:
    folder = ROOT / "examples" / "notes"
    template = cluster18.make_template("docs_notes", application_migrations(folder / "migrations"))
    with cluster18.database(template) as database, example(database, folder, "notes:app") as place:
        place.serve("--workers", "1")
        yield place


@pytest.fixture(scope="module")
def desk_place(cluster18: Cluster) -> Iterator[Place]:
    template = cluster18.make_template("docs_desk", migrations())
    with cluster18.database(template) as database, example(database, FOLDER, "desk:app") as place:
        yield place


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(page: Path, request: pytest.FixtureRequest) -> None:
    wrong: list[str] = []
    for typed in commands(page):
        if is_elsewhere(typed):
            continue
        place: Place = request.getfixturevalue("desk_place" if "desk:app" in typed else "notes_place")
        words = shlex.split(re.sub(r"--seconds \d+", "--seconds 1", typed))[1:]
        done = place.command(*words, TENANTRY_BACKUP_PASSPHRASE="a passphrase of a test")
        if typed == "tenantry heap snapshot":
            time.sleep(1.1)  # the page waits for ten minutes; a snapshot's name is of its second
        allowed = (0, 1) if any(typed.startswith(one) for one in MAY_FAIL) else (0,)
        if done.returncode not in allowed or "Traceback" in done.stderr:
            wrong.append(f"{typed}: {done.returncode}: {done.stdout[-600:]}{done.stderr[-600:]}")
    assert wrong == []


def test_what_is_run_elsewhere_is_in_the_documentation() -> None:
    typed = [one for page in RUN for one in commands(page)]
    for one in (*ELSEWHERE, *MAY_FAIL):
        assert any(line.startswith(one) for line in typed), one
