"""Who calls: the credential of a request, and sign-in, which makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.auth.credential import (
    cookies_of,
    find_credential,
    is_cross_site,
    lacks_origin,
    presents_credential,
    session_cookie,
)
from tenantry.lazy import names_from

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

# Sign-in's own imports are late: a command, or `import tenantry`, must not load them.
__getattr__ = names_from(
    __name__,
    {"SignIn": "tenantry.auth.surface", "counted_as": "tenantry.auth.visit", "sender": "tenantry.auth.visit"},
)
