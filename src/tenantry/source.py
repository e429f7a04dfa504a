"""Places in source code, as people are told of them; and whose code it is."""

from __future__ import annotations

import functools
import os
from pathlib import Path


def place(file: str | Path, line: int) -> str:
    """`desk/notes.py:41`: the file in its folder, without the way to it."""
    path = Path(file)
    return f"{path.parent.name}/{path.name}:{line}".removeprefix("/")


def is_foreign(file: str) -> bool:
    """Whether a file is Python's, a library's or ours, and not the application's."""
    return file.startswith(_foreign()) or "site-packages" in file or "dist-packages" in file


@functools.cache
def _foreign() -> tuple[str, ...]:
    import sysconfig  # when something went wrong, not at every start

    # Not sys.base_prefix: it is /usr where an application stands in /usr/src/app.
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return ("<", *(f"{folder}{os.sep}" for folder in (*libraries, Path(__file__).parent)))
