"""The kit's OpenID Connect provider (`kit/idp.mjs`), one a test process: Google, and Microsoft Entra with its tenants."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tenantry.settings import Secret
from tests.auth.browser import BASE, Browser, Page
from tests.auth.fixture import free_port

KIT = Path(__file__).parent / "kit"
HTTPS = "https://app.tenantry.test"
CONTOSO, FABRIKAM = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class Provider:
    """A running provider."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def settings(self, **over: Any) -> dict[str, Any]:
        """What an application signs in with there."""
        return {
            "auth_google_issuer": f"{self.origin}/google", "auth_google_id": "kit-google",
            "auth_google_secret": Secret("kit-google-secret-0123456789abcdef"),
            "auth_microsoft_entra_id_issuer": f"{self.origin}/common/v2.0", "auth_microsoft_entra_id_id": "kit-microsoft",
            "auth_microsoft_entra_id_secret": Secret("kit-microsoft-secret-0123456789abcdef"), **over,
        }  # fmt: skip

    async def control(self, **what: Any) -> None:
        """Who signs in next, in which tenant, with which fault."""
        await asyncio.to_thread(self._post, json.dumps({"reset": True, **what}).encode())

    def _post(self, body: bytes) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.origin}/_control", body), timeout=10).read()


# The kit's program asks whether it is the main one by comparing its URL with its path, which differ where the path has a space.
RUN_IDP = ["node", "--import", "data:text/javascript,process.argv[1]=encodeURI(process.argv[1])", "idp.mjs"]


def start() -> tuple[Provider, subprocess.Popen[bytes]]:
    port = free_port()
    env = {**os.environ, "IDP_PORT": str(port), "KIT_BASES": f"{BASE},{HTTPS}"}
    process = subprocess.Popen(RUN_IDP, cwd=KIT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    assert process.stdout.readline().startswith(b"google")
    return Provider(f"http://127.0.0.1:{port}"), process


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    if shutil.which("node") is None:
        pytest.skip("node is not here")
    made, process = start()
    yield made
    process.terminate()
    process.wait()
    if process.stdout:
        process.stdout.close()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _walk(url: str) -> str:
    """The provider's part of a sign-in, up to where it sends the browser back to us."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), _Stay())
    provider = urlsplit(url).netloc
    for _ in range(12):
        try:
            raise AssertionError(opener.open(url, timeout=20).read())
        except urllib.error.HTTPError as answer:
            with answer:
                place = answer.headers.get("location")
            if not place:
                raise
        url = place if "://" in place else f"http://{provider}{place}"
        if urlsplit(url).netloc != provider:
            return url
    raise AssertionError(url)


async def begin(browser: Browser, provider: str = "google", **fields: str) -> tuple[Page, str]:
    """Begin at the provider, and come up to our callback without entering it: our answer, and the callback's address."""
    asked = await browser.post(
        f"/api/auth/signin/{provider}",
        {"csrfToken": await browser.csrf(), "callbackUrl": "/home", **fields},
        {"x-auth-return-redirect": "1"},
    )
    return asked, await asyncio.to_thread(_walk, asked.json["url"])


async def sign_in(browser: Browser, provider: str = "google", **fields: str) -> Page:
    """The whole way; our callback's answer."""
    _, callback = await begin(browser, provider, **fields)
    return await browser.fetch(callback)


def person(name: str, **over: Any) -> dict[str, Any]:
    return {"sub": f"sub-{name}", "email": f"{name}@example.com", "email_verified": True, "name": name.title(), **over}
