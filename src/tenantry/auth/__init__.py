"""Who calls: the credential of a request, and sign-in, which makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantry.auth.credential import (
    cookies_of,
    find_credential,
    is_cross_site,
    lacks_origin,
    presents_credential,
    session_cookie,
)

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn
    from tenantry.auth.visit import counted_as, sender

__all__ = [
    "SignIn",
    "cookies_of",
    "counted_as",
    "find_credential",
    "is_cross_site",
    "lacks_origin",
    "presents_credential",
    "sender",
    "session_cookie",
]


def __getattr__(name: str) -> Any:
    # Sign-in's own imports are late: a command, or `import tenantry`, must not load them.
    if name == "SignIn":
        from tenantry.auth.surface import SignIn

        return SignIn
    if name in ("counted_as", "sender"):
        from tenantry.auth import visit

        return getattr(visit, name)
    raise AttributeError(name)
