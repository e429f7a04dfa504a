"""Calls from `/_dev`'s forms: through a mount of its own, without a transformer, on the way of every request.

A file goes on as a form, text fields first; a subscription is listened to for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote

import msgspec

from tenantry.dispatch import Dispatcher
from tenantry.dispatch.road import Place
from tenantry.dispatch.uploads import parts_of
from tenantry.http import Inflow, Outlet, Request, Response, Stream
from tenantry.rpc import File, Mount, Procedure

if TYPE_CHECKING:
    from tenantry.dispatch import Road

BELOW = "/_dev/call"
LISTEN_SECONDS = 3.0
LONGEST_SECONDS = 60.0
MOST_SHOWN = 200_000
"""Characters of an answer that a page shows."""
Headers = list[tuple[bytes, bytes]]


class Came(NamedTuple):
    """What came back. `token` is the session's new one, where the call rotated it."""

    status: int
    ms: float
    body: str
    request_id: str
    token: str


class Caller:
    """Calls procedures over a road, as whoever has a token."""

    def __init__(self, road: Road, *, max_body_bytes: int) -> None:
        place = Place(Mount(path=BELOW), max_batch=1, max_body_bytes=max_body_bytes, is_development=True)
        self.inner = Dispatcher(road, [place])

    def close(self) -> None:
        """Call no more."""
        self.inner.close()

    async def call(
        self, procedure: Procedure[..., Any], token: str | None, given: bytes | None, files: Mapping[str, File | bytes]
    ) -> Came:
        """Call, and wait for the answer."""
        request = _request(procedure, token, given, files)
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        running = self.inner.handle(request, lambda r: None if answered.done() else answered.set_result(r))
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                response = await answered
                body = response.body
                if isinstance(response, Stream):
                    body = await _listened(response)
        except TimeoutError:
            return Came(504, LONGEST_SECONDS * 1000, "The call took too long and was cancelled.", "", "")
        finally:
            if running is not None:
                running.cancel()
        took_ms = (time.perf_counter() - began) * 1000
        request_id = next((value.decode() for name, value in response.headers if name == b"x-request-id"), "")
        return Came(response.status, took_ms, readable(body), request_id, _new_token(procedure, body))


class _Result(msgspec.Struct):
    data: _Rotated


class _Rotated(msgspec.Struct):
    token: str


class _Answer(msgspec.Struct):
    result: _Result


def _new_token(procedure: Procedure[..., Any], body: bytes) -> str:
    """The session's next token, which a procedure that changes the session gives to a caller with a bearer."""
    if procedure.scope != "person" or procedure.type != "mutation":
        return ""
    try:
        return msgspec.json.decode(body, type=_Answer).result.data.token
    except msgspec.DecodeError:
        return ""


def readable(body: bytes) -> str:
    """JSON with its lines, anything else as it is."""
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except msgspec.DecodeError:
        text = body.decode("utf-8", "replace")
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "\n… and more"


def _request(
    procedure: Procedure[..., Any], token: str | None, given: bytes | None, files: Mapping[str, File | bytes]
) -> Request:
    headers: Headers = [(b"host", b"127.0.0.1")]
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    path = f"{BELOW}/{procedure.path}"
    kind = procedure.input.kind
    if kind in ("form", "octets"):
        content_type, body = _form_of(given, files) if kind == "form" else (b"application/octet-stream", _first(files))
        inflow = Inflow(len(body))
        inflow.feed(body)
        inflow.end()
        return Request("POST", path, b"", [*headers, (b"content-type", content_type)], None, "127.0.0.1", inflow)
    if procedure.type == "mutation":
        return Request("POST", path, b"", [*headers, (b"content-type", b"application/json")], given or b"", "127.0.0.1")
    query = b"" if given is None else b"input=" + quote(given).encode()
    return Request("GET", path, query, headers, b"", "127.0.0.1")


def _first(files: Mapping[str, File | bytes]) -> bytes:
    return next((one for one in files.values() if isinstance(one, bytes)), b"")


def _form_of(given: bytes | None, files: Mapping[str, File | bytes]) -> tuple[bytes, bytes]:
    """A multipart form of the fields and the file, as a browser sends it to the API."""
    boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    members: dict[str, Any] = {} if given is None else msgspec.json.decode(given)
    for name, value in members.items():
        for one in value if isinstance(value, list) else [value]:  # pyright: ignore[reportUnknownVariableType] - JSON
            text = one if isinstance(one, str) else "" if one is None else msgspec.json.encode(one).decode()
            pieces.append(
                f'--{boundary}\r\ncontent-disposition: form-data; name="{_quoted(name)}"\r\n\r\n{text}\r\n'.encode()
            )
    for name, data in files.items():
        if isinstance(data, bytes):
            head = f'--{boundary}\r\ncontent-disposition: form-data; name="{_quoted(name)}"; filename="file"\r\ncontent-type: application/octet-stream\r\n\r\n'
            pieces += [head.encode(), data, b"\r\n"]
    return f"multipart/form-data; boundary={boundary}".encode(), b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _quoted(name: str) -> str:
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


async def sent_form(request: Request) -> tuple[dict[str, str], dict[str, bytes]]:
    """The text fields and the files of a form that a page sent."""
    content_type = request.header(b"content-type") or b""
    body = request.body or b""
    if not content_type.startswith(b"multipart/form-data"):
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)), {}
    inflow = Inflow(len(body))
    inflow.feed(body)
    inflow.end()
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    async for part in parts_of(inflow, content_type):
        if isinstance(part, File):
            data = b"".join([chunk async for chunk in part])
            if part.name or data:
                files[part.field] = data
        else:
            fields[part.name] = part.value
    return fields, files


class _Kept(Outlet):
    """Keeps what a stream sends, up to what is shown."""

    __slots__ = ("over", "parts", "size")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.size = 0
        self.over = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)
        if self.size > MOST_SHOWN:
            self.over.set()

    def end(self) -> None:
        self.over.set()

    def abort(self) -> None:
        self.over.set()


async def _listened(response: Stream) -> bytes:
    outlet = _Kept()
    response.begin(outlet)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(outlet.over.wait(), LISTEN_SECONDS)
    outlet.is_closed = True
    return b"".join(outlet.parts)
