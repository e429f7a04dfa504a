"""The bare address leads a browser to /_dev while developing; an address that has no page says so in the frame of all pages."""

from __future__ import annotations

import pytest

from tenantry import Tenantry
from tests.conftest import Database
from tests.dev.browser import Browser, text_of
from tests.harness import Client, opened

PAGE = {"accept": "text/html,application/xhtml+xml", "host": "127.0.0.1:3001"}


@pytest.mark.parametrize(
    ("env", "headers", "status"),
    [
        ("development", PAGE, 307),
        ("development", {**PAGE, "host": "desk.example"}, 404),
        ("development", {**PAGE, "x-forwarded-for": "10.0.0.1"}, 404),
        ("development", {"accept": "*/*", "host": "127.0.0.1"}, 404),
        ("production", PAGE, 404),
    ],
)
async def test_the_bare_address_leads_a_browser_to_the_page(
    database: Database, env: str, headers: dict[str, str], status: int
) -> None:
    async with opened(Tenantry(), database, env=env) as app:
        reply = await Client(app, headers=headers).send("GET", "/")
        assert reply.status == status
        assert reply.header("location") == ("/_dev" if status == 307 else None)


async def test_an_address_without_a_page_says_so_in_the_frame(database: Database) -> None:
    async with opened(Tenantry(), database, env="development") as app:
        for path in ("/_dev/nothing", "/_dev/requests/999", "/_dev/errors/NO_SUCH"):
            reply = await Browser(app).send("GET", path)
            assert reply.status == 404
            shown = reply.body.decode()
            assert "No such page" in text_of(shown)
            assert 'href="/_dev"' in shown
