"""What sign-in is set up as: origin, secrets, providers, pages; made once from the settings. Pure.

Everything that a request could try to choose (host, redirect, provider) is compared with what stands here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from tenantry.settings import Secret, Settings
from tenantry.settings.sign_in import SECRETS, split

BASE = "/api/auth"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The Entra tenant of private Microsoft accounts."""


class Provider(Struct, frozen=True):
    """One way to sign in."""

    id: str
    name: str
    type: Literal["oidc", "email"]
    kind: Literal["google", "entra", "oidc", "email"]
    issuer: str = ""
    client_id: str = ""
    client_secret: Secret = Secret("")
    scope: str = "openid email profile"
    only: frozenset[str] = frozenset()
    """Google: Workspace domains (claim hd). Entra: tenant ids. Empty: all that the issuer lets in."""


class Pages(Struct, frozen=True):
    """The front end's own pages, where it has some."""

    sign_in: str | None = None
    sign_out: str | None = None
    error: str | None = None
    verify_request: str | None = None
    new_user: str | None = None


class Configuration(Struct, frozen=True):
    """All that sign-in knows of its surroundings."""

    origin: str | None
    """From AUTH_URL; None: each request is asked (`origin.py`)."""
    trusts_host: bool
    hosts: frozenset[str]
    proxies: tuple[Network, ...]
    is_development: bool
    secrets: tuple[bytes, ...]
    redirect_origins: frozenset[str]
    asking_origins: frozenset[str]
    """Origins whose pages may post here, beside our own."""
    providers: Mapping[str, Provider]
    max_age: int
    update_age: int
    absolute_age: int
    sign_up: str
    founds_tenants: bool
    links_verified: bool
    stores_tokens: bool
    has_limits: bool
    email_server: Secret | None
    email_from: str
    pages: Pages
    theme_name: str
    theme_color: str

    @property
    def first_age(self) -> int:
        """Seconds that a new session lives unless it slides on: never longer than the absolute age."""
        return min(self.max_age, self.absolute_age) if self.absolute_age > 0 else self.max_age

    @property
    def is_on(self) -> bool:
        """Whether sign-in is set up at all: without a secret nothing here can be trusted."""
        return bool(self.secrets)


def configuration(settings: Settings, made_secret: bytes | None = None) -> Configuration:
    """The configuration of these settings. `made_secret` stands in where none is given (development only)."""
    secrets = [secret.reveal().encode() for secret in (getattr(settings, name) for name in SECRETS) if secret]
    if not secrets and made_secret is not None:
        secrets = [made_secret]
    redirects = frozenset(split(settings.auth_redirect_origins))
    return Configuration(
        origin=None if settings.auth_url is None else origin_of_url(settings.auth_url),
        trusts_host=settings.auth_trust_host,
        hosts=frozenset(host.lower() for host in split(settings.auth_hosts)),
        proxies=tuple(ipaddress.ip_network(part, strict=False) for part in split(settings.trusted_proxies)),
        is_development=settings.env == "development",
        secrets=tuple(secrets),
        redirect_origins=redirects,
        asking_origins=redirects | frozenset(split(settings.cors_origins)),
        providers={provider.id: provider for provider in _providers(settings)},
        max_age=settings.auth_session_max_age,
        update_age=min(settings.auth_session_update_age, settings.auth_session_max_age),
        absolute_age=settings.auth_session_absolute_age,
        sign_up=settings.auth_sign_up,
        founds_tenants=settings.tenant_sign_up == "anyone",
        links_verified=settings.auth_link_verified_email,
        stores_tokens=settings.auth_store_provider_tokens,
        has_limits=settings.auth_rate_limits == "on" or settings.env == "production",
        email_server=settings.auth_email_server,
        email_from=settings.auth_email_from,
        pages=Pages(
            settings.auth_pages_sign_in,
            settings.auth_pages_sign_out,
            settings.auth_pages_error,
            settings.auth_pages_verify_request,
            settings.auth_pages_new_user,
        ),
        theme_name=settings.auth_theme_name,
        theme_color=settings.auth_theme_color,
    )


def origin_of_url(url: str) -> str:
    """`https://App.Example:443/api/auth` → `https://app.example`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if parts.port in (None, default) else f":{parts.port}")


def _providers(settings: Settings) -> list[Provider]:
    found: list[Provider] = []
    if settings.auth_google_id:
        found.append(
            Provider(
                "google",
                "Google",
                "oidc",
                "google",
                settings.auth_google_issuer.rstrip("/"),
                settings.auth_google_id,
                settings.auth_google_secret or Secret(""),
                only=frozenset(split(settings.auth_google_hd.lower())),
            )
        )
    if settings.auth_microsoft_entra_id_id:
        found.append(
            Provider(
                "microsoft-entra-id",
                "Microsoft Entra ID",
                "oidc",
                "entra",
                settings.auth_microsoft_entra_id_issuer.rstrip("/"),
                settings.auth_microsoft_entra_id_id,
                settings.auth_microsoft_entra_id_secret or Secret(""),
                only=frozenset(split(settings.auth_microsoft_entra_id_tenants.lower())),
            )
        )
    for name, parts in settings.oidc_providers.items():
        label = parts["label"].reveal() if "label" in parts else name.replace("-", " ").title()
        found.append(
            Provider(
                f"oidc-{name}",
                label,
                "oidc",
                "oidc",
                parts["issuer"].reveal().rstrip("/"),
                parts["id"].reveal(),
                parts["secret"],
            )
        )
    if settings.auth_email_server is not None:
        found.append(Provider("email", "Email", "email", "email"))
    return found
