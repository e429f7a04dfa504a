"""`tenantry settings` and `tenantry version`."""

from __future__ import annotations

import argparse
import platform

import tenantry
from tenantry.cli.place import load, say, show, tell
from tenantry.errors import TenantryError
from tenantry.settings import Settings


def settings(arguments: argparse.Namespace) -> int:
    """Every setting, the application's own too; secrets as •••."""
    given = Settings.load()
    kind: type[Settings] = type(given)
    if arguments.app or given.app:
        try:
            kind = load(arguments.app, given).settings_type
        except TenantryError as error:
            if arguments.app:
                raise
            tell(f"The application's own settings are left out: {error}")
    shown = kind.load().shown()
    if arguments.json:
        show([one._asdict() for one in shown])
        return 0
    for one in shown:
        say(f"{one.name}  {one.value}  {one.source}  {one.says}")
    return 0


def version(arguments: argparse.Namespace) -> int:
    """Tenantry's and Python's."""
    if arguments.json:
        show({"tenantry": tenantry.__version__, "python": platform.python_version()})
    else:
        say(f"tenantry {tenantry.__version__} (Python {platform.python_version()})")
    return 0
