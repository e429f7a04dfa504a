"""PagerDuty's webhook: what is signed is taken, everything else is refused or means nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.app import Tenantry
from tenantry.http import Request, Response
from tenantry.ops.incidents.book import Book
from tenantry.ops.incidents.pagerduty import PATH, Webhook, command_of
from tenantry.ops.watch import Watch
from tenantry.settings import Secret, Settings
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


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param([signed(event())], 202, id="right"),
        pytest.param([signed(event(), "n" * 32), signed(event())], 202, id="two secrets while one is being changed, ours second"),
        pytest.param([signed(event()), signed(event(), "n" * 32)], 202, id="ours first"),
        pytest.param(["v0=" + "0" * 64, " " + signed(event()) + " "], 202, id="another version beside it, and blanks"),
        pytest.param([signed(event(), "o" * 32)], 401, id="only the old secret, which is not ours any more"),
        pytest.param([signed(event()).upper()], 401, id="in capitals"),
        pytest.param([signed(event())[:-1]], 401, id="one digit short"),
        pytest.param([signed(event()) + "0"], 401, id="one digit long"),
        pytest.param(["v0" + signed(event())[2:]], 401, id="of another version"),
        pytest.param(["v1=é"], 401, id="no ASCII"),
        pytest.param([], 401, id="missing"),
        pytest.param(["v1=" + "0" * 64] * 50 + [signed(event())], 401, id="the right one behind fifty others"),
    ],
)  # fmt: skip
async def test_signatures(tmp_path: Path, header: list[str], status: int):
    assert await sent(tmp_path, event(), ",".join(header)) == status
    assert len(Book(tmp_path).commands()) == (status == 202)


@pytest.mark.parametrize("change", [lambda b: b + b" ", lambda b: b.replace(b"Ann", b"Eve"), lambda b: b[:-1], lambda b: b""])  # fmt: skip
async def test_a_body_that_was_changed_does_not_fit(tmp_path: Path, change: Callable[[bytes], bytes]):
    assert await sent(tmp_path, change(event()), signed(event())) == 401
    assert Book(tmp_path).commands() == []


def numbered(kind: str, number: str, agent: str = "user_reference") -> bytes:
    return json.dumps(
        {"event": {
            "id": number, "event_type": kind, "occurred_at": "2026-11-25T02:00:00Z",
            "agent": {"summary": "Ann", "type": agent}, "data": {"incident_key": "inc-1"},
        }}
    ).encode()  # fmt: skip


async def test_an_event_that_is_sent_again_means_nothing(tmp_path: Path):
    """Overheard and sent again when the same incident is open anew: it must not take the page from whoever should get it."""
    watch = Watch(Settings(home=tmp_path), Calm(), tick_seconds=15.0)
    incident = watch.desk.open("corruption", "ann", "a bad page", watch.steady.now())
    watch.desk.incidents = {"inc-1": incident}
    incident.id = "inc-1"
    acked = numbered("incident.acknowledged", "E1")
    for body, has_it in [
        (acked, "Ann"), (numbered("incident.unacknowledged", "E2"), None), (acked, None),
        (numbered("incident.acknowledged", "E3"), "Ann"),
    ]:  # fmt: skip
        assert await sent(tmp_path, body, signed(body)) == 202
        await watch.turn()
        assert incident.acked_by == has_it
    await watch.close()
    # A restart forgets nothing of it.
    after = Watch(Settings(home=tmp_path), Calm(), tick_seconds=15.0)
    assert list(after.heard) == ["E1", "E2", "E3"]
    await after.close()


async def test_what_our_own_message_did_there_does_not_come_back_as_somebodys_word(tmp_path: Path):
    body = numbered("incident.resolved", "E1", "events_api_v2_inbound_integration_reference")
    assert await sent(tmp_path, body, signed(body)) == 202
    assert Book(tmp_path).commands() == []


class Calm:
    async def __call__(self) -> None:
        return None


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
