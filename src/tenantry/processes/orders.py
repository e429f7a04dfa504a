"""What the supervisor tells a process to work with: the application, what the command line said, and the URLs.

It travels over the channel and never in arguments or the environment, where other accounts could read passwords. Each
process reads the environment and `.env` for itself, so that a reload sees what was changed there.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from tenantry.settings import DatabaseUrl, Settings, Urls

S = TypeVar("S", bound=Settings)


class Orders(msgspec.Struct, frozen=True):
    """`over` are settings by attribute name that the command line gave; `urls` by role, once they are known.

    `pushes`: in development new migrations are applied, else they are only told. `is_patient`: a process that replaces
    another waits for a database that is away; the first ones fail, with the reason.
    """

    app: str | None
    over: dict[str, Any] = {}
    urls: dict[str, str] = {}
    is_patient: bool = False
    pushes: bool = True

    @classmethod
    def read(cls, line: bytes) -> Orders:
        """From a line of the channel."""
        return msgspec.json.decode(line, type=Message).orders

    def as_message(self) -> dict[str, Any]:
        """As the channel carries it."""
        return {"do": "work", "orders": msgspec.to_builtins(self)}


class Message(msgspec.Struct, frozen=True):
    """The envelope of orders on the channel."""

    orders: Orders


def settings_for(orders: Orders, kind: type[S] = Settings) -> S:
    """The settings of this process: environment and file, then the command line, then the URLs. Raises SettingsFaulty."""
    settings = kind.load()
    names = {attribute.upper(): "command line" for attribute in orders.over}
    settings = replace(settings, **orders.over, sources={**settings.sources, **names})
    if not orders.urls:
        return settings
    return settings.with_urls(Urls(**{role: DatabaseUrl(url) for role, url in orders.urls.items()}))
