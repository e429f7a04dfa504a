"""The log of each of the processes: begun as soon as its settings are known, written out before another program takes its place."""

from __future__ import annotations

from tenantry.logs import Log
from tenantry.settings import Settings


def start_log(settings: Settings) -> None:
    """The process's whole log is ours from here on."""
    Log.begin(
        settings.log,
        settings.log_level,
        owns_process=True,
        shows_text=settings.env == "development",
        secrets=settings.secrets(),
    )


def end_log() -> None:
    """Write what waits."""
    log = Log.current()
    if log is not None:
        log.end()
