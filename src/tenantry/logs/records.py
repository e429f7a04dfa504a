"""Records of Python's `logging` as lines: JSON, or text for a terminal; errors with their trace and fingerprint, and counted.

One bug is one fingerprint, and its whole trace is written once in ten seconds: a fault that every request meets shall not
drown the log that is to explain it. The secrets that the settings hold are blotted out wherever they turn up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

import msgspec

from tenantry.errors import TenantryError
from tenantry.logs.traces import fingerprint, trace

WHOLE_AGAIN_SECONDS = 10.0
_MOST_PRINTS = 256
_LONGEST = 16 << 10
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m", "DEBUG": "\x1b[2m"}


class RecordHandler(logging.Handler):
    """Writes records by `put`, unless another handler of the application does; makes them safe for any handler after it."""

    def __init__(
        self,
        put: Callable[[str], None],
        *,
        is_text: bool,
        has_colour: bool = False,
        shows_text: bool = False,
        secrets: Sequence[str] = (),
    ) -> None:
        """`shows_text`: foreign exceptions with their words, for development."""
        super().__init__()
        self._put = put
        self._is_text = is_text
        self._has_colour = has_colour
        self._shows_text = shows_text
        self._secrets = [secret for secret in secrets if len(secret) >= 8]
        self._prints: dict[str, float] = {}
        self.writes = True
        self.count: Callable[[str, str], None] | None = None
        """Told of each error: the room and the code."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record; never raises, as logging's own handlers."""
        try:
            error = record.exc_info[1] if record.exc_info else getattr(record, "error", None)
            if record.levelno >= logging.ERROR and self.count is not None:
                self.count(_room(record.name), code_of(record, error))
            if error is not None:
                self._make_safe(record, error)
            if self.writes:
                self._put(self._text(record) if self._is_text else self._json(record))
        except Exception:
            self.handleError(record)

    def _make_safe(self, record: logging.LogRecord, error: BaseException) -> None:
        """A trace without values takes the exception's place, also for handlers that come after this one."""
        mark = fingerprint(error)
        record.fingerprint = mark
        if record.exc_info:
            record.exc_text = (
                self._blotted(trace(error, shows_text=self._shows_text))
                if self._is_whole(mark)
                else "(trace as before)"
            )
            record.exc_info = None

    def _is_whole(self, mark: str) -> bool:
        now = time.monotonic()
        last = self._prints.get(mark)
        if last is not None and now - last < WHOLE_AGAIN_SECONDS:
            return False
        if len(self._prints) >= _MOST_PRINTS:
            self._prints.clear()
        self._prints[mark] = now
        return True

    def _blotted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "•••")
        return text[:_LONGEST]

    def _json(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._blotted(record.getMessage()),
        }
        for name in ("code", "fingerprint", "request_id"):
            if hasattr(record, name):
                fields[name] = getattr(record, name)
        if record.exc_text:
            fields["trace"] = record.exc_text
        return msgspec.json.encode(fields).decode() + "\n"

    def _text(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc).strftime("%H:%M:%S.%f")[:-3]
        colour, plain = (_COLOURS.get(record.levelname, ""), "\x1b[0m") if self._has_colour else ("", "")
        found: str | None = getattr(record, "fingerprint", None)
        mark = f" [{found}]" if found else ""
        line = f"{moment} {colour}{record.levelname.lower()}{plain} {record.name}: {self._blotted(record.getMessage())}{mark}\n"
        return line + (f"{record.exc_text}\n" if record.exc_text else "")


def code_of(record: logging.LogRecord, error: BaseException | None) -> str:
    """The stable code of what was logged: the error's, the record's own, or INTERNAL."""
    if isinstance(error, TenantryError):
        return error.code
    return str(getattr(record, "code", "INTERNAL"))


def _room(name: str) -> str:
    """`tenantry.db` is `db`; what the application logs is `app`."""
    first, _, rest = name.partition(".")
    return (rest.partition(".")[0] or "tenantry") if first == "tenantry" else "app"
