"""Who may see what: the status anyone, details and metrics as the settings say. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from ipaddress import ip_address

from tenantry.settings import Secret

Headers = Iterable[tuple[bytes, bytes]]

_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"x-forwarded-host"})
"""A proxy on this machine calls from loopback for somebody who is not on it."""


class Access:
    """What TENANTRY_OPS_TOKEN (or its absence) allows."""

    def __init__(self, token: Secret | None = None) -> None:
        """With a token metrics and details need it; without one metrics are open, and details are for loopback."""
        self._token = None if token is None else token.reveal().encode()

    def may_see_metrics(self, headers: Headers) -> bool:
        """Whether this request may have the metrics."""
        return self._token is None or self._has_token(headers)

    def may_see_details(self, headers: Headers, peer: str | None) -> bool:
        """Whether this request, from address `peer`, may have the details of checks."""
        headers = list(headers)
        if self._token is not None:
            return self._has_token(headers)
        return is_loopback(peer) and not any(name in _FORWARDED for name, _ in headers)

    def _has_token(self, headers: Headers) -> bool:
        for name, value in headers:
            if name == b"authorization":
                kind, _, given = value.partition(b" ")
                return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token or b"")
        return False


OPEN = Access()


def is_loopback(peer: str | None) -> bool:
    """Whether an address is this machine's own. A Unix socket has none, and is."""
    if not peer:
        return peer == ""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
