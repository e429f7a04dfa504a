"""Channels: apprise URLs with a filter in front, and what is never shown of them. Pure.

A setting holds several, with spaces or commas between. A filter in brackets names severities or sections of the runbook:
`[warning] slack://… [critical memory-leaks] json://…`; without one everything goes there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct

from tenantry.settings import Secret

SEVERITIES = frozenset({"critical", "warning"})


class Channel(Struct, frozen=True):
    """Where messages go. `name` is what may be shown and counted: the scheme, and a few digits that tell two apart."""

    url: Secret
    name: str
    only: frozenset[str] = frozenset()

    @classmethod
    def of(cls, url: str, only: Iterable[str] = ()) -> Channel:
        """A channel of a URL. Raises ValueError, without the URL, if it is none."""
        scheme = urlsplit(url).scheme
        if not scheme or "://" not in url:
            message = "a channel is a URL such as slack://… or pagerduty://…"
            raise ValueError(message)
        digest = hashlib.sha256(url.encode()).hexdigest()[:4]
        return cls(Secret(url), f"{scheme}-{digest}", frozenset(only))

    def takes(self, severity: str, sections: Iterable[str]) -> bool:
        """Whether a message of that severity about those sections goes there."""
        severities = self.only & SEVERITIES
        wanted = self.only - SEVERITIES
        return (not severities or severity in severities) and (not wanted or not wanted.isdisjoint(sections))


_PIECE = re.compile(r"\[(?P<only>[^\]]*)\]|(?P<url>[^\s,\[]+)")


def channels(text: str) -> list[Channel]:
    """The channels of a setting's text. Raises ValueError."""
    found: list[Channel] = []
    only: list[str] = []
    for piece in _PIECE.finditer(text):
        if piece["url"] is None:
            only = piece["only"].replace(",", " ").split()
        else:
            found.append(Channel.of(piece["url"], only))
            only = []
    return found


def addressed(channel: Channel, incident: str) -> str:
    """The URL for a message of an incident: PagerDuty joins and resolves by a key of its own (`action=map`)."""
    url = channel.url.reveal()
    if not url.startswith("pagerduty://"):
        return url
    join = "&" if "?" in url else "?"
    action = "" if "action=" in url else "action=map&"
    return f"{url}{join}{action}dedup={incident}"


__all__ = ["Channel", "addressed", "channels"]
