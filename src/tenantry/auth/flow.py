"""A sign-in that is under way, sealed into a cookie of its own, so that two tabs never disturb each other. Pure.

The cookie is named by the first 8 hex of SHA-256(state), lives for 15 minutes, and belongs to one provider and one origin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tenantry.auth import cookie, seal
from tenantry.auth.visit import Visit

USE = "flow"


class Flow(Struct, frozen=True, array_like=True):
    """What must come back as it went out."""

    provider: str
    state: str
    nonce: str
    verifier: str
    callback: str
    intent: str
    origin: str
    issued: int
    """Unix milliseconds."""
    session: str = ""
    """The session that was left for this sign-in; it comes back when the sign-in fails."""
    bound: str = ""
    """Of an account that is to be added: SHA-256 of the session that it is added to, and to no other."""


def bound_to(session: bytes | None) -> str:
    """What a flow keeps of the session that it belongs to."""
    return "" if session is None else hashlib.sha256(session).hexdigest()


def kind_of(state: str) -> str:
    """The cookie of a state."""
    return cookie.FLOW + hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:8]


def opened(visit: Visit, kind: str, known: Sequence[bytes], now: int) -> Flow | None:
    """The flow in the cookie of that kind; None for one that is missing, forged, too old, or of another origin."""
    sealed = visit.cookies.get(cookie.name_of(kind, is_secure=visit.is_secure))
    raw = None if sealed is None else seal.unseal(sealed, known, USE)
    if raw is None:
        return None
    try:
        found = msgspec.json.decode(raw, type=Flow)
    except msgspec.DecodeError:
        return None
    is_good = (
        found.origin == visit.origin
        and now - 1000 * cookie.FLOW_SECONDS <= found.issued <= now + 60_000
        and kind == kind_of(found.state)
    )
    return found if is_good else None


def cookies_for(visit: Visit, flow: Flow, known: Sequence[bytes]) -> list[str]:
    """`Set-Cookie` values: the new flow, and the oldest ones that no longer have room."""
    kinds = cookie.flow_kinds(visit.cookies, is_secure=visit.is_secure)
    ages = sorted((_issued(visit, kind, known, flow.issued), kind) for kind in kinds)
    gone = [kind for issued, kind in ages if issued == 0]
    alive = [kind for issued, kind in ages if issued]
    gone += alive[: max(0, len(alive) - cookie.MOST_FLOWS + 1)]
    lines = [cookie.clear(kind, is_secure=visit.is_secure) for kind in gone]
    sealed = seal.seal(msgspec.json.encode(flow), known, USE)
    lines.append(cookie.set_cookie(kind_of(flow.state), sealed, is_secure=visit.is_secure, max_age=cookie.FLOW_SECONDS))
    return lines


def _issued(visit: Visit, kind: str, known: Sequence[bytes], now: int) -> int:
    found = opened(visit, kind, known, now)
    return 0 if found is None else found.issued


def newest(visit: Visit, provider: str, known: Sequence[bytes], now: int) -> Flow | None:
    """The last flow that was begun with a provider in this browser."""
    kinds = cookie.flow_kinds(visit.cookies, is_secure=visit.is_secure)
    flows = [found for kind in kinds if (found := opened(visit, kind, known, now)) and found.provider == provider]
    return max(flows, key=lambda found: found.issued, default=None)
