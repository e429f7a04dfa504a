"""A request as calls: paths, methods, and where each call's raw input lies. Pure; raises RpcError for whole-request faults.

Input is read lazily: malformed JSON is the BAD_REQUEST of the call that reads it, so in a batch the calls without input
still succeed. What fails here for one call is that call's `error`; what fails the request as a whole is raised, and is
answered by one object even for a batch (tRPC's way). Messages are tRPC's own, since front ends compare them.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from tenantry.errors import (
    BadRequest,
    MethodNotSupported,
    NotFound,
    ParseError,
    PayloadTooLarge,
    RpcError,
    UnsupportedMediaType,
)
from tenantry.rpc.procedure import Procedure
from tenantry.rpc.schema import without_mark


class Limits(Struct, frozen=True):
    """What a mount allows: `max_batch` calls in one request; `allow_batch`; POST for queries (`allow_method_override`)."""

    max_batch: int = 50
    allow_batch: bool = True
    allow_method_override: bool = False


Media = Literal["json", "form", "octets"]


class RpcRequest(Struct, frozen=True):
    """What tRPC looks at. `path` is raw: after the mount, still percent-encoded. `body` is None when it was too large."""

    method: str
    path: str
    query: bytes
    content_type: bytes | None
    body: bytes | None
    wants_lines: bool = False


class Call(Struct):
    """One procedure call: either a procedure with its raw input (None: undefined), or the error that it is.

    `fault` is what is wrong with the input: it is the call's error when the input is read, and not before.
    """

    path: str
    procedure: Procedure[..., Any] | None
    error: RpcError | None
    raw: bytes | Raw | None
    fault: RpcError | None = None


class Parsed(Struct):
    """The calls in the order of their paths, and how they are to be answered."""

    calls: list[Call]
    is_batch: bool
    is_lines: bool = False
    media: Media = "json"
    params: dict[str, str] | None = None
    """The `connectionParams` of the URL: an unauthenticated claim, like a header."""


_NOT_BATCHED = "Streaming requests must be batched (you can do a batch of 1)"
Table = Mapping[str, Procedure[..., Any]]
_ENCODED_NAME = re.compile(rb"(?:^|&)[^=&]*%")
_batch_input = msgspec.json.Decoder(dict[str, Raw])


def parse(table: Table, request: RpcRequest, limits: Limits) -> Parsed:
    """The calls of a request. Raises RpcError where the request fails as a whole."""
    path = request.path
    query = request.query
    if path.endswith("/"):
        # tRPC trims one slash of the URL's path, and one more of what is left of it after the mount.
        path = path.removesuffix("/").removesuffix("/")
    if "%" in path or not path.isascii():
        path = _decoded(path)
    if request.content_type is not None or request.method != "GET":
        media = _media(request.method, request.content_type)
        if media != "json":
            if request.wants_lines:
                raise BadRequest(_NOT_BATCHED)
            # Its body is no bytes, and is read by who takes it.
            return Parsed([_one(table, request, path, limits, has_body=True)], False, media=media)
    if (b"batch" in query or _ENCODED_NAME.search(query)) and parameter(query, b"batch") == b"1":
        return _parse_batch(table, request, path, limits)
    params = connection_params(query) if b"onnectionParams" in query else None
    if request.wants_lines:
        raise BadRequest(_NOT_BATCHED)
    return Parsed([_one(table, request, path, limits)], False, params=params)


def _one(table: Table, request: RpcRequest, path: str, limits: Limits, *, has_body: bool = False) -> Call:
    procedure = table.get(path)
    if procedure is None:
        return Call(path, None, NotFound(f'No procedure found on path "{path}"'), None)
    error = _refused(procedure, request.method, limits)
    if error is not None:
        return Call(path, procedure, error, None)
    if request.body is None and request.method != "GET":
        return Call(path, procedure, None, None, PayloadTooLarge() if procedure.takes_input and not has_body else None)
    return Call(path, procedure, None, _raw_input(request))


def _parse_batch(table: Table, request: RpcRequest, path: str, limits: Limits) -> Parsed:
    paths = path.split(",")
    if len(paths) > limits.max_batch:
        message = "Batch call exceeds maximum size"
        raise BadRequest(message)
    found = [table.get(one) for one in paths]
    types = list(dict.fromkeys(procedure.type for procedure in found if procedure is not None))
    if len(types) > 1:
        message = f"Cannot mix procedure types in call: {', '.join(types)}"
        raise BadRequest(message)
    params = connection_params(request.query)
    if not limits.allow_batch:
        message = "Batching is not enabled on the server"
        raise BadRequest(message)
    inputs = _batch_inputs(request)
    fault = inputs if isinstance(inputs, RpcError) else None
    calls: list[Call] = []
    for index, (one, procedure) in enumerate(zip(paths, found, strict=True)):
        if procedure is None:
            calls.append(Call(one, None, NotFound(f'No procedure found on path "{one}"'), None))
            continue
        error = _refused(procedure, request.method, limits)
        if error is None and procedure.type == "subscription":
            error = BadRequest("Cannot batch subscription calls")
        # Only a call that reads its input hears of a fault in it.
        raw = inputs.get(str(index)) if isinstance(inputs, dict) else None
        calls.append(Call(one, procedure, error, raw, fault if procedure.takes_input else None))
    return Parsed(calls, True, request.wants_lines, params=params)


def _batch_inputs(request: RpcRequest) -> dict[str, Raw] | RpcError:
    if request.body is None and request.method != "GET":
        return PayloadTooLarge()
    raw = _raw_input(request)
    if raw is None:
        return {}
    for text in (raw, without_mark(raw)):
        try:
            return _batch_input.decode(text)
        except msgspec.ValidationError:
            return BadRequest('"input" needs to be an object when doing a batch call')
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return BadRequest("The input is not valid JSON")


def _raw_input(request: RpcRequest) -> bytes | None:
    raw = parameter(request.query, b"input") if request.method == "GET" else request.body
    return raw or None


def _refused(procedure: Procedure[..., Any], method: str, limits: Limits) -> RpcError | None:
    if procedure.type == "mutation":
        allowed = ("POST",)
    else:
        allowed = ("GET", "POST") if limits.allow_method_override else ("GET",)
    if method in allowed:
        return None
    return MethodNotSupported(
        f'Unsupported {method}-request to {procedure.type} procedure at path "{procedure.path}"',
        data={"allow": ", ".join(allowed)},
    )


def _media(method: str, content_type: bytes | None) -> Media:
    """What the body is; a GET without a type of ours is read as JSON, so that one can be opened in a browser."""
    media_type = b"" if content_type is None else content_type.split(b";", 1)[0].strip().lower()
    if media_type == b"application/json":
        return "json"
    if media_type in _STREAMED:
        if method != "POST":
            message = f"Only POST requests are supported for {media_type.decode()} requests"
            raise MethodNotSupported(message)
        return _STREAMED[media_type]
    if method == "GET":
        return "json"
    if content_type is None:
        message = "Missing content-type header"
        raise UnsupportedMediaType(message)
    message = f'Unsupported content-type "{content_type[:200].decode("ascii", "replace")}'
    raise UnsupportedMediaType(message)


_STREAMED: Mapping[bytes, Media] = {b"multipart/form-data": "form", b"application/octet-stream": "octets"}


def is_streamed(content_type: bytes) -> bool:
    """Whether a body of this type is read as it comes."""
    return content_type.split(b";", 1)[0].strip().lower() in _STREAMED


def wants_lines(trpc_accept: bytes | None, accept: bytes | None) -> bool:
    """Whether the answer is to be streamed, line by line (`httpBatchStreamLink`)."""
    if trpc_accept is not None:
        return trpc_accept == b"application/jsonl"
    return accept is not None and any(part.strip() == b"application/jsonl" for part in accept.split(b","))


def connection_params(query: bytes) -> dict[str, str] | None:
    """The URL's `connectionParams`. Raises ParseError for anything but null or an object of strings."""
    raw = parameter(query, b"connectionParams")
    if raw is None:
        return None
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "Not JSON-parsable query params"
        raise ParseError(message) from None
    return params_of(value)


def params_of(value: object) -> dict[str, str] | None:
    """Connection params from what was sent. Raises ParseError."""
    if value is None:
        return None
    try:
        return msgspec.convert(value, dict[str, str])
    except msgspec.ValidationError:
        message = "Invalid connection params shape"
        raise ParseError(message) from None


def _decoded(path: str) -> str:
    """The whole path percent-decoded once. Raises BadRequest on bad encoding."""
    pieces = path.split("%")
    if any(len(p) < 2 or not _is_hex(p[:2]) for p in pieces[1:]):
        message = "The path is not validly percent-encoded"
        raise BadRequest(message)
    try:
        text = unquote_to_bytes(path.encode("latin-1", "replace")).decode("utf-8")
    except UnicodeDecodeError:
        message = "The path is not validly percent-encoded"
        raise BadRequest(message) from None
    return text


def _is_hex(two: str) -> bool:
    return all(c in "0123456789abcdefABCDEF" for c in two)


def parameter(query: bytes, name: bytes) -> bytes | None:
    """The first parameter of that name, form-decoded; None if absent."""
    lead = name + b"="
    if query.startswith(lead):
        at = 0
    else:
        at = query.find(b"&" + lead) + 1
        if at == 0:
            return _spelled_otherwise(query, name)
    end = query.find(b"&", at)
    value = query[at + len(lead) : end] if end >= 0 else query[at + len(lead) :]
    if b"+" in value:
        value = value.replace(b"+", b" ")
    return _unquoted(value) if b"%" in value else value


def _unquoted(value: bytes) -> bytes:
    """As `unquote_to_bytes`, in half its time: quoted-printable is the same coding with another sign, and is decoded in C."""
    # At the end of a line alone the two differ for valid input; a target of HTTP has none.
    if b"\n" not in value and b"\r" not in value:
        found = a2b_qp(value.replace(b"=", b"%3D").replace(b"%", b"="))
        # Each valid escape shrinks by two; anything else is left to the thorough one.
        if len(found) + 2 * value.count(b"%") == len(value):
            return found
    return unquote_to_bytes(value)


def _spelled_otherwise(query: bytes, name: bytes) -> bytes | None:
    """A parameter whose name is percent-encoded, or that stands without `=`: no client sends it so, but it means the same."""
    for pair in query.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name or (b"%" in key and unquote_to_bytes(key) == name):
            return unquote_to_bytes(value.replace(b"+", b" "))
    return None
