"""Uploads: a form or a byte stream as a handler's arguments, read as it comes and never held whole.

Text fields come before the file, since a stream cannot look ahead. Bounded: bytes (the mount's or the procedure's, by `http`),
parts, a field's own bytes, a part's head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from tenantry.errors import BadRequest, InvalidInput, PayloadTooLarge
from tenantry.http import Inflow
from tenantry.rpc import Field, File, Form, Octets

if TYPE_CHECKING:
    from tenantry.http import Request
    from tenantry.rpc import Procedure

MAX_PARTS = 1000
MAX_FIELD_BYTES = 1 << 20
MAX_HEAD_BYTES = 8 << 10


async def uploaded(procedure: Procedure[..., Any], request: Request, media: str) -> tuple[Any, ...]:
    """The arguments of a procedure that was called with a form (`media` is `form`) or a byte stream (`octets`)."""
    inflow = request.inflow
    if inflow is None:  # a body of no bytes is not read as it comes
        inflow = Inflow(0)
        inflow.end()
    schema = procedure.input
    if schema.kind == "none":
        return ()
    if schema.kind != media:
        # The words of a call with JSON to a procedure that takes a stream, or the other way round.
        if schema.stream is not None:
            return procedure.decode(None)
        message = "Expected JSON"
        raise InvalidInput(message, data={"issues": [{"path": [], "code": "invalid_type", "message": message}]})
    if media == "octets":
        return (Octets(inflow),)
    parts = parts_of(inflow, request.header(b"content-type") or b"")
    if schema.takes_whole_form:
        return (Form(parts),)
    fields: dict[str, list[str]] = {}
    async for part in parts:
        if isinstance(part, File):
            return schema.form(fields, part)
        fields.setdefault(part.name, []).append(part.value)
    return schema.form(fields, None)


class _Events:
    """The parser's callbacks, as a queue of events."""

    def __init__(self) -> None:
        self.queue: deque[tuple[str, Any]] = deque()
        self.name = b""
        self.value = b""
        self.headers: dict[bytes, bytes] = {}
        self.head_bytes = 0
        self.parts = 0

    def on_part_begin(self) -> None:
        self.headers = {}
        self.head_bytes = 0
        self.parts += 1
        if self.parts > MAX_PARTS:
            message = f"A form has at most {MAX_PARTS} parts"
            raise PayloadTooLarge(message)

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]
        self._count(end - start)

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]
        self._count(end - start)

    def _count(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > MAX_HEAD_BYTES:
            message = "A part of the form has too large a head"
            raise PayloadTooLarge(message)

    def on_header_end(self) -> None:
        self.headers.setdefault(self.name.lower(), self.value)
        self.name = self.value = b""

    def on_headers_finished(self) -> None:
        self.queue.append(("begin", self.headers))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.queue.append(("data", data[start:end]))

    def on_part_end(self) -> None:
        self.queue.append(("end", None))

    def on_end(self) -> None:
        self.queue.append(("over", None))


class _Reader:
    """Events of a form, one after the other."""

    def __init__(self, inflow: Inflow, boundary: bytes) -> None:
        from python_multipart.multipart import MultipartParser

        self.inflow = inflow
        self.events = _Events()
        names = (
            "part_begin",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
            "part_data",
            "part_end",
            "end",
        )
        self.parser = MultipartParser(boundary, {f"on_{name}": getattr(self.events, f"on_{name}") for name in names})  # pyright: ignore[reportArgumentType] - a TypedDict of these

    async def next(self) -> tuple[str, Any]:
        from python_multipart.exceptions import FormParserError

        queue = self.events.queue
        while not queue:
            chunk = await anext(self.inflow, None)
            if chunk is None:
                message = "The form ended too early"
                raise BadRequest(message)
            try:
                self.parser.write(chunk)
            except FormParserError:
                message = "The form is not valid multipart/form-data"
                raise BadRequest(message) from None
        return queue.popleft()


async def parts_of(inflow: Inflow, content_type: bytes) -> AsyncIterator[Field | File]:
    """Every part in order. A file that was not read to its end is passed over."""
    reader = _Reader(inflow, _boundary(content_type))
    while True:
        kind, headers = await reader.next()
        if kind == "over":
            return
        if kind != "begin":
            continue
        name, filename, type_ = _described(headers)
        if filename is None:
            yield Field(name, await _text(reader))
            continue
        chunks = _chunks(reader)
        yield File(name, filename, type_, chunks)
        async for _ in chunks:
            pass


async def _text(reader: _Reader) -> str:
    pieces: list[bytes] = []
    size = 0
    while True:
        kind, data = await reader.next()
        if kind != "data":
            break
        size += len(data)
        if size > MAX_FIELD_BYTES:
            message = f"A text field has at most {MAX_FIELD_BYTES} bytes"
            raise PayloadTooLarge(message)
        pieces.append(data)
    try:
        return b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError:
        message = "A text field is not valid UTF-8"
        raise BadRequest(message) from None


async def _chunks(reader: _Reader) -> AsyncIterator[bytes]:
    while True:
        kind, data = await reader.next()
        if kind != "data":
            return
        yield data


def _boundary(content_type: bytes) -> bytes:
    from python_multipart.multipart import parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        message = "The form has no boundary"
        raise BadRequest(message)
    return boundary


def _described(headers: dict[bytes, bytes]) -> tuple[str, str | None, str]:
    """Field, file name (None: a text field) and media type of a part."""
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(headers.get(b"content-disposition", b""))
    name, filename = options.get(b"name"), options.get(b"filename")
    if kind != b"form-data" or name is None:
        message = "A part of the form has no name"
        raise BadRequest(message)
    type_ = headers.get(b"content-type", b"text/plain").decode("latin-1")
    return _unescaped(name), None if filename is None else _unescaped(filename), type_


def _unescaped(name: bytes) -> str:
    """Browsers write quotes and line ends in names as `%22`, `%0D`, `%0A` (the HTML standard), and nothing else."""
    text = name.decode("utf-8", "replace")
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%22", '"') if "%" in text else text
