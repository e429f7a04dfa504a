"""What an ID token must be before it says who somebody is. Pure: token, keys and expectation in, claims out.

joserfc verifies the signature and the registered claims; `azp`, `at_hash`, the tenant template of Entra and what counts as a
verified address are ours (OpenID Connect Core 1.0, sections 2, 3.1.3.6 and 3.1.3.7).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from tenantry.auth.address import address
from tenantry.auth.configuration import CONSUMERS, Provider

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA", "Ed25519"})
"""Asymmetric, all of them: never `none`, never HS*."""
LEEWAY_SECONDS = 60
TENANT_ID = "{tenantid}"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_HASH = {"RS256": "sha256", "PS256": "sha256", "ES256": "sha256", "EdDSA": "sha512", "Ed25519": "sha512"}


class Refused(Exception):
    """The token is not to be believed; the word says which rule it broke."""


class Who(Struct, frozen=True):
    """Who a provider says that somebody is."""

    account: str
    email: str | None
    is_verified: bool
    name: str | None
    image: str | None
    facts: dict[str, str]


def claims_of(
    raw: str, keys: Mapping[str, Any], *, provider: Provider, metadata: Mapping[str, Any], nonce: str, access_token: str | None
) -> dict[str, Any]:  # fmt: skip
    """The claims of a good token. Raises Refused. `keys` is the provider's JWKS, `metadata` its discovery document."""
    from joserfc import jwk, jwt
    from joserfc.errors import JoseError

    named = metadata.get("id_token_signing_alg_values_supported")
    known = cast("list[Any]", named) if isinstance(named, list) else ["RS256"]
    offered = {name for name in known if isinstance(name, str)}
    allowed = sorted(ALGORITHMS & offered) or ["RS256"]
    try:
        # Any: keys and claims are a stranger's JSON, checked right here.
        usable = {"keys": [k for k in cast("list[Any]", keys.get("keys", [])) if _is_usable(k)]}
        token = jwt.decode(raw, jwk.KeySet.import_key_set(cast("Any", usable)), algorithms=allowed)
        claims = dict(token.claims)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": _issuer(provider, metadata, claims)},
            aud={"essential": True, "value": provider.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(claims)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise Refused(type(error).__name__) from None
    _check_parties(claims, provider)
    if provider.kind == "entra":
        _check_key_issuer(token.header.get("kid"), usable["keys"], cast("str", claims["iss"]), claims)
    _check_access_token(claims, str(token.header.get("alg")), access_token)
    return claims


def _is_usable(key: object) -> bool:
    if not isinstance(key, dict):
        return False
    known = cast("dict[str, Any]", key)
    return known.get("kty") in ("RSA", "EC", "OKP") and known.get("use", "sig") == "sig"


def _issuer(provider: Provider, metadata: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """The one `iss` that may stand in this token: exact, or Entra's template with the token's own tenant."""
    issuer = str(metadata.get("issuer"))
    if provider.kind != "entra":
        return issuer
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or not _UUID.match(tenant):
        raise Refused("tid")  # noqa: EM101 - the word is the reason
    fixed = provider.issuer.rstrip("/").removesuffix("/v2.0").rpartition("/")[2]
    if _UUID.match(fixed) and tenant != fixed:
        raise Refused("tid_of_another_tenant")  # noqa: EM101
    if fixed == "organizations" and tenant == CONSUMERS:
        raise Refused("tid_of_consumers")  # noqa: EM101
    if provider.only and tenant not in provider.only:
        raise Refused("tid_not_allowed")  # noqa: EM101
    return issuer.replace(TENANT_ID, tenant)


def _check_parties(claims: Mapping[str, Any], provider: Provider) -> None:
    audience: Any = claims["aud"]
    has_several = isinstance(audience, list) and len(cast("list[Any]", audience)) > 1
    if "azp" in claims and claims["azp"] != provider.client_id:
        raise Refused("azp")  # noqa: EM101
    if has_several and "azp" not in claims:
        raise Refused("azp_missing")  # noqa: EM101
    # The library takes one of several for the one that is wanted.
    if not isinstance(claims["iss"], str) or not isinstance(claims["nonce"], str):
        raise Refused("several")  # noqa: EM101
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise Refused("sub")  # noqa: EM101
    for name in ("exp", "iat"):
        # NaN is later than nothing, and so never over; what is no moment at all is none.
        if isinstance(claims[name], bool) or not isinstance(claims[name], int | float) or not 0 <= claims[name] < 1e12:
            raise Refused(name)
    if provider.kind == "google" and provider.only and str(claims.get("hd", "")).lower() not in provider.only:
        raise Refused("hd")  # noqa: EM101


def _check_key_issuer(kid: object, keys: list[Any], issuer: str, claims: Mapping[str, Any]) -> None:
    """Entra's keys may name the issuer that they are for, by the same template."""
    for key in keys:
        wanted = key.get("issuer")
        if (
            key.get("kid") == kid
            and isinstance(wanted, str)
            and wanted.replace(TENANT_ID, str(claims.get("tid"))) != issuer
        ):
            raise Refused("key_issuer")  # noqa: EM101


def _check_access_token(claims: Mapping[str, Any], algorithm: str, access_token: str | None) -> None:
    given = claims.get("at_hash")
    if given is None:
        return
    digest = hashlib.new(_HASH.get(algorithm, "sha256"), (access_token or "").encode()).digest()
    wanted = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if access_token is None or not isinstance(given, str) or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Refused("at_hash")  # noqa: EM101


def who(provider: Provider, claims: Mapping[str, Any]) -> Who:
    """The person that the claims speak of, and whether their address is proved by the provider's own rules."""
    email = address(_text(claims.get("email")))
    facts: dict[str, str] = {}
    if provider.kind == "google":
        is_verified = claims.get("email_verified") is True and (
            (email or "").endswith("@gmail.com") or _text(claims.get("hd")) is not None
        )
    elif provider.kind == "entra":
        # An Entra administrator can write any address into a directory: only xms_edov says that the domain is theirs.
        is_verified = email is not None and claims.get("xms_edov") in (True, 1, "1", "true")
        email = email or address(_text(claims.get("preferred_username")))
        facts = {name: str(claims[name])[:100] for name in ("tid", "oid") if isinstance(claims.get(name), str)}
    else:
        is_verified = claims.get("email_verified") is True
    name = _text(claims.get("name"))
    image = _text(claims.get("picture"))
    return Who(
        account=claims["sub"],
        email=email,
        is_verified=is_verified and email is not None,
        name=None if name is None else "".join(c for c in name if c.isprintable()).strip()[:200] or None,
        image=image if image is not None and image.startswith("https://") and len(image) <= 2000 else None,
        facts=facts,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
