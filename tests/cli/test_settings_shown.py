"""`tenantry settings`: the application's own beside Tenantry's, each with its words; a missing one is told with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

APP = '''
from contextlib import asynccontextmanager
import tenantry

class Settings(tenantry.Settings):
    tracker_token: tenantry.Secret
    """Token of the issue tracker."""
    bucket: str = "files"
    """Folder of the attachments."""

@asynccontextmanager
async def resources(settings: Settings):
    yield settings

app = tenantry.Tenantry(resources=resources)
'''


def asked(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "tenantry.cli.main", "settings", *arguments],
        cwd=folder, env={**kept, **more}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_application_s_own_are_shown_with_their_words(tmp_path: Path) -> None:
    told = asked(tmp_path, "app:app", TRACKER_TOKEN="abcdefgh12345678")
    assert told.returncode == 0, told.stderr
    assert "TRACKER_TOKEN  •••  environment  Token of the issue tracker." in told.stdout
    assert "BUCKET  files  default  Folder of the attachments." in told.stdout
    assert "PORT  3001  default  Port of the API." in told.stdout
    assert "abcdefgh12345678" not in told.stdout
    by_name = {
        one["name"]: one
        for one in json.loads(asked(tmp_path, "--json", TRACKER_TOKEN="x", TENANTRY_APP="app:app").stdout)
    }
    assert by_name["BUCKET"] == {
        "name": "BUCKET",
        "value": "files",
        "source": "default",
        "says": "Folder of the attachments.",
    }
    assert all(one["says"] for one in by_name.values())


def test_a_missing_one_is_told_with_what_it_is_for(tmp_path: Path) -> None:
    told = asked(tmp_path, "app:app")
    assert told.returncode == 2
    assert "TRACKER_TOKEN is not set, and has no default" in told.stderr
    assert "Set TRACKER_TOKEN in .env or the environment. Token of the issue tracker." in told.stderr


def test_an_application_that_does_not_load_hides_nothing_of_ours(tmp_path: Path) -> None:
    told = asked(tmp_path, TENANTRY_APP="nothing:app")
    assert told.returncode == 0
    assert "left out" in told.stderr
    assert "PORT  3001" in told.stdout
