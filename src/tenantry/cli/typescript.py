"""`tenantry typescript`: the application's procedures as TypeScript, printed or written; checked in CI; kept current while one works."""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenantry.cli.place import load, say, show, tell
from tenantry.errors import Problem, kinds_of
from tenantry.files import SHARED, write_whole
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.app import Tenantry

ROUTER, AUTH = "app-router.d.ts", "auth.ts"
DIFF_LINES = 40
"""What --check shows of a difference: enough to see what it is about."""


def run(arguments: argparse.Namespace) -> int:
    """Print, write, compare or watch."""
    if arguments.watch:
        return _watch(arguments)
    app = load(arguments.app, Settings.load())
    texts = {ROUTER: router_text(app, arguments.transformer)}
    if arguments.auth:
        from tenantry.rpc.typescript import AUTH_MODULE

        texts[AUTH] = AUTH_MODULE
    folder = _folder(arguments)
    if folder is None:
        if arguments.json:
            show({"files": [{"path": name, "text": text} for name, text in texts.items()]})
        else:
            sys.stdout.write(texts[ROUTER])
        return 0
    if arguments.check:
        return _check(folder, texts, is_json=arguments.json)
    return _write(folder, texts, is_json=arguments.json)


def router_text(app: Tenantry[Any], transformer: str | None) -> str:
    """`app-router.d.ts` of an application; `transformer` none or superjson, None: what the application speaks."""
    from tenantry.rpc.typescript import declarations

    return declarations(
        app.procedures(),
        transformer="superjson" if (transformer or _spoken(app)) == "superjson" else None,
        problems=kinds_of(Problem),
        error_data=_added_to_errors(app),
    )


def _spoken(app: Tenantry[Any]) -> str | None:
    """The transformer of the application's first mount."""
    return app.mounts()[0].transformer


def _added_to_errors(app: Tenantry[Any]) -> Any:
    """The type of what the application's error formatter gives; None without one, or without an annotation."""
    add = app._error_data  # pyright: ignore[reportPrivateUsage] - asked for its annotation, here only
    return None if add is None else typing.get_type_hints(add, include_extras=True).get("return")


def _folder(arguments: argparse.Namespace) -> Path | None:
    """Where the files are; None to print. What reads or writes two files, or files again, means this folder if it says none."""
    if arguments.out is not None:
        return Path(arguments.out)
    return Path() if arguments.check or arguments.auth or arguments.watch else None


def _write(folder: Path, texts: dict[str, str], *, is_json: bool) -> int:
    changed = [name for name, text in texts.items() if _read(folder / name) != text]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in changed:
            # In one step: a bundler that watches the file never sees half of it.
            write_whole(folder / name, texts[name].encode(), mode=SHARED)
    except OSError as error:
        tell(f"{folder} cannot be written: {error.strerror}. Name another folder: --out DIR")
        return 1
    if is_json:
        show({"files": [{"path": str(folder / name), "written": name in changed} for name in texts]})
    else:
        for name in texts:
            tell(f"{folder / name} {'written' if name in changed else 'is current'}")
    return 0


def _check(folder: Path, texts: dict[str, str], *, is_json: bool) -> int:
    old = [name for name, text in texts.items() if _read(folder / name) != text]
    if is_json:
        show({"files": [{"path": str(folder / name), "is_current": name not in old} for name in texts]})
    else:
        for name in old:
            tell(_difference(folder / name, texts[name]))
    return 1 if old else 0


def _difference(path: Path, text: str) -> str:
    there = _read(path)
    if there is None:
        return f"{path} is not there. Run: tenantry typescript --out {path.parent}"
    lines = list(
        difflib.unified_diff(there.splitlines(), text.splitlines(), str(path), f"{path} (now)", lineterm="", n=1)
    )
    if len(lines) > DIFF_LINES:
        lines = [*lines[:DIFF_LINES], f"… and {len(lines) - DIFF_LINES} lines more"]
    return "\n".join([*lines, f"{path} is out of date. Run: tenantry typescript --out {path.parent}"])


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _watch(arguments: argparse.Namespace) -> int:
    """Write now, and again after each change of a Python file below this folder, until interrupted."""
    from watchfiles import PythonFilter, watch

    # A process of its own each time: nothing of the old code is left in it, and a mistake in the new ends only it.
    command = [sys.executable, "-m", "tenantry.cli.main", "typescript", "--out", arguments.out or "."]
    command += [arguments.app] if arguments.app else []
    command += ["--auth"] if arguments.auth else []
    command += ["--transformer", arguments.transformer] if arguments.transformer else []
    try:
        subprocess.run(command, check=False)  # noqa: S603 - our own command, with the options that were given
        say("Watching for changes; Ctrl-C ends it.")
        sys.stdout.flush()
        for _ in watch(Path(), watch_filter=PythonFilter(), raise_interrupt=True):
            subprocess.run(command, check=False)  # noqa: S603 - as above
    except KeyboardInterrupt:
        return 0
    return 0
