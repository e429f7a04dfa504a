"""Uploads: refused before they are read, bounded while they are, and never held whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import Database, People
from tests.dispatch.conftest import Served, bearer


async def upload(served: Served, token: str, path: str, **body: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as http:
        return await http.post(f"{served.url}/{path}", headers={**bearer(token), **body.pop("headers", {})}, **body)  # type: ignore[arg-type]


async def test_a_file_arrives_with_its_fields(served: Served, people: People) -> None:
    files = {"file": ("a b.txt", b"hello", "text/plain")}
    reply = await upload(served, people.acme.admin.token, "notes.attach", data={"body": "b"}, files=files)
    assert reply.json()["result"]["data"]["body"] == "b a b.txt text/plain 5"


async def test_a_field_after_the_file_is_missed_with_words(served: Served, people: People) -> None:
    reply = await upload(
        served, people.acme.admin.token, "notes.attach", files=[("file", ("a", b"x")), ("body", (None, "b"))]
    )
    assert (reply.status_code, reply.json()["error"]["data"]["issues"][0]["path"]) == (400, ["body"])


async def test_a_form_without_its_file_is_refused(served: Served, people: People) -> None:
    reply = await upload(served, people.acme.admin.token, "notes.attach", files=[("body", (None, "b"))])
    assert reply.json()["error"]["data"]["issues"][0]["path"] == ["file"]


async def test_a_file_larger_than_its_procedure_takes_is_cut_off_and_nothing_is_changed(
    served: Served, people: People, database: Database
) -> None:
    files = {"file": ("a", b"x" * 2_000_000)}
    reply = await upload(served, people.acme.admin.token, "notes.attach", data={"body": "b"}, files=files)
    assert (reply.status_code, database.value("select count(*) from notes")) == (413, 0)


async def test_who_may_not_is_refused_before_the_body_is_read(served: Served, people: People) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="body"\r\n\r\nb\r\n--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(60):
            sent += 1000
            yield b"x" * 1000
            await asyncio.sleep(0.005)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    reply = await upload(served, people.acme.member.token, "notes.attach", content=endless(), headers=headers)
    assert reply.status_code == 403


async def test_a_byte_stream_has_the_mounts_limit(served: Served, people: People) -> None:
    headers = {"content-type": "application/octet-stream"}
    reply = await upload(served, people.acme.member.token, "notes.swallow", content=b"x" * 90_000, headers=headers)
    assert reply.json()["result"]["data"] == 90_000
    reply = await upload(served, people.acme.member.token, "notes.swallow", content=b"x" * 110_000, headers=headers)
    assert reply.status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"--x", b"--x\r\n\r\n", b"--x\r\ncontent-disposition: nothing\r\n\r\n", b"--x\r\n" + b"h: v\r\n" * 5000,
     b'--x\r\ncontent-disposition: form-data; name="body"\r\n\r\n\xff\r\n--x--\r\n',
     b"".join(b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n' for _ in range(1100))],
)  # fmt: skip
async def test_a_form_that_is_none_is_refused(served: Served, people: People, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    reply = await upload(served, people.acme.admin.token, "notes.attach", content=body, headers=headers)
    assert reply.status_code in (400, 413)
