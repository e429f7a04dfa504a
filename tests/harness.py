"""An application in this process, called as HTTP would: bytes in, bytes out, no socket.

What a test asserts is what a client would see. Tests of sockets have their own place (tests/http, tests/clients).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tenantry.app import Tenantry
from tenantry.http import Request, Response

if TYPE_CHECKING:
    from tests.conftest import Database


@asynccontextmanager
async def opened(app: Tenantry[Any], database: Database, **settings: Any) -> AsyncIterator[Tenantry[Any]]:
    """The application over this database, closed afterwards."""
    await app.open(database.settings(**settings))
    try:
        yield app
    finally:
        await app.close()


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any
    headers: list[tuple[bytes, bytes]]

    @property
    def data(self) -> Any:
        """The result; fails with the error's words when the call failed."""
        assert "result" in self.json, self.json
        return self.json["result"].get("data")

    @property
    def error(self) -> Any:
        assert "error" in self.json, self.json
        return self.json["error"]

    @property
    def code(self) -> str:
        """tRPC's code name of the error."""
        return self.error["data"]["code"]

    def header(self, name: str) -> str | None:
        return next((v.decode() for k, v in self.headers if k == name.encode()), None)


class Client:
    """One caller: a token (or none) and an application that is open."""

    def __init__(self, app: Tenantry[Any], token: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.app = app
        self.headers = {k.lower(): v for k, v in (headers or {}).items()}
        if token is not None:
            self.headers["authorization"] = f"Bearer {token}"

    async def send(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        cancel_after: float | None = None,
    ) -> Reply:
        all_headers = {**self.headers, **(headers or {})}
        request = Request(
            method,
            path,
            query.encode(),
            [(k.lower().encode(), v.encode("latin-1")) for k, v in all_headers.items()],
            body,
            "127.0.0.1",
        )
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        running = self.app.handler(request, answered.set_result)
        if cancel_after is not None and running is not None:
            await asyncio.sleep(cancel_after)
            running.cancel()
            return Reply(0, None, [])
        response = await asyncio.wait_for(answered, 30)
        return Reply(response.status, json.loads(response.body) if response.body else None, response.headers)

    async def query(self, path: str, input: Any = ..., **kwargs: Any) -> Reply:
        text = "" if input is ... else "input=" + quote(json.dumps(input))
        return await self.send("GET", f"/trpc/{path}", text, **kwargs)

    async def mutate(self, path: str, input: Any = ..., **kwargs: Any) -> Reply:
        body = b"" if input is ... else json.dumps(input).encode()
        headers = {"content-type": "application/json", **kwargs.pop("headers", {})}
        return await self.send("POST", f"/trpc/{path}", body=body, headers=headers, **kwargs)
