"""What a sign-in carries through the browser, sealed: AES-256-GCM under a key of AUTH_SECRET (HKDF, one key a use). Pure.

The first secret seals, every current one opens, so that a rotation breaks no sign-in that is under way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence


def key_of(secret: bytes, use: str) -> bytes:
    """The key for one use: HKDF-SHA256 (RFC 5869), 32 bytes."""
    extracted = hmac.digest(b"\0" * 32, secret, "sha256")
    return hmac.digest(extracted, b"tenantry " + use.encode() + b"\x01", "sha256")


def mark_of(secret: bytes) -> str:
    """What tells one secret from another where it may be seen: 16 hex digits of a hash under a key of the secret's own."""
    return hmac.digest(key_of(secret, "mark"), b"mark", "sha256").hex()[:16]


def seal(text: bytes, known: Sequence[bytes], use: str) -> str:
    """The sealed text, fit for a cookie."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(12)
    sealed = AESGCM(key_of(known[0], use)).encrypt(nonce, text, use.encode())
    return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()


def unseal(sealed: str, known: Sequence[bytes], use: str) -> bytes | None:
    """What was sealed; None for anything else."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
    except ValueError:
        return None
    if len(raw) < 29:
        return None
    for secret in known:
        try:
            return AESGCM(key_of(secret, use)).decrypt(raw[:12], raw[12:], use.encode())
        except InvalidTag:
            continue
    return None


def token_hash(token: str, secret: bytes, use: str) -> bytes:
    """How a token that travels by mail is stored: keyed, so that the table alone cannot be searched for codes."""
    return hmac.digest(key_of(secret, use), token.encode(), hashlib.sha256)
