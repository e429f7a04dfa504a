"""Where every sign-in ends, whichever way it came."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from tenantry.auth.accounts import SignedIn
from tenantry.auth.answer import Answer
from tenantry.auth.visit import Visit

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn

log = logging.getLogger("tenantry.auth")


def now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def arrived(sign_in: SignIn, visit: Visit, signed_in: SignedIn, token: str, url: str) -> Answer:
    """Where a sign-in ends: on with the session, or the page that says why not."""
    if signed_in.outcome not in ("ok", "linked") or signed_in.expires is None:
        log.warning("sign-in refused: %s, %s (request %s)", signed_in.outcome, signed_in.reason, visit.request_id)
        return sign_in.failed(visit, signed_in.outcome)
    welcome = sign_in.configuration.pages.new_user
    if signed_in.is_new and welcome:
        url = f"{visit.origin + welcome if welcome.startswith('/') else welcome}?callbackUrl={quote(url, safe='')}"
    answer = sign_in.go(visit, url)
    sign_in.set_session(answer, visit, token, signed_in.expires)
    return answer
