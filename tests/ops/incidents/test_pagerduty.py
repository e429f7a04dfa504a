"""PagerDuty's webhook: what is signed is taken, everything else is refused or means nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.app import Tenantry
from tenantry.http import Request, Response
from tenantry.ops.incidents.book import Book
from tenantry.ops.incidents.pagerduty import PATH, Webhook, command_of
from tenantry.settings import Secret
from tests.conftest import Database
from tests.harness import Client, opened

KEY = "s" * 32


def event(kind: str = "incident.acknowledged", key: Any = "inc-1a2b3c4d") -> bytes:
    return json.dumps(
        {"event": {"event_type": kind, "agent": {"summary": "Ann"}, "data": {"incident_key": key}}}
    ).encode()


def signed(body: bytes, key: str = KEY) -> str:
    return "v1=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


async def sent(home: Path, body: bytes, signature: str, method: str = "POST") -> int:
    webhook = Webhook(Secret(KEY), home)
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    headers = [(b"x-pagerduty-signature", signature.encode())]
    webhook.handle(Request(method, PATH, b"", headers, body, "203.0.113.9"), answered.set_result)
    await asyncio.gather(*webhook.tasks)
    return (await answered).status


async def test_an_acknowledgement_reaches_the_watchers_inbox(tmp_path: Path):
    assert await sent(tmp_path, event(), f"v1=00,{signed(event())}") == 202
    ((_, command),) = Book(tmp_path).commands()
    assert command is not None
    assert (command.verb, command.by, command.id) == ("ack", "Ann", "inc-1a2b3c4d")


@pytest.mark.parametrize("signature", ["", "v1=", signed(event(), "other"), signed(b"other"), signed(event())[3:]])
async def test_what_is_not_signed_is_refused_and_changes_nothing(tmp_path: Path, signature: str):
    assert await sent(tmp_path, event(), signature) == 401
    assert Book(tmp_path).commands() == []


@pytest.mark.parametrize(
    "body", [event("incident.triggered"), event(key="X1"), event(key=None), event(key=5), b"[]", b"{", b'{"event": 1}']
)
async def test_events_of_other_kinds_mean_nothing(tmp_path: Path, body: bytes):
    assert await sent(tmp_path, body, signed(body)) == 202
    assert Book(tmp_path).commands() == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_no_json_breaks_it(value: Any):
    command_of(json.dumps({"event": value}).encode())


async def test_the_path_is_served_only_with_a_secret(database: Database, tmp_path: Path):
    async with opened(Tenantry(), database, home=tmp_path) as app:
        assert (
            await Client(app).send("POST", PATH, body=event(), headers={"content-type": "application/json"})
        ).status == 404
    async with opened(Tenantry(), database, home=tmp_path, pagerduty_secret=Secret(KEY)) as app:
        headers = {"content-type": "application/json", "x-pagerduty-signature": signed(event())}
        assert (await Client(app).send("POST", PATH, body=event(), headers=headers)).status == 202
        assert (await Client(app).send("GET", PATH)).status == 405
