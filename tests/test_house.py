"""The house itself: a light import, docs that are true, no setting or error without its line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )


def test_importing_tenantry_loads_neither_driver_nor_loop() -> None:
    seen = python(
        "-c",
        "import tenantry, sys; print([m for m in ('psycopg', 'asyncio', 'uvloop', 'msgspec', 'httptools') if m in sys.modules])",
    )
    assert seen.stdout.strip() == "[]", seen.stderr


def test_every_public_name_is_there() -> None:
    seen = python(
        "-c", "import tenantry; [getattr(tenantry, n) for n in tenantry.__all__]; print(len(tenantry.__all__))"
    )
    assert int(seen.stdout) > 20, seen.stderr


def test_the_reference_is_what_the_code_says() -> None:
    checked = python("scripts/reference.py", "--check")
    assert checked.returncode == 0, checked.stderr


def test_links_between_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_lock_file_names_where_packages_came_from() -> None:
    for lock in ROOT.glob("**/package-lock.json"):
        if "node_modules" not in lock.parts:
            assert '"resolved"' not in lock.read_text("utf-8"), lock
    assert "://" not in (ROOT / "requirements.lock").read_text("utf-8")
