"""`/_dev` as a browser on this machine asks for it: in this process, or of a served application."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any
from urllib.parse import urlencode

from tenantry.app import Tenantry
from tenantry.http import Request, Response

HOST = "127.0.0.1:3001"


class Browser:
    """Pages of an application that is open."""

    def __init__(self, app: Tenantry[Any], *, host: str = HOST, peer: str | None = "127.0.0.1") -> None:
        self.app = app
        self.host = host
        self.peer = peer

    async def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Response:
        given = {"host": self.host, **(headers or {})}
        request = Request(method, path, b"", [(k.encode(), v.encode()) for k, v in given.items()], body, self.peer)
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.app.handler(request, answered.set_result)
        return await asyncio.wait_for(answered, 30)

    async def get(self, path: str, **headers: str) -> str:
        reply = await self.send("GET", path, headers=headers)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    async def post(self, path: str, fields: dict[str, str]) -> str:
        headers = {"origin": f"http://{self.host}", "content-type": "application/x-www-form-urlencoded"}
        reply = await self.send("POST", path, urlencode(fields).encode(), headers)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    async def newest(self) -> str:
        """The page of the last request."""
        listed = await self.get("/_dev/requests")
        number = re.search(r"/_dev/requests/(\d+)", listed)
        assert number is not None, text_of(listed)
        return await self.get(f"/_dev/requests/{number[1]}")


def text_of(page: str) -> str:
    """What a page says, without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def person(page: str, email: str) -> str:
    """The key that a page's list has for somebody."""
    found = re.search(rf'<option value="([0-9a-f]+)"[^>]*>{re.escape(email)} ', page)
    assert found is not None, text_of(page)
    return found[1]
