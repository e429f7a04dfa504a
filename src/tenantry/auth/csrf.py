"""CSRF, as Auth.js does it, and stricter: token and hash in a cookie, the token in the body, and the page's origin. Pure.

hash = SHA-256 hex of token + secret: a Next server with the same AUTH_SECRET reads it. Any current secret verifies.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Container, Sequence
from urllib.parse import unquote

_VALUE = re.compile(r"([0-9a-f]{64})\|([0-9a-f]{64})\Z")


def hash_of(token: str, secret: bytes) -> str:
    """The hash beside the token."""
    return hashlib.sha256(token.encode() + secret).hexdigest()


def make(known: Sequence[bytes]) -> tuple[str, str]:
    """A new token, and the cookie's value."""
    token = secrets.token_hex(32)
    return token, value_of(token, known)


def value_of(token: str, known: Sequence[bytes]) -> str:
    """The cookie's value of a token, under the secret that signs."""
    return f"{token}%7C{hash_of(token, known[0])}"


def token_of(cookie: str | None, known: Sequence[bytes]) -> tuple[str | None, bool]:
    """The token of a cookie that is ours, else None; and whether it is signed by an older secret than the first."""
    match = _VALUE.match(unquote(cookie or "", errors="replace"))
    if match is None:
        return None, False
    token, given = match.groups()
    for place, secret in enumerate(known):
        if hmac.compare_digest(hash_of(token, secret), given):
            return token, place > 0
    return None, False


def is_good(
    cookie: str | None, field: str | None, known: Sequence[bytes], *, own: str, allowed: Container[str],
    origin: bytes | None, fetch_site: bytes | None,
) -> bool:  # fmt: skip
    """Whether a POST was sent by a page of ours: the token twice, and nothing that says another site."""
    token, _ = token_of(cookie, known)
    if token is None or field is None or not hmac.compare_digest(token.encode(), field.encode("utf-8", "replace")):
        return False
    if origin == b"null":
        # Our own pages send no referrer, and so browsers hide their forms' origin as well; whose form it was is then said by a
        # header that no page can set. A sandboxed frame of another site is "null" too, and cross-site.
        return fetch_site == b"same-origin"
    if origin is not None:
        text = origin.decode("latin-1")
        if text != own and text not in allowed:
            return False
        if text in allowed:
            return True
    return fetch_site != b"cross-site"
