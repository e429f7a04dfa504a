"""`tenantry new NAME`: a project that runs at once, with a test; `--web` adds a front end with stock clients and wired types."""

from __future__ import annotations

import argparse
import keyword
import subprocess
import sys
from pathlib import Path

from tenantry.cli.place import say, show, tell
from tenantry.errors import StartError

FOLDER = Path(__file__).parent / "templates"


class NameRefused(StartError):
    """A project's name is a package's name, and its folder is not there yet."""

    code = "NAME_REFUSED"
    says = '"{name}" cannot be the project: {why}.'
    remedy = "Take a name of small letters, digits and _, in a folder that has none of it: tenantry new desk"


def run(arguments: argparse.Namespace) -> int:
    """Write the files; exit code 1 for a name that cannot be."""
    name: str = arguments.name
    why = _fault(name)
    if why:
        raise NameRefused(name=name, why=why)
    root = Path(name)
    kinds = ["project", *(["web"] if arguments.web else [])]
    written: list[str] = []
    for kind in kinds:
        for source in sorted((FOLDER / kind).rglob("*.txt")):
            place = root / str(source.relative_to(FOLDER / kind)).replace("NAME", name).removesuffix(".txt")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(source.read_text("utf-8").replace("NAME", name), "utf-8")
            written.append(str(place))
    example = (root / ".env.example").read_text("utf-8")
    (root / ".env").write_text(example, "utf-8")
    if arguments.web:
        _write_types(root)
        written.append(f"{name}/web/src/app-router.d.ts")
    if arguments.json:
        show({"files": [*written, f"{name}/.env"]})
        return 0
    types = " --types web/src/app-router.d.ts" if arguments.web else ""
    say(f"{len(written) + 1} files in {name}/. Now:\n\n  cd {name}\n  tenantry serve --demo --reload{types}")
    if arguments.web:
        say("  (cd web && npm ci && npm run dev)   in a second terminal")
    say("  pytest   (once: pip install --group dev, or: pip install pytest pytest-asyncio httpx)")
    return 0


def _fault(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        return "it is no name of a package"
    if name in sys.stdlib_module_names or name in ("tenantry", "tests", "web", "migrations"):
        return "a module has it already"
    if Path(name).exists():
        return "there is a folder or file of that name"
    return ""


def _write_types(root: Path) -> None:
    command = [sys.executable, "-m", "tenantry.cli.main", "typescript", "--out", "web/src"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode != 0:
        tell(f"The types are not written yet: {done.stderr.strip()}")
