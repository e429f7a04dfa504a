"""The application that a command or a process was given as `module:variable`; what is wrong in its code is told with file and line."""

from __future__ import annotations

import importlib
import linecache
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tenantry.errors import AppBroken, StartError, TenantryError
from tenantry.settings import Settings
from tenantry.source import is_foreign, place

if TYPE_CHECKING:
    from tenantry.app import Tenantry


class AppNotFound(StartError):
    """The application that a command was given cannot be loaded."""

    code = "APP_NOT_FOUND"
    says = "{app} cannot be loaded: {why}."
    remedy = (
        "Name it as module:variable, from the folder of the module: tenantry serve notes:app   (or set TENANTRY_APP)"
    )


def load(name: str | None, settings: Settings) -> Tenantry[Any]:
    """The application `module:variable`. Raises AppNotFound, AppBroken; errors of ours pass as they are."""
    wanted = name or settings.app
    if wanted is None:
        raise AppNotFound(app="No application", why="none was named")
    module, _, variable = wanted.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), variable or "app", None)
    except TenantryError:
        raise
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise broken(error) from error
        raise AppNotFound(app=wanted, why=f"there is no module {error.name}") from None
    except Exception as error:
        raise broken(error) from error
    from tenantry.app import Tenantry

    if not isinstance(found, Tenantry):
        raise AppNotFound(app=wanted, why=f"{variable or 'app'} is no Tenantry application")
    return cast("Tenantry[Any]", found)


def broken(error: Exception) -> AppBroken:
    """What is wrong in the application's code: its innermost line that is not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        text, line, why = error.text or "", error.lineno or 1, error.msg
        file, column = error.filename, (error.offset or 1) - 1
    else:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [one for one in frames if not is_foreign(one.filename)] or list(frames[-1:])
        file, line = (ours[-1].filename, ours[-1].lineno or 1) if ours else ("?", 1)
        text, why, column = linecache.getline(file, line), str(error), -1
    shown = text.rstrip().lstrip()
    mark = f"\n    {' ' * max(0, column - (len(text) - len(text.lstrip())))}^" if column >= 0 else ""
    return AppBroken(
        where=place(file, line), kind=type(error).__name__, why=why, excerpt=f"\n    {shown}{mark}" if shown else ""
    )  # fmt: skip
