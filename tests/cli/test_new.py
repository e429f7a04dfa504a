"""`tenantry new`: what it makes runs at once, is typed without error, and its own test passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.conftest import Cluster

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


@pytest.mark.skipif(
    not (ROOT / "tests/typescript/node_modules/typescript").exists(), reason="npm packages are not installed"
)
def test_the_front_end_s_api_is_typed(tmp_path: Path) -> None:
    assert run(tmp_path, "tenantry.cli.main", "new", "desk", "--web").returncode == 0
    web = tmp_path / "desk" / "web"
    (web / "src/main.tsx").unlink()  # React is not among the tests' packages
    modules = ROOT / "tests/typescript/node_modules"
    (web / "node_modules").symlink_to(modules)
    (web / "src/wrong.ts").write_text(
        'import { api } from "./api";\n// @ts-expect-error - body is text\nvoid api.notes.add.mutate({ body: 1 });\n'
    )
    done = subprocess.run(
        ["node", modules / "typescript/bin/tsc", "-p", web], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout


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
