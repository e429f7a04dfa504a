"""Who may ask for `/_dev`: this machine's own browser, by a loopback name, and for a post from a page of ours. Pure.

The peer must be loopback, and no proxy may stand between (its headers say so). The `Host` must be a loopback name: a site whose name
was pointed at 127.0.0.1 (DNS rebinding) comes with its own. A post must come from the very origin that it is sent to.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]

HEADERS: Headers = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: with it a browser sends `Origin: null` with a form, and a post could not be told from a stranger's.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_BY_PROXY = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})
_HOST = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    why: str


def refusal(method: str, peer: str | None, headers: Headers) -> Refusal | None:
    """None for a request that may be answered. One from elsewhere hears that there is nothing here."""
    if not _is_loopback(peer) or any(name in _BY_PROXY for name, _ in headers):
        return Refusal(404, "Nothing is served at this path")
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None:
        return Refusal(403, "/_dev is asked by a loopback name only: http://127.0.0.1 or http://localhost")
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return Refusal(405, "This method is not supported here")
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    sites = [value for name, value in headers if name == b"sec-fetch-site"]
    own = hosts[0].lower()
    if (
        len(origins) != 1
        or origins[0].lower() not in (f"http://{own}", f"https://{own}")
        or sites not in ([], [b"same-origin"])
    ):
        return Refusal(403, "This form was not sent by a page of /_dev")
    return None


def _is_loopback(peer: str | None) -> bool:
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
