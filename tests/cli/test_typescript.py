"""`tenantry typescript` as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOTES = Path(__file__).parents[2] / "examples" / "notes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(NOTES / "notes.py", tmp_path)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TENANTRY_", "DATABASE_"))}
    return {**kept, "TENANTRY_HOME": str(folder / "home")}


def typescript(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenantry.cli.main", "typescript", *arguments],
        cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_it_prints_the_declarations_and_touches_nothing(folder: Path) -> None:
    done = typescript(folder, "notes:app")
    assert done.returncode == 0, done.stderr
    assert "recent: Query<{" in done.stdout
    assert "export type AppRouter" in done.stdout
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == ["notes.py"]
    assert typescript(folder, "notes:app").stdout == done.stdout


def test_it_writes_what_changed_and_says_so(folder: Path) -> None:
    done = typescript(folder, "notes:app", "--out", "web/src", "--auth")
    assert done.returncode == 0, done.stderr
    written = folder / "web" / "src" / "app-router.d.ts"
    assert written.read_text("utf-8") == typescript(folder, "notes:app").stdout
    assert "declare module 'next-auth'" in (folder / "web" / "src" / "auth.ts").read_text("utf-8")
    before = written.stat().st_mtime_ns
    again = json.loads(typescript(folder, "notes:app", "--out", "web/src", "--auth", "--json").stdout)
    assert [file["written"] for file in again["files"]] == [False, False]
    assert written.stat().st_mtime_ns == before


def test_check_exits_1_with_the_difference_when_a_file_is_old(folder: Path) -> None:
    absent = typescript(folder, "notes:app", "--check")
    assert (absent.returncode, "is not there" in absent.stderr) == (1, True)
    typescript(folder, "notes:app", "--out", ".")
    assert typescript(folder, "notes:app", "--check").returncode == 0
    source = folder / "notes.py"
    source.write_text(
        source.read_text("utf-8").replace("    body: str\n", "    body: str\n    pinned: bool\n"), "utf-8"
    )
    old = typescript(folder, "notes:app", "--check")
    assert old.returncode == 1
    assert "+  pinned: boolean;" in old.stderr
    assert "Run: tenantry typescript --out ." in old.stderr
    found = typescript(folder, "notes:app", "--check", "--json")
    assert (found.returncode, json.loads(found.stdout)["files"][0]["is_current"]) == (1, False)


def test_what_cannot_be_loaded_is_said_in_words(folder: Path) -> None:
    done = typescript(folder, "nope:app")
    assert done.returncode == 1
    assert "APP_NOT_FOUND" in done.stderr
    assert typescript(folder, "notes:app", "--transformer", "nope").returncode == 2


def test_watch_writes_again_after_a_change(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tenantry.cli.main", "typescript", "notes:app", "--out", "web", "--watch"],
        cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        # Where the tests run in a shell's background, what they start would not hear of it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs in it
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert "Watching" in process.stdout.readline()
        written = folder / "web" / "app-router.d.ts"
        assert "pinned" not in written.read_text("utf-8")
        source = folder / "notes.py"
        changed = source.read_text("utf-8").replace("    body: str\n", "    body: str\n    pinned: bool\n")
        for _ in range(60):
            source.write_text(changed, "utf-8")  # again and again: the watch may have begun after the first
            time.sleep(0.5)
            if "pinned" in written.read_text("utf-8"):
                break
        assert "pinned: boolean" in written.read_text("utf-8")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
        process.stdout.close()
    assert code == 0
