"""The code flow with a provider: discovery, the authorization URL, the exchange; blocking parts run in worker threads.

Discovery and keys are kept for an hour and served stale for a day when the provider is away; an unknown key is asked for
once a minute. State, nonce and PKCE always (RFC 6749, RFC 7636, RFC 9207, OpenID Connect Core 1.0).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tenantry.auth.configuration import Provider
from tenantry.auth.fetching import ProviderFailed, fetch_json
from tenantry.auth.identity_token import TENANT_ID, Refused, claims_of
from tenantry.settings.sign_in import is_loopback

FRESH_SECONDS, STALE_SECONDS, PAUSE_SECONDS = 3600.0, 86_400.0, 10.0
UNKNOWN_KEY_SECONDS, BAD_SIGNATURE_SECONDS = 60.0, 2.0
"""A signature that does not fit may be a provider that came back with other keys of the same name: keys are asked for anew sooner."""
PASSED_ON = frozenset(
    ["prompt", "login_hint", "hd", "domain_hint", "max_age", "ui_locales", "acr_values", "access_type", "screen_hint"]
)
"""What the front end may add to the authorization request; every other parameter is ours alone."""
MAX_PASSED_ON = 512


class Kept:
    """A document of a provider, fetched when it is old; thread-safe, for it is asked from worker threads."""

    def __init__(self, fetch: Callable[[], dict[str, Any]]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value: dict[str, Any] | None = None
        self._at = 0.0
        self._asked = 0.0
        self._stale = False

    def get(self) -> dict[str, Any]:
        """The document. Raises ProviderFailed when there is none, or none younger than a day."""
        with self._lock:
            now = time.monotonic()
            if self._value is not None and now - self._at < FRESH_SECONDS and not self._stale:
                return self._value
            # While the provider is away its old answer serves, and it is asked again every ten seconds only.
            if self._value is not None and now - self._asked < PAUSE_SECONDS and not self._stale:
                return self._value
            self._asked, self._stale = now, False
            try:
                self._value, self._at = self._fetch(), now
            except ProviderFailed:
                if self._value is None or now - self._at > STALE_SECONDS:
                    raise
            return self._value

    @property
    def known(self) -> dict[str, Any] | None:
        """What is kept, however old, without asking."""
        return self._value

    @property
    def is_known(self) -> bool:
        """Whether anything is kept."""
        return self._value is not None

    def again(self, pause: float) -> bool:
        """Let the next `get` ask anew, if the last time is `pause` seconds ago; whether it will."""
        with self._lock:
            if time.monotonic() - self._asked < pause:
                return False
            self._stale = True
        return True


class Client:
    """One provider, as this application is registered there."""

    def __init__(self, provider: Provider, report: Callable[[str, bool], None]) -> None:
        """`report(provider id, is up)` hears of every contact."""
        self.provider = provider
        self.report = report
        self.metadata = Kept(self._discover)
        self.keys = Kept(self._fetch_keys)

    # ------------------------------------------------------------------ blocking, in a thread

    def _discover(self) -> dict[str, Any]:
        found = self._watched(partial(fetch_json, self.provider.issuer + "/.well-known/openid-configuration"))
        issuer = found.get("issuer")
        if issuer != self.provider.issuer and not (
            self.provider.kind == "entra" and isinstance(issuer, str) and _fits_template(issuer, self.provider.issuer)
        ):
            message = "discovery names another issuer"
            raise ProviderFailed(message)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _is_safe(found.get(name)):
                message = f"discovery has no good {name}"
                raise ProviderFailed(message)
        return found

    def _fetch_keys(self) -> dict[str, Any]:
        return self._watched(partial(fetch_json, str(self.metadata.get()["jwks_uri"])))

    def _watched(self, fetch: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            found = fetch()
        except ProviderFailed:
            self.report(self.provider.id, False)
            raise
        self.report(self.provider.id, True)
        return found

    def _exchange(self, code: str, verifier: str, redirect: str, nonce: str) -> tuple[dict[str, Any], dict[str, Any]]:
        metadata = self.metadata.get()
        provider = self.provider
        secret = provider.client_secret.reveal()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        headers: dict[str, str] = {}
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            form |= {"client_id": provider.client_id, "client_secret": secret}
        else:
            pair = f"{quote(provider.client_id, safe='')}:{quote(secret, safe='')}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
        url = str(metadata["token_endpoint"])
        answer = self._watched(lambda: fetch_json(url, body=urlencode(form).encode(), headers=headers))
        token = answer.get("id_token")
        # Entra says 200 to some errors.
        if "error" in answer or not isinstance(token, str):
            message = "no ID token came"
            raise ProviderFailed(message)
        access = answer.get("access_token")
        check = partial(
            claims_of, token, provider=provider, metadata=metadata, nonce=nonce,
            access_token=access if isinstance(access, str) else None,
        )  # fmt: skip
        keys = self.keys.get()
        if not _has_key(token, keys) and self.keys.again(UNKNOWN_KEY_SECONDS):
            keys = self.keys.get()
        try:
            return check(keys), answer
        except Refused as refused:
            if str(refused) != "BadSignatureError" or not self.keys.again(BAD_SIGNATURE_SECONDS):
                raise
            return check(self.keys.get()), answer

    # ------------------------------------------------------------------ from the event loop

    async def authorization_url(
        self, *, redirect: str, state: str, nonce: str, verifier: str, extra: Mapping[str, str], asks_who: bool
    ) -> str:
        """Where the person is sent. Raises ProviderFailed.

        `asks_who`: the provider shall ask which account it is to be, though it knows one already.
        """
        metadata = await asyncio.to_thread(self.metadata.get)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        wanted = {k: v for k, v in extra.items() if k in PASSED_ON and len(v) <= MAX_PASSED_ON}
        if asks_who:
            # OpenID Connect Core 15.1 has every provider know "login"; the two big ones have a chooser, which costs no password.
            is_chooser = urlsplit(self.provider.issuer).hostname in ("accounts.google.com", "login.microsoftonline.com")
            wanted.setdefault("prompt", "select_account" if is_chooser else "login")
        ours = {
            "response_type": "code", "client_id": self.provider.client_id, "redirect_uri": redirect,
            "scope": self.provider.scope, "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        if self.provider.kind == "google" and len(self.provider.only) == 1:
            wanted.setdefault("hd", next(iter(self.provider.only)))
        url = str(metadata["authorization_endpoint"])
        return url + ("&" if urlsplit(url).query else "?") + urlencode({**wanted, **ours})

    async def learn_form_origin(self) -> None:
        """Where the page's forms lead is only known from discovery, with providers that are not on one host."""
        if self.provider.kind == "oidc" and not self.metadata.is_known:
            with contextlib.suppress(ProviderFailed, TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(self.metadata.get), 2.0)

    def form_origins(self) -> set[str]:
        """The origin of the authorization endpoint, once it is known."""
        found = self.metadata.known
        if found is None:
            return set()
        parts = urlsplit(str(found["authorization_endpoint"]))
        return {f"{parts.scheme}://{parts.netloc}"}

    async def check_issuer(self, issuer: str | None) -> None:
        """RFC 9207: the answer's `iss` is the provider's, and is there when that was promised. Raises Refused.

        Entra sends none, whatever its metadata says; that each provider has a callback of its own keeps answers apart all the same.
        """
        metadata = await asyncio.to_thread(self.metadata.get)
        promised = metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer is None and (not promised or self.provider.kind == "entra"):
            return
        wanted = str(metadata["issuer"])
        if issuer != wanted and not (TENANT_ID in wanted and _fits_template(wanted, issuer or "")):
            raise Refused("response_issuer")  # noqa: EM101 - the word is the reason

    async def exchange(
        self, code: str, verifier: str, redirect: str, nonce: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The claims of a good ID token, and the whole answer. Raises ProviderFailed, Refused."""
        return await asyncio.to_thread(self._exchange, code, verifier, redirect, nonce)


def _fits_template(template: str, issuer: str) -> bool:
    """`…/{tenantid}/v2.0` and `…/common/v2.0` are the same but for one part of the path."""
    before, _, after = template.partition(TENANT_ID)
    middle = issuer.removeprefix(before).removesuffix(after)
    return bool(after) and issuer == before + middle + after and bool(middle) and "/" not in middle


def _is_safe(url: object) -> bool:
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _has_key(token: str, keys: Mapping[str, Any]) -> bool:
    import json

    try:
        head = token.split(".", 1)[0]
        kid = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("kid")
        return kid is None or any(key.get("kid") == kid for key in keys["keys"])
    except (ValueError, AttributeError, KeyError, TypeError):
        return True
