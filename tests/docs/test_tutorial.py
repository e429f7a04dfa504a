"""The tutorial: every file of it is written, and every command run, in the order of the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.conftest import Database

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "README.md"
PACKAGES = Path(__file__).parents[1] / "cli" / "web"
HAS_PLUGIN = any(one.name == "tenantry" for one in entry_points(group="pytest11"))


def patch(file: Path, diff: str) -> None:
    """What a reader does with the two lines: put one below the line before it, and one in place of another."""
    text, before, gone = file.read_text("utf-8"), "", None
    for line in diff.splitlines():
        mark, body = line[:1], line[1:]
        if mark == "-":
            gone = body
        elif mark == "+":
            found, new = (before, f"{before}\n{body}") if gone is None else (gone, body)
            assert text.count(found) == 1, found
            text, gone = text.replace(found, new), None
        before = body
    file.write_text(text, "utf-8")


def test_each_step_of_the_tutorial_runs(database: Database, tmp_path: Path) -> None:
    urls, place = database.urls, tmp_path
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, call in (
        ("tenantry", "tenantry.cli.main"),
        ("pytest", "pytest" if HAS_PLUGIN else "pytest -p tenantry.testing.plugin"),
    ):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {call} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
    environment = {
        **kept, "PATH": f"{programs}:{os.environ['PATH']}", "TENANTRY_ENV": "development", "DATABASE_URL": urls.platform.reveal(),
        "DATABASE_AUTH_URL": urls.auth.reveal(), "DATABASE_OPS_URL": urls.ops.reveal(), "DATABASE_ADMIN_URL": database.superuser.reveal(),
    }  # fmt: skip
    said = ""
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if kind in ("python", "sql", "tsx"):
            first, _, rest = text.partition("\n")
            (place / first.split()[-1]).write_text(text if kind == "sql" else rest)
        elif kind == "diff":
            patch(place / "web/src/main.tsx", text)
        elif kind == "bash":
            done = subprocess.run(
                ["sh", "-ec", text],
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            said += done.stdout
            place = place / "desk" if "cd desk" in text else place
    assert "0 errors, 0 warnings" in said
    assert "2 passed" in said
    command = [sys.executable, "-m", "tenantry.cli.main", "typescript", "--out", "web/src"]
    subprocess.run(
        command, cwd=place, env=environment, timeout=60, check=True
    )  # as `serve --types` did when the files were saved
    assert "tags" in (place / "web/src/app-router.d.ts").read_text()
    if (PACKAGES / "node_modules/vite").exists():  # make test installs them
        (place / "web/node_modules").symlink_to(PACKAGES / "node_modules")
        for program in (["typescript/bin/tsc"], ["vite/bin/vite.js", "build"]):
            built = subprocess.run(
                ["node", f"node_modules/{program[0]}", *program[1:]],
                cwd=place / "web", capture_output=True, text=True, timeout=200, check=False,
            )  # fmt: skip
            assert built.returncode == 0, built.stdout + built.stderr
    assert (place / "migrations" / "0002_add_tags.sql").read_text().startswith("-- migrations")
