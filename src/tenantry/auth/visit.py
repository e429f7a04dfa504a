"""One request to sign-in, taken apart: origin, cookies, fields, sender. Pure.

Nothing that a request says of itself is believed further than written here: the public origin comes from AUTH_URL, or from a
trusted proxy, and in development from a loopback Host; the sender's address from trusted proxies only.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

from tenantry.auth.configuration import Configuration, Network, Provider
from tenantry.settings.sign_in import is_loopback

if TYPE_CHECKING:
    from tenantry.auth.credential import Headers

MAX_BODY = 65_536
MAX_FIELDS = 100


class Sent(Protocol):
    """Who sent a request: its headers, and the peer of its connection."""

    headers: Headers
    peer: str | None


class HttpRequest(Protocol):
    """What a request has; the http room's Request is one."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    peer: str | None


class BadVisit(Exception):
    """The request cannot be read: answered 400 (or 413), with nothing of it in the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Visit:
    """A request with what sign-in asks of it."""

    def __init__(self, request: HttpRequest, configuration: Configuration, request_id: str) -> None:
        """Raises BadVisit for a Host that is not ours."""
        self.method = request.method
        self.headers = request.headers
        self.request_id = request_id
        self.address = sender(request.headers, request.peer, configuration.proxies)
        self.origin = origin(request.headers, request.peer, configuration)
        self.is_secure = self.origin.startswith("https:")
        self.query = _pairs(request.query)
        self.cookies, self.doubled = cookies(request.headers)
        self.wants_json = self.header(b"x-auth-return-redirect") is not None
        self.provider: Provider | None = None
        """The one that the path names; set where the path is known."""
        self._request = request
        self._fields: dict[str, Any] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def fields(self) -> dict[str, Any]:
        """The body's fields, form or JSON; of two with one name the last. Raises BadVisit."""
        if self._fields is None:
            self._fields = _fields(self._request.body, self.header(b"content-type") or b"")
        return self._fields

    def field(self, name: str) -> str | None:
        """A field that is text; None for anything else."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    @property
    def agent(self) -> str:
        """The browser's name for itself, as far as it can be kept."""
        text = (self.header(b"user-agent") or b"").decode("latin-1")
        return "".join(c for c in text if c.isprintable())[:300]

    def note(self) -> str:
        """What the trail keeps of a request: `visit` of the SQL functions."""
        return json.dumps({"ip": self.address, "agent": self.agent, "request": self.request_id})

    def sender_key(self) -> str:
        """Who is counted: an IPv4 address, or an IPv6 network of 64 bits."""
        return counted_as(self.address)


def _pairs(query: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        message = "The query has too many fields"
        raise BadVisit(message) from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _fields(body: bytes, content_type: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        message = "The body is too large"
        raise BadVisit(message, 413)
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json":
        try:
            found: object = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            message = "The body is not JSON"
            raise BadVisit(message) from None
        # Any: what a stranger's JSON holds; `field` takes texts only.
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if kind not in (b"application/x-www-form-urlencoded", b""):
        message = "The body is neither a form nor JSON"
        raise BadVisit(message, 415)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        message = "The body has too many fields"
        raise BadVisit(message) from None


def cookies(headers: Headers) -> tuple[dict[str, str], frozenset[str]]:
    """Cookies by exact name, the first of each, and the names that came twice."""
    found: dict[str, str] = {}
    doubled: set[str] = set()
    for key, header in headers:
        if key != b"cookie":
            continue
        for pair in header.decode("latin-1").split(";"):
            name, separator, value = pair.strip().partition("=")
            if not separator:
                continue
            if name in found:
                doubled.add(name)
            else:
                found[name] = value.strip('"')
    return found, frozenset(doubled)


def _is_from(peer: str | None, proxies: tuple[Network, ...]) -> bool:
    if peer is None or not proxies:
        return False
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    # A socket that takes both kinds names an IPv4 peer by an IPv6 address.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in proxies)


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def sender(headers: Headers, peer: str | None, proxies: tuple[Network, ...]) -> str | None:
    """The sender's address: the peer's, or what trusted proxies say of it, from the nearest on."""
    address = peer
    if _is_from(peer, proxies):
        hops = b",".join(value for key, value in headers if key == b"x-forwarded-for").decode("latin-1").split(",")
        for hop in reversed(hops):
            try:
                address = str(ipaddress.ip_address(_without_port(hop.strip().strip('"'))))
            except ValueError:
                break
            if not _is_from(address, proxies):
                break
    try:
        # A link-local address names its interface after a %, which is no part of it.
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def counted_as(address: str | None) -> str:
    """Whom limits count: an IPv4 address, or an IPv6 network of 64 bits."""
    if address is None:
        return "unknown"
    found = ipaddress.ip_address(address)
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def origin(headers: Headers, peer: str | None, configuration: Configuration) -> str:
    """The public origin of this request. Raises BadVisit where none can be trusted."""
    if configuration.origin is not None:
        return configuration.origin
    host = _last(headers, b"host")
    scheme = "http"
    if configuration.trusts_host and _is_from(peer, configuration.proxies):
        host = _last(headers, b"x-forwarded-host") or host
        scheme = _last(headers, b"x-forwarded-proto") or scheme
    if scheme not in ("http", "https") or not _is_host(host):
        message = "This host is not served here"
        raise BadVisit(message)
    name = (urlsplit(f"//{host}").hostname or "").lower()
    is_known = (
        (configuration.is_development and is_loopback(name))
        or (configuration.trusts_host and host in configuration.hosts)
        or (configuration.trusts_host and not configuration.hosts and _is_from(peer, configuration.proxies))
    )
    if not is_known:
        message = "This host is not served here"
        raise BadVisit(message)
    return f"{scheme}://{host}"


def _last(headers: Headers, name: bytes) -> str:
    # The nearest proxy wrote the last one.
    values = [value for key, value in headers if key == name]
    return values[-1].decode("latin-1").rpartition(",")[2].strip().lower() if values else ""


def _is_host(host: str) -> bool:
    if not host or len(host) > 255 or not set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_:[]"):
        return False
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises ValueError for one that is none
    except ValueError:
        return False
    return bool(parts.hostname) and parts.netloc == host
