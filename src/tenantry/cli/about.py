"""`tenantry settings` and `tenantry version`."""

from __future__ import annotations

import argparse
import platform

import tenantry
from tenantry.cli.place import say, show
from tenantry.settings import Settings


def settings(arguments: argparse.Namespace) -> int:
    """Every setting; secrets as •••."""
    shown = Settings.load().shown()
    if arguments.json:
        show([one._asdict() for one in shown])
        return 0
    for one in shown:
        say("  ".join(str(part) for part in one))
    return 0


def version(arguments: argparse.Namespace) -> int:
    """Tenantry's and Python's."""
    if arguments.json:
        show({"tenantry": tenantry.__version__, "python": platform.python_version()})
    else:
        say(f"tenantry {tenantry.__version__} (Python {platform.python_version()})")
    return 0
