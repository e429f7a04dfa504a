"""The typed surface: the whole of examples/desk is without error in both strict checkers, and mistakes are found by them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DESK = ROOT / "examples" / "desk"
MISTAKES = Path(__file__).parent / "mistakes.py"
BIN = Path(sys.executable).parent


def basedpyright(tmp_path: Path, *paths: Path) -> set[tuple[str, int]]:
    """(file, line) of every error."""
    config: dict[str, Any] = {
        "include": [str(path) for path in paths], "typeCheckingMode": "strict", "pythonVersion": "3.11",
        "extraPaths": [str(DESK)], "reportUnusedFunction": False,
    }  # fmt: skip
    (tmp_path / "pyright.json").write_text(json.dumps(config))
    done = subprocess.run(
        [BIN / "basedpyright", "-p", tmp_path / "pyright.json", "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found if one["severity"] == "error"}


def mypy(tmp_path: Path, *paths: Path) -> set[tuple[str, int]]:
    done = subprocess.run(
        [BIN / "mypy", "--strict", "--enable-error-code", "unused-coroutine", "--cache-dir", tmp_path, *paths],
        capture_output=True, text=True, timeout=300, check=False, env={"MYPYPATH": str(DESK), "PATH": ""}, cwd=DESK,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    found = re.findall(r"^(.+?):(\d+): error:", done.stdout, re.MULTILINE)
    return {(Path(file).name, int(line)) for file, line in found}


def expected(*, with_f_string: bool) -> dict[str, int]:
    lines = enumerate(MISTAKES.read_text("utf-8").splitlines(), 1)
    found = {
        m[1]: number
        for number, line in lines
        if (m := re.search(r"# (\d\d): (f: )?", line)) and (with_f_string or not m[2])
    }
    assert len(found) == (18 if with_f_string else 17)
    return found


@pytest.fixture(autouse=True)
def _checkers() -> None:
    if not (BIN / "basedpyright").exists():
        pytest.skip("the checkers are not installed")


@pytest.mark.parametrize("check", [basedpyright, mypy])
def test_desk_is_typed_without_error_and_mistakes_are_found(check: Any, tmp_path: Path) -> None:
    found = check(tmp_path, DESK / "desk.py", DESK / "vendors.py", *sorted(DESK.glob("tests/*.py")), MISTAKES)
    assert {one for one in found if one[0] != "mistakes.py"} == set()
    wanted = expected(with_f_string=check is basedpyright)
    lines = {line for file, line in found if file == "mistakes.py"}
    # A mistake of a decorated handler is told at its decorator, or at the line below.
    missed = {number: line for number, line in wanted.items() if not {line, line + 1} & lines}
    assert missed == {}
