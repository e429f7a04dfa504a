"""Sign-in's cookies: their names, how they are set, and how they go. Pure.

HttpOnly, SameSite=Lax, Path=/ and no Domain, always; behind https Secure, and named so that no other site can plant one
(`__Host-` for CSRF, `__Secure-` for the rest, as Auth.js has them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone

SESSION, CSRF, CALLBACK, FLOW = "session-token", "csrf-token", "callback-url", "flow."
TROUBLE, TROUBLE_SECONDS = "trouble", 120
"""The id of the request that failed, for the page that tells of it: the log and the trail have it too."""
MOST_FLOWS = 5
FLOW_SECONDS = 900
_CHUNK = re.compile(r"\.\d{1,3}\Z")


def name_of(kind: str, *, is_secure: bool) -> str:
    """The cookie's name: `session-token` → `__Secure-authjs.session-token`."""
    if not is_secure:
        return f"authjs.{kind}"
    return f"__Host-authjs.{kind}" if kind == CSRF else f"__Secure-authjs.{kind}"


def set_cookie(
    kind: str, value: str, *, is_secure: bool, expires: datetime | None = None, max_age: int | None = None
) -> str:
    """A `Set-Cookie` value; without an end it lives as long as the browser."""
    line = f"{name_of(kind, is_secure=is_secure)}={value}; Path=/"
    if expires is not None:
        line += expires.astimezone(timezone.utc).strftime("; Expires=%a, %d %b %Y %H:%M:%S GMT")
    if max_age is not None:
        line += f"; Max-Age={max_age}"
    return line + "; HttpOnly; SameSite=Lax" + ("; Secure" if is_secure else "")


def clear(kind: str, *, is_secure: bool) -> str:
    """A `Set-Cookie` value that removes the cookie."""
    return set_cookie(kind, "", is_secure=is_secure, max_age=0)


def session_kinds(names: Iterable[str], *, is_secure: bool) -> list[str]:
    """The session cookie and the chunks that an earlier Auth.js may have left, for sign-out to clear."""
    whole = name_of(SESSION, is_secure=is_secure)
    return [SESSION] + [
        SESSION + name[len(whole) :]
        for name in names
        if name.startswith(whole) and _CHUNK.fullmatch(name[len(whole) :])
    ]


def flow_kinds(names: Iterable[str], *, is_secure: bool) -> list[str]:
    """The kinds of the flow cookies that a request has."""
    prefix = name_of(FLOW, is_secure=is_secure)
    return [FLOW + name[len(prefix) :] for name in names if re.fullmatch(r"[0-9a-f]{8}", name.removeprefix(prefix))]
