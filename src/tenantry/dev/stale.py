"""Why the code that is on disk does not serve: as the supervisor wrote it into the run directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Stale:
    """Reads the supervisor's state, again when it has changed."""

    def __init__(self, home: Path) -> None:
        self._path = home / "run" / "supervisor.json"
        self._known: tuple[int, str] = (0, "")

    def __call__(self) -> str:
        """The words; empty where the code on disk is what serves, or nobody follows it."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._known[0]:
                state: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
                last: dict[str, Any] = state.get("reload") or {}
                # A file of an earlier serving says nothing of this process.
                is_ours = state.get("pid") == os.getppid()
                self._known = changed, str(last.get("why", "")) if is_ours and not last.get("ok", True) else ""
        except (OSError, ValueError):
            return ""
        return self._known[1]
