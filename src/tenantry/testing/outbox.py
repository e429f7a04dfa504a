"""The mails that the application sent in a test: none of them leaves the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


class SentMail(Struct, frozen=True):
    """One mail: `url` is its link, `code` the one to type, where it has one."""

    to: str
    subject: str
    text: str
    url: str
    code: str | None = None


class Outbox:
    """The fixture `outbox`: all mails of this test, the oldest first. `outbox.to("ann@acme.example")`, `outbox.last`, `len(outbox)`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def mails(self) -> list[SentMail]:
        """All of them."""
        return [SentMail(**json.loads(path.read_text("utf-8"))) for path in sorted(self._folder.glob("*.json"))]

    @property
    def last(self) -> SentMail:
        """The newest. Raises IndexError where none was sent."""
        return self.mails[-1]

    def to(self, address: str) -> list[SentMail]:
        """Those to one address."""
        return [mail for mail in self.mails if mail.to.lower() == address.lower()]

    def clear(self) -> None:
        """Forget them."""
        for path in self._folder.glob("*.json"):
            path.unlink()

    def __len__(self) -> int:
        return len(self.mails)

    def __iter__(self) -> Iterator[SentMail]:
        return iter(self.mails)
