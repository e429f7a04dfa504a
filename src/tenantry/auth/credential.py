"""Which credential a request presents, and whether it comes from where it says. Pure: headers in, values out.

A bearer token wins over a cookie. The session cookie is matched by its exact name (a prefix match would let another cookie
speak for the session), and of two with one name the first counts.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timezone
from zlib import crc32

from tenantry.identity import Credential

MAX_TOKEN_BYTES = 4096
KEY_PREFIX, KEY_LENGTH = b"tnt_live_", 9 + 10 + 1 + 43 + 6
"""`tnt_live_<10 id>_<43 secret><6 checksum>`."""
BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
COOKIES = (b"__Secure-authjs.session-token", b"authjs.session-token")
Headers = list[tuple[bytes, bytes]]


def cookies_of(origin: str | None) -> tuple[bytes, ...]:
    """The names that the session cookie may have: behind an https origin the one alone that no sibling host can plant."""
    if origin is None:
        return COOKIES
    return COOKIES[:1] if origin.startswith("https:") else COOKIES[1:]


def find_credential(headers: Headers, names: tuple[bytes, ...] = COOKIES) -> Credential | None:
    """The credential of a request, or None. Whether it is good, only PostgreSQL knows. `names` are the session cookie's."""
    cookies = None
    for name, value in headers:
        if name == b"authorization":
            return _bearer(value)
        if name == b"x-api-key":
            return _api_key(value.strip())
        if name == b"cookie" and cookies is None:
            cookies = value
    return None if cookies is None else _session_cookie(cookies, names)


def presents_credential(headers: Headers) -> bool:
    """Whether a request that has no credential tried to have one: a key that is cut short, a token that can be nobody's."""
    return any(
        name == b"x-api-key"
        or (name == b"authorization" and value[:7].lower() == b"bearer ")
        or (name == b"cookie" and any(kind + b"=" in value for kind in COOKIES))
        for name, value in headers
    )


def _bearer(value: bytes) -> Credential | None:
    if value[:7].lower() != b"bearer ":
        return None
    token = value[7:].strip()
    # Printable ASCII without spaces, as RFC 6750's b64token; anything else can be nobody's token.
    if not token or len(token) > MAX_TOKEN_BYTES or b" " in token or not token.isascii() or min(token) < 0x21:
        return None
    return _api_key(token) if token.startswith(KEY_PREFIX) else Credential(token, "bearer")


def _api_key(key: bytes) -> Credential | None:
    """A key that is whole: its last six letters are a checksum, so that a cut one never asks PostgreSQL."""
    if len(key) != KEY_LENGTH or not key.isascii() or not key.startswith(KEY_PREFIX) or checksum(key[:-6]) != key[-6:]:
        return None
    return Credential(key, "api_key")


def checksum(text: bytes) -> bytes:
    """CRC32 in base 62, six letters: what secret scanners and we can tell a key from a typing error by."""
    number, letters = crc32(text), b""
    for _ in range(6):
        number, rest = divmod(number, 62)
        letters = BASE62[rest : rest + 1] + letters
    return letters


def _session_cookie(header: bytes, names: tuple[bytes, ...]) -> Credential | None:
    found: dict[bytes, bytes] = {}
    for pair in header.split(b";"):
        name, separator, value = pair.strip().partition(b"=")
        if separator and name in names:
            found.setdefault(name, value.strip(b'"'))
    for name in names:
        token = found.get(name)
        if token and len(token) <= MAX_TOKEN_BYTES and token.isascii():
            return Credential(token, "cookie")
    return None


def is_cross_site(headers: Headers, credential: Credential, origins: Container[str], own: str | None = None) -> bool:
    """Whether a mutation that a cookie authenticates was sent by another site's page.

    A browser sends `Origin` with every POST: it must be the host that is asked, our public origin `own`, or listed in `origins`.
    `Sec-Fetch-Site: cross-site` is refused as well. Bearer tokens are not sent by browsers on their own and need neither.
    """
    if credential.source != "cookie":
        return False
    origin = host = None
    is_listed = False
    fetch_site = b""
    for name, value in headers:
        if name == b"origin":
            origin = value
        elif name == b"host":
            host = value
        elif name == b"sec-fetch-site":
            fetch_site = value
    if origin is not None:
        is_listed = origin.decode("latin-1") in origins
        is_own = origin.decode("latin-1") == own or (
            host is not None and origin.lower() in (b"http://" + host.lower(), b"https://" + host.lower())
        )
        if not (is_listed or is_own):
            return True
    return fetch_site == b"cross-site" and not is_listed


def lacks_origin(headers: Headers, credential: Credential | None) -> bool:
    """Whether an upload that a cookie authenticates does not say which page sent it: a form of any site could have."""
    return credential is not None and credential.source == "cookie" and all(name != b"origin" for name, _ in headers)


def session_cookie(headers: Headers, token: str, expires: datetime) -> str:
    """The `Set-Cookie` value that puts `token` in the place of the session cookie that the request came with."""
    sent = b";".join(value for name, value in headers if name == b"cookie")
    is_secure = any(pair.strip().startswith(COOKIES[0] + b"=") for pair in sent.split(b";"))
    name = COOKIES[0] if is_secure else COOKIES[1]
    when = expires.astimezone(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return f"{name.decode()}={token}; Path=/; Expires={when}; HttpOnly; SameSite=Lax{'; Secure' if is_secure else ''}"
