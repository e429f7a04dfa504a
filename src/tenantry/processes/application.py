"""The application that a command or a process was given as `module:variable`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tenantry.errors import StartError
from tenantry.settings import Settings

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
    """The application `module:variable`. Raises AppNotFound; mistakes of its own code pass as they are."""
    wanted = name or settings.app
    if wanted is None:
        raise AppNotFound(app="No application", why="none was named")
    module, _, variable = wanted.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), variable or "app", None)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise
        raise AppNotFound(app=wanted, why=f"there is no module {error.name}") from None
    from tenantry.app import Tenantry

    if not isinstance(found, Tenantry):
        raise AppNotFound(app=wanted, why=f"{variable or 'app'} is no Tenantry application")
    return cast("Tenantry[Any]", found)
