"""Where a command works, and how it speaks: lines for people to standard output, progress to standard error, JSON for machines."""

from __future__ import annotations

import json
import sys
from typing import Any

from tenantry.processes.application import AppNotFound, load
from tenantry.processes.place import embedded, keep, kept, migrations, ready, url_of

__all__ = ["AppNotFound", "embedded", "keep", "kept", "load", "migrations", "ready", "say", "show", "tell", "url_of"]


def say(text: str = "") -> None:
    """A line for people, to standard output."""
    sys.stdout.write(text + "\n")


def tell(text: str) -> None:
    """A line of progress, to standard error."""
    sys.stderr.write(text + "\n")


def show(values: Any) -> None:
    """JSON for machines."""
    say(json.dumps(values, indent=2, default=str))
