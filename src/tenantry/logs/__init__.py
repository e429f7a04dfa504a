"""The log: one structured line a call, and Python's `logging` beside it, on standard error; never in the way of a request.

`lines.py` is the line of a call, `records.py` everything else, `traces.py` what may be said of an exception, `writer.py` the
thread that writes. JSON where a program reads, text where a person does (TENANTRY_LOG). No header, cookie, body, bind value,
SQL or URL is ever written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from tenantry.logs.lines import RequestLines
from tenantry.logs.records import RecordHandler
from tenantry.logs.traces import fingerprint
from tenantry.logs.writer import Writer, stderr_is_terminal

__all__ = ["Log", "RequestLines", "Writer", "fingerprint"]

Form = Literal["auto", "json", "text"]
Level = Literal["debug", "info", "warning", "error"]


class Log:
    """The log of this process. `begin` gives the one that is there already, if there is one."""

    def __init__(
        self, form: Form, level: Level, *, shows_text: bool, secrets: Sequence[str] = (), writer: Writer | None = None
    ) -> None:
        """Made by `begin`."""
        is_terminal = stderr_is_terminal()
        self.writer = writer or Writer(2)
        self.level = logging.getLevelNamesMapping()[level.upper()]
        self.is_text = form == "text" or (form == "auto" and is_terminal)
        self.has_colour = self.is_text and is_terminal
        self.handler = RecordHandler(
            self.writer.put,
            is_text=self.is_text,
            has_colour=self.has_colour,
            shows_text=shows_text,
            secrets=secrets,
        )
        self.handler.log = self  # pyright: ignore[reportAttributeAccessIssue] - how the next `begin` finds it

    @staticmethod
    def current() -> Log | None:
        """The log that was begun in this process."""
        for logger in (logging.getLogger("tenantry"), logging.getLogger()):
            for handler in logger.handlers:
                found = getattr(handler, "log", None)
                if isinstance(found, Log):
                    return found
        return None

    @classmethod
    def begin(
        cls, form: Form = "auto", level: Level = "info", *, owns_process: bool, shows_text: bool = False,
        secrets: Sequence[str] = (), writer: Writer | None = None,
    ) -> Log:  # fmt: skip
        """Take over the process's whole log (`tenantry serve`), or Tenantry's part of it (under a stock server).

        As a guest its records go to the application's own handlers where there are any, made safe before.
        """
        found = cls.current()
        if found is not None:
            return found
        made = cls(form, level, shows_text=shows_text, secrets=secrets, writer=writer)
        root, own = logging.getLogger(), logging.getLogger("tenantry")
        if owns_process:
            for handler in list(root.handlers):
                root.removeHandler(handler)
            root.addHandler(made.handler)
            root.setLevel(max(made.level, logging.INFO))
            logging.captureWarnings(capture=True)
        else:
            made.handler.writes = not root.handlers
            own.addHandler(made.handler)
        own.setLevel(made.level)
        return made

    def end(self) -> None:
        """Write what waits, and leave `logging` as it was."""
        self.writer.flush()
        for logger in (logging.getLogger("tenantry"), logging.getLogger()):
            logger.removeHandler(self.handler)

    def counts(self, error: Callable[[str, str], None], dropped: Callable[[int], None]) -> None:
        """Tell these of every error and of every line that was given up."""
        self.handler.count = error

        def lost(count: int) -> None:
            dropped(count)
            self.writer.put(self._lost_line(count))

        self.writer.dropped = lost

    def _lost_line(self, count: int) -> str:
        if self.is_text:
            return f"({count} lines of the log were given up: its reader is too slow)\n"
        return f'{{"level":"warning","logger":"tenantry.log","message":"lines given up","count":{count}}}\n'

    def lines(self, procedures: Mapping[str, str], *, rate: int, slow_ms: float) -> RequestLines:
        """The lines of calls."""
        return RequestLines(
            self.writer.put,
            procedures,
            is_text=self.is_text,
            has_colour=self.has_colour,
            rate=rate,
            slow_ms=slow_ms,
            has_good=self.level <= logging.INFO,
        )
