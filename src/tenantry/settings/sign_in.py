"""Settings of sign-in that are good each and wrong together, and the providers that have names of their own. Pure.

A fault is `(name, what is wrong, what to do)`, as everywhere in this room; none holds a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tenantry.settings.secret import Secret

if TYPE_CHECKING:
    from tenantry.settings.declared import Settings

Found = tuple[str, str, str]
_OIDC = re.compile(r"AUTH_OIDC_([A-Z0-9]+(?:_[A-Z0-9]+)*)_(ISSUER|ID|SECRET|LABEL)\Z")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\Z")
LEAST_SECRET_BYTES = 32
SECRETS = ("auth_secret_3", "auth_secret_2", "auth_secret_1", "auth_secret", "auth_secret_previous")
"""In the order of use: the first that is set signs, all verify."""


def oidc_providers(texts: Mapping[str, tuple[str, str]]) -> tuple[dict[str, dict[str, Secret]], list[Found]]:
    """The providers of AUTH_OIDC_<NAME>_…, by lower-case name, and what is missing of them."""
    found: dict[str, dict[str, Secret]] = {}
    for name, (text, _) in texts.items():
        match = _OIDC.match(name)
        if match is not None and text.strip():
            provider = match[1].lower().replace("_", "-")
            found.setdefault(provider, {})[match[2].lower()] = Secret(text.strip())
    faults: list[Found] = []
    for provider, parts in found.items():
        name = f"AUTH_OIDC_{provider.upper().replace('-', '_')}"
        faults += [
            (f"{name}_{part.upper()}", "is missing", f"Set {name}_ISSUER, {name}_ID and {name}_SECRET.")
            for part in ("issuer", "id", "secret")
            if part not in parts
        ]
        if "issuer" in parts and not _is_issuer(parts["issuer"].reveal()):
            faults.append((f"{name}_ISSUER", "is no https URL", "Give the issuer as https://login.example."))
    return found, faults


def faults(cls: type[Settings], values: Mapping[str, Any]) -> Iterator[Found]:
    """What is wrong with sign-in's settings, all of it."""
    yield from _of_secrets(values)
    yield from _of_origins(cls, values)
    yield from _of_providers(values)
    color = values.get("auth_theme_color")
    if color is not None and not _COLOR.match(color):
        yield "AUTH_THEME_COLOR", f"is {color[:40]!r}", "Give it as #rrggbb."
    for part in split(values.get("trusted_proxies", "")):
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            yield "TENANTRY_TRUSTED_PROXIES", f"has {part[:60]!r}", "Give addresses or networks: 10.0.0.1, 10.0.0.0/8."


def _is_production(values: Mapping[str, Any]) -> bool:
    return values.get("env", "production" if "database_url" in values else "development") == "production"


def has_provider(values: Mapping[str, Any]) -> bool:
    """Whether anybody could sign in at all."""
    names = ("auth_google_id", "auth_microsoft_entra_id_id", "auth_email_server", "oidc_providers")
    return any(values.get(name) for name in names)


def _of_secrets(values: Mapping[str, Any]) -> Iterator[Found]:
    cure = "Make one: tenantry secret rotate   (or: openssl rand -base64 33)"
    for attribute in SECRETS:
        secret: Secret | None = values.get(attribute)
        if secret is not None and len(secret.reveal().encode()) < LEAST_SECRET_BYTES:
            yield attribute.upper(), f"has fewer than {LEAST_SECRET_BYTES} bytes", cure
    if _is_production(values):
        if has_provider(values) and not any(values.get(name) for name in SECRETS[:4]):
            yield "AUTH_SECRET", "is not set, and a provider is", cure
        if values.get("auth_rate_limits") == "off":
            yield "AUTH_RATE_LIMITS", "is off in production", "Remove it; limits are by sender and lock nobody out."


def _of_origins(cls: type[Settings], values: Mapping[str, Any]) -> Iterator[Found]:
    del cls
    url: str | None = values.get("auth_url")
    if url is not None:
        parts = urlsplit(url)
        if not _is_origin(url, paths=("", "/", "/api/auth", "/api/auth/")):
            yield (
                "AUTH_URL",
                f"is {url[:80]!r}",
                "Give the public origin: https://app.example   (a path may be / or /api/auth)",
            )
        elif parts.scheme == "http" and _is_production(values) and not is_loopback(parts.hostname or ""):
            yield "AUTH_URL", "is plain http", "Give it as https://…: cookies without TLS are anybody's."
    elif _is_production(values) and has_provider(values):
        if not values.get("auth_trust_host"):
            yield (
                "AUTH_URL",
                "is not set: whoever sends a request could choose the host in links and redirects (UntrustedHost)",
                "Set AUTH_URL=https://app.example, or AUTH_TRUST_HOST=1 with TENANTRY_TRUSTED_PROXIES.",
            )
        elif not split(values.get("trusted_proxies", "")) and not split(values.get("auth_hosts", "")):
            yield (
                "AUTH_TRUST_HOST",
                "is set, and nothing says whose headers count",
                "Set TENANTRY_TRUSTED_PROXIES to the proxy's address, or AUTH_HOSTS to the hosts, or AUTH_URL.",
            )
    for origin in split(values.get("auth_redirect_origins", "")):
        if not _is_origin(origin, paths=("",)):
            yield (
                "AUTH_REDIRECT_ORIGINS",
                f"has {origin[:80]!r}",
                "Give exact origins: https://admin.example (no *, no path).",
            )


def _of_providers(values: Mapping[str, Any]) -> Iterator[Found]:
    for name in ("auth_google", "auth_microsoft_entra_id"):
        if values.get(f"{name}_id") and not values.get(f"{name}_secret"):
            yield f"{name.upper()}_SECRET", f"is not set, and {name.upper()}_ID is", "Set the client secret too."
        issuer = values.get(f"{name}_issuer")
        if issuer is not None and not _is_issuer(issuer):
            yield f"{name.upper()}_ISSUER", f"is {issuer[:80]!r}", "Give an https URL (plain http to loopback only)."
    server: Secret | None = values.get("auth_email_server")
    if server is None:
        return
    scheme = server.reveal().partition(":")[0]
    if scheme not in ("smtp", "smtps", "console", "dir"):
        yield (
            "AUTH_EMAIL_SERVER",
            "is no mail server",
            "Give smtp://HOST:587 or smtps://HOST:465; in development console: or dir:PATH.",
        )
    elif scheme in ("console", "dir"):
        if _is_production(values):
            yield "AUTH_EMAIL_SERVER", f"is {scheme}: in production", "Give smtp://USER:PASSWORD@HOST:587."
    elif not urlsplit(server.reveal()).hostname:
        yield "AUTH_EMAIL_SERVER", "names no host", "Give smtp://USER:PASSWORD@HOST:587."
    elif "@" not in values.get("auth_email_from", ""):
        yield (
            "AUTH_EMAIL_FROM",
            "is not set, and AUTH_EMAIL_SERVER is",
            "Set it: AUTH_EMAIL_FROM='Acme <login@acme.example>'.",
        )


def split(text: str) -> list[str]:
    """The parts between commas, without spaces and empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_origin(text: str, paths: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is none
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path in paths
        and not (parts.query or parts.fragment or parts.username is not None) and "*" not in text
    )  # fmt: skip


def _is_issuer(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
