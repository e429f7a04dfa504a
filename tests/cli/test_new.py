"""`tenantry new`: what it makes runs at once, is typed without error, and its own test passes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.conftest import Cluster, Database, free_port

ROOT = Path(__file__).parents[2]
PLUGIN = (
    [] if any(one.name == "tenantry" for one in entry_points(group="pytest11")) else ["-p", "tenantry.testing.plugin"]
)


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**kept, **more},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_new_project_is_small_and_its_test_passes(cluster: Cluster, tmp_path: Path) -> None:
    made = run(tmp_path, "tenantry.cli.main", "new", "desk", "--web", "--json")
    assert made.returncode == 0, made.stderr
    files = [tmp_path / name for name in json.loads(made.stdout)["files"]]
    assert all(file.exists() for file in files)
    python = [line for file in files if file.suffix == ".py" for line in file.read_text().splitlines() if line.strip()]
    assert len(python) <= 60
    assert "notes" in (tmp_path / "desk/web/src/app-router.d.ts").read_text()
    urls = cluster.urls
    environment = {
        "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(), "DATABASE_OPS_URL": urls.ops.reveal(),
        "DATABASE_ADMIN_URL": cluster.superuser.reveal(),
    }  # fmt: skip
    tested = run(tmp_path / "desk", "pytest", "-q", *PLUGIN, **environment)
    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr
    typed = run(tmp_path / "desk", "mypy", "--strict", "desk", "tests")
    assert typed.returncode == 0, typed.stdout


WEB = ROOT / "tests/cli/web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
is_installed = pytest.mark.skipif(
    not (WEB / "node_modules/vite").exists(), reason="npm packages are not installed: make test"
)
CHECKS = """import type { inferRouterInputs, inferRouterOutputs } from "@trpc/server";
import { api, type Note } from "./api";
import type { AppRouter } from "./app-router";

type IsAny<T> = 0 extends 1 & T ? true : false;
export const none: [IsAny<AppRouter>, IsAny<Note>, IsAny<Note["body"]>, IsAny<inferRouterInputs<AppRouter>["notes"]["add"]>] = [false, false, false, false];
export const all: { [R in keyof inferRouterOutputs<AppRouter>]: IsAny<inferRouterOutputs<AppRouter>[R]> }["notes"] = false;
// @ts-expect-error - body is text
void api.notes.add.mutate({ body: 1 });
// @ts-expect-error - there is no such procedure
void api.notes.nothing.query();
// @ts-expect-error - a query is no mutation
void api.notes.recent.mutate({});
"""


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A new front end, with the packages that `npm ci` installs by its lock file."""
    assert run(tmp_path, "tenantry.cli.main", "new", "desk", "--web").returncode == 0
    made = tmp_path / "desk" / "web"
    for name in ("package.json", "package-lock.json"):
        assert (made / name).read_text() == (WEB / name).read_text()
    (made / "node_modules").symlink_to(WEB / "node_modules")
    return made


def node(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["node", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@is_installed
def test_the_front_end_is_typed_and_built_and_has_no_any(web: Path) -> None:
    ours = [*(web / "src").glob("*.ts*"), web / "vite.config.ts"]
    assert {file.name for file in ours} >= {"api.ts", "main.tsx", "app-router.d.ts"}
    for file in ours:
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text(), flags=re.DOTALL)
        assert not re.search(r"\bany\b|@ts-ignore|eslint-disable", code), file
    (web / "src/checks.ts").write_text(CHECKS)
    node(web, "node_modules/typescript/bin/tsc")
    node(web, "node_modules/vite/bin/vite.js", "build")
    assert "assets/index-" in (web / "dist/index.html").read_text()
    built = next((web / "dist/assets").glob("*.js")).read_text()
    assert "demo-people" not in built  # of the demo nothing is left


@is_installed
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here")
def test_the_front_end_talks_with_the_served_api_in_a_browser(database: Database, web: Path) -> None:
    urls, project = database.urls, web.parent
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {
        **kept, "TENANTRY_ENV": "development", "PORT": str(free_port()), "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(),
        "DATABASE_OPS_URL": urls.ops.reveal(), "DATABASE_ADMIN_URL": database.superuser.reveal(), "DATABASE_DIRECT_URL": urls.direct.reveal(),
    }  # fmt: skip
    types, served = web / "src/app-router.d.ts", project / "log"
    types.unlink()
    with served.open("wb") as log:
        command = [
            sys.executable,
            "-m",
            "tenantry.cli.main",
            "serve",
            "--demo",
            "--reload",
            "--types",
            "web/src/app-router.d.ts",
        ]
        api = subprocess.Popen(command, cwd=project, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    port = free_port()
    try:
        until(lambda: "Serving desk.main:app" in served.read_text(), served)
        until(types.exists, served)
        vite = [
            "node",
            "node_modules/vite/bin/vite.js",
            "--port",
            str(port),
            "--strictPort",
            "--host",
            "127.0.0.1",
            "--clearScreen",
            "false",
        ]
        shown = subprocess.Popen(vite, cwd=web, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: answers(port), served)
            more = {
                "BASE_URL": f"http://127.0.0.1:{port}",
                "CHROMIUM": CHROMIUM or "",
                "PACKAGES": str(ROOT / "examples/saas/web"),
            }
            driven = subprocess.run(
                ["node", ROOT / "tests/cli/web.mjs"],
                env={**os.environ, **more},
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert driven.returncode == 0, driven.stdout + driven.stderr + served.read_text()[-2000:]
        finally:
            shown.terminate()
            shown.wait(10)
    finally:
        run(project, "tenantry.cli.main", "stop", **environment)
        api.wait(20)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def until(is_so: Callable[[], bool], log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["Desk", "my-desk", "class", "json", "../desk"])
def test_a_name_that_is_no_package_is_refused(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, "tenantry.cli.main", "new", name)
    assert done.returncode == 1
    assert done.stderr.startswith("NAME_REFUSED")
    assert list(tmp_path.iterdir()) == []


def test_db_new_numbers_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0007_notes.sql").touch()
    done = run(tmp_path, "tenantry.cli.main", "db", "new", "add title")
    assert done.returncode == 0, done.stderr
    assert "expand first" in (tmp_path / "migrations/0008_add_title.sql").read_text()
