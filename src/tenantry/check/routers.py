"""Files that make a router which nobody serves: written, and never included."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenantry.check.judging import Finding
from tenantry.source import place

if TYPE_CHECKING:
    from tenantry.app import Tenantry

MOST_FILES = 2000
_NOT_OURS = frozenset({"node_modules", "tests", "test", "migrations", "venv", "site-packages", "build", "dist"})


def loose_routers(app: Tenantry[Any], folder: Path) -> Iterator[Finding]:
    """Of the application's folder, every file with a router that the application does not have."""
    served = {router.name for router in app.routers}
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    files = (path for path in sorted(folder.rglob("*.py")) if not _is_foreign(path.relative_to(folder)))
    for count, path in enumerate(files):
        if count >= MOST_FILES:
            return
        for name, line, is_free in _routers(path):
            if is_free and name in served and str(path) in loaded:
                continue
            if not is_free and str(path) in loaded:
                continue  # app.router() is served as soon as its file is imported
            yield Finding(
                "error", "ROUTER_NOT_INCLUDED", name, place(path, line),
                f'the router "{name}" is made here, and no application includes it.', f"In the application: app.include({path.stem})",
            )  # fmt: skip


def _is_foreign(path: Path) -> bool:
    return any(part in _NOT_OURS or part.startswith(".") for part in path.parts) or path.name.startswith("test_")


def _routers(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(name, line, whether it was made by `Router(…)` and not by an application) of each router at the top of a file."""
    try:
        text = path.read_text("utf-8")
        if "outer(" not in text or ("tenantry" not in text and "app" not in text):
            return
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        match node:
            case ast.Assign(value=ast.Call() as call) | ast.AnnAssign(value=ast.Call() as call):
                yield from _of_call(call, node.lineno)
            case ast.Assign(value=ast.Tuple(elts=elements)):
                for one in elements:
                    if isinstance(one, ast.Call):
                        yield from _of_call(one, node.lineno)
            case _:
                pass


def _of_call(call: ast.Call, line: int) -> Iterator[tuple[str, int, bool]]:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    if name in ("Router", "router") and call.args and isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value), line, name == "Router"
