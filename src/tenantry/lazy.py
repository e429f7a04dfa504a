"""Names of a package that are loaded when they are first asked for, so that who needs few of them does not pay for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_from(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`: `homes` says which module has each name. What was asked for once is the package's own from then on."""

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            message = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = getattr(import_module(home), name)
        setattr(sys.modules[module], name, value)
        return value

    return get
