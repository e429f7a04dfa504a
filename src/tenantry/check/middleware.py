"""Middleware that awaits a statement: what it stands around costs a trip more, however short the statement is."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenantry.check.judging import Finding
from tenantry.check.reading import KINDS

if TYPE_CHECKING:
    from tenantry.app import Tenantry


def dear_middleware(app: Tenantry[Any]) -> Iterator[Finding]:
    """Each of the application's and its routers' that asks the database itself."""
    around: dict[Callable[..., Any], int] = {}
    for procedure in app.procedures().values():
        for one in procedure.middleware:
            around[one] = around.get(one, 0) + 1
    for one, count in around.items():
        line = _asks(one)
        if line is None:
            continue
        file = Path(one.__code__.co_filename)
        yield Finding(
            "warning", "MIDDLEWARE_TRIP", one.__name__, f"{file.parent.name}/{file.name}:{line}",
            f"it awaits a statement around {count} procedures: each call of them costs one round trip more.",
            "Ask in the handler's own statement, or put it around those that need it only: @router.middleware",
        )  # fmt: skip


def _asks(function: Callable[..., Any]) -> int | None:
    """The line of its first statement; None where it makes none, or has no source."""
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="transaction" | "psycopg" | "sqlalchemy" | "lock")):
                return first + node.lineno - 1
            case ast.Call(func=ast.Attribute(attr=attr, value=ast.Attribute(attr="db"))) if attr in KINDS:
                return first + node.lineno - 1
            case _:
                pass
    return None
