"""A browser in this process: cookies, redirects, forms; and people who sign in by the mails in an outbox. No socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from tenantry import Tenantry
from tenantry.http import Request, Response
from tenantry.settings import Secret
from tests.harness import opened

if TYPE_CHECKING:
    from tests.conftest import Database

BASE = "http://127.0.0.1:3999"
SECRET = "a-secret-of-the-tests-with-more-than-32-bytes"
JSON_ANSWER = {"x-auth-return-redirect": "1"}


@asynccontextmanager
async def signing_in(
    database: Database, outbox: Path, app: Tenantry | None = None, **over: Any
) -> AsyncIterator[Tenantry]:
    """An application with sign-in by mail, open to all, whose mails land in `outbox`."""
    settings = {
        "auth_url": BASE, "auth_secret": Secret(SECRET), "auth_sign_up": "open", "auth_rate_limits": "off",
        "auth_email_server": Secret(f"dir:{outbox}"), "auth_email_from": "Tests <login@tenantry.example>", **over,
    }  # fmt: skip
    async with opened(app or Tenantry(), database, **settings) as running:
        yield running


def mails(outbox: Path, to: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(p.read_text("utf-8")) for p in sorted(outbox.glob("[0-9]*.json"))]
    return [mail for mail in found if to is None or mail["to"] == to]


class Page:
    """An answer, with what a person would see of it."""

    def __init__(self, response: Response, url: str) -> None:
        self.status = response.status
        self.text = response.body.decode()
        self.url = url
        self.headers = response.headers

    def header(self, name: str) -> str | None:
        return next((v.decode("latin-1") for k, v in self.headers if k == name.encode()), None)

    @property
    def cookies(self) -> list[str]:
        return [v.decode("latin-1") for k, v in self.headers if k == b"set-cookie"]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def location(self) -> str:
        return self.header("location") or ""

    @property
    def error(self) -> str | None:
        """The code in the page's address, or in the address that a redirect or {url} names."""
        url = self.location or (self.json or {}).get("url", "") if self.text[:1] in "{n" or self.location else self.url
        return (parse_qs(urlsplit(url or "").query).get("error") or [None])[0]

    def form(self, number: int = 0) -> tuple[str, dict[str, str]]:
        """A form's action and its hidden fields."""
        whole = re.findall(r"<form[^>]*>.*?</form>", self.text, re.DOTALL)[number]
        action = re.search(r'action="([^"]*)"', whole)
        assert action
        fields = re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', whole)
        return unescape(action[1]), {name: unescape(value) for name, value in fields}


class Browser:
    """One person's browser."""

    def __init__(self, app: Tenantry, base: str = BASE, peer: str = "127.0.0.1") -> None:
        self.app = app
        self.base = base
        self.peer = peer
        self.jar: dict[str, str] = {}
        self.headers: dict[str, str] = {"host": urlsplit(base).netloc}

    async def fetch(
        self,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        cookie: str | None = None,
    ) -> Page:
        """One request; redirects are not followed."""
        url = urljoin(self.base, path)
        parts = urlsplit(url)
        sent = {**self.headers, **(headers or {})}
        if cookie is None:
            cookie = "; ".join(f"{k}={v}" for k, v in self.jar.items())
        if cookie:
            sent["cookie"] = cookie
        request = Request(
            method,
            parts.path,
            parts.query.encode(),
            [(k.encode(), v.encode("latin-1")) for k, v in sent.items()],
            body,
            self.peer,
        )
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.app.handler(request, answered.set_result)
        page = Page(await asyncio.wait_for(answered, 30), url)
        for line in page.cookies:
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            if not value or "max-age=0" in attributes.lower():
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return page

    async def post(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None, **kwargs: Any
    ) -> Page:
        sent = {"content-type": "application/x-www-form-urlencoded", "origin": self.base, **(headers or {})}
        return await self.fetch(path, "POST", urlencode(fields).encode(), sent, **kwargs)

    async def post_json(self, path: str, value: Any, headers: dict[str, str] | None = None) -> Page:
        sent = {"content-type": "application/json", "origin": self.base, **(headers or {})}
        return await self.fetch(path, "POST", json.dumps(value).encode(), sent)

    async def submit(self, page: Page, number: int = 0, **more: str) -> Page:
        """Press a form's button."""
        action, fields = page.form(number)
        return await self.post(action, {**fields, **more})

    async def csrf(self) -> str:
        return (await self.fetch("/api/auth/csrf")).json["csrfToken"]

    async def session(self) -> Any:
        return (await self.fetch("/api/auth/session")).json

    @property
    def token(self) -> str | None:
        return self.jar.get("authjs.session-token") or self.jar.get("__Secure-authjs.session-token")

    async def sign_in_by_mail(self, email: str, outbox: Path) -> Page:
        """Ask for the link, open it, press the button."""
        asked = await self.post(
            "/api/auth/signin/email", {"csrfToken": await self.csrf(), "email": email, "callbackUrl": "/home"}
        )
        assert asked.error is None, asked.location
        page = await self.fetch(mails(outbox, email)[-1]["url"])
        assert page.status == 200, page.location
        return await self.submit(page)

    async def call(self, path: str, input: Any = None, *, mutation: bool = False) -> Any:
        """A procedure, with this browser's cookie: its data, or {"error": …}."""
        if mutation:
            page = await self.post_json(f"/trpc/{path}", input if input is not None else {})
        else:
            query = "" if input is None else "?" + urlencode({"input": json.dumps(input)})
            page = await self.fetch(f"/trpc/{path}{query}")
        body = page.json
        return (
            body["result"].get("data")
            if "result" in body
            else {"error": body["error"]["data"]["code"], "message": body["error"]["message"]}
        )

    async def switch(self, tenant: str) -> Page:
        """As useSession().update({tenant}) does."""
        return await self.post_json("/api/auth/session", {"csrfToken": await self.csrf(), "data": {"tenant": tenant}})
