"""What counts as an e-mail address here, and as a place to go on to. Pure.

Addresses compare after NFKC, trim, lower case and IDNA, so that full-width twins and other capitals are one person. A
callbackUrl stays on our origin or on one that is listed, whatever it is: nothing here raises for what a stranger sends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from urllib.parse import urlsplit

MAX_ADDRESS = 254
MAX_URL = 2048
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def address(text: str | None) -> str | None:
    """The address as it is stored and compared, or None for one that cannot be."""
    if text is None or len(text) > 4 * MAX_ADDRESS:
        return None
    whole = unicodedata.normalize("NFKC", text.strip()).strip().lower()
    if whole.count("@") != 1:
        return None
    local, _, domain = whole.partition("@")
    try:
        named = domain.encode("idna")
        # IDNA 2003 writes some letters as others (ß as ss): another domain, whose mail is another's.
        if not domain.isascii() and named.decode("idna") != domain:
            return None
        domain = named.decode("ascii").lower()
    except UnicodeError:
        return None
    labels = domain.split(".")
    is_good = (
        all(_LABEL.match(label) for label in labels) and len(domain) <= 253 and len(local.encode()) <= 64
        and (_LOCAL.match(local) is not None or _is_foreign(local))
    )  # fmt: skip
    found = f"{local}@{domain}"
    return found if is_good and len(found) <= MAX_ADDRESS else None


def _is_foreign(local: str) -> bool:
    """Letters of other scripts (RFC 6531): never quotes, spaces, controls, brackets or commas."""
    return any(ord(c) > 127 for c in local) and all(
        _LOCAL.match(c) is not None or c == "." or (ord(c) > 127 and unicodedata.category(c)[0] in "LMN") for c in local
    )


def go_on_to(value: str | None, own: str, allowed: Container[str]) -> str:
    """Where to go on: `value` if it stays here or is listed, else our own origin."""
    if (
        not value
        or len(value.encode("utf-8", "replace")) > MAX_URL
        or any(ord(c) < 0x21 or ord(c) == 0x7F for c in value)
    ):
        return own
    if value.startswith("/"):
        # Behind our own origin even "//evil" and "/\\evil" are paths of ours.
        return own + value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return own
    if parts.scheme not in ("http", "https") or not parts.hostname or "\\" in value or parts.username is not None:
        return own
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    origin = f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")
    return value if origin == own or origin in allowed else own
