"""examples/desk as a module of this process, and its migrations."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tenantry.db.migrate import Migration, application_migrations

FOLDER = Path(__file__).parents[2] / "examples" / "desk"


def desk() -> Any:
    """The module; made once."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module("desk")


def migrations() -> list[Migration]:
    return application_migrations(FOLDER / "migrations")
