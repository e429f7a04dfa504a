"""A request as calls: paths, methods, and where each call's raw input lies. Pure; raises RpcError for whole-request faults.

Input is read lazily: malformed JSON is the BAD_REQUEST of the call that reads it, so in a batch the calls without input
still succeed. What fails here for one call is that call's `error`; what fails the request as a whole is raised, and is
answered by one object even for a batch (tRPC's way). Messages are tRPC's own, since front ends compare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from tenantry.errors import BadRequest, MethodNotSupported, NotFound, RpcError, UnsupportedMediaType
from tenantry.rpc.procedure import Procedure


class Limits(Struct, frozen=True):
    """What a mount allows: `max_batch` calls in one request; `allow_batch`; POST for queries (`allow_method_override`)."""

    max_batch: int = 50
    allow_batch: bool = True
    allow_method_override: bool = False


class RpcRequest(Struct, frozen=True):
    """What tRPC looks at. `path` is raw: after the mount, still percent-encoded."""

    method: str
    path: str
    query: bytes
    content_type: bytes | None
    body: bytes


class Call(Struct):
    """One procedure call: either a procedure with its raw input (None: undefined), or the error that it is."""

    path: str
    procedure: Procedure[..., Any] | None
    error: RpcError | None
    raw: bytes | Raw | None


class Parsed(Struct):
    """The calls in the order of their paths."""

    calls: list[Call]
    is_batch: bool


Table = Mapping[str, Procedure[..., Any]]
_batch_input = msgspec.json.Decoder(dict[str, Raw])


def parse(table: Table, request: RpcRequest, limits: Limits) -> Parsed:
    """The calls of a request. Raises RpcError where the request fails as a whole."""
    path = request.path
    query = request.query
    if request.method != "GET":
        _check_media_type(request.content_type)
    if "%" in path or path.endswith("/") or path.startswith("/"):
        path = _decoded(path)
    if b"batch=1" in query and parameter(query, b"batch") == b"1":
        return _parse_batch(table, request, path, limits)
    procedure = table.get(path)
    if procedure is None:
        return Parsed([Call(path, None, NotFound(f'No procedure found on path "{path}"'), None)], False)
    error = _refused(procedure, request.method, limits)
    return Parsed([Call(path, procedure, error, None if error else _raw_input(request))], False)


def _parse_batch(table: Table, request: RpcRequest, path: str, limits: Limits) -> Parsed:
    if not limits.allow_batch:
        message = "Batching is not enabled on the server"
        raise BadRequest(message)
    paths = path.split(",")
    if len(paths) > limits.max_batch:
        message = "Batch call exceeds maximum size"
        raise BadRequest(message)
    found = [table.get(one) for one in paths]
    types = list(dict.fromkeys(procedure.type for procedure in found if procedure is not None))
    if len(types) > 1:
        message = f"Cannot mix procedure types in call: {', '.join(types)}"
        raise BadRequest(message)
    inputs = _batch_inputs(request)
    calls: list[Call] = []
    for index, (one, procedure) in enumerate(zip(paths, found, strict=True)):
        if procedure is None:
            calls.append(Call(one, None, NotFound(f'No procedure found on path "{one}"'), None))
            continue
        error = _refused(procedure, request.method, limits)
        raw: Raw | None = None
        if isinstance(inputs, RpcError):
            # Only a call that reads its input hears of the fault in it.
            error = error or (inputs if procedure.takes_input else None)
        else:
            raw = inputs.get(str(index))
        calls.append(Call(one, procedure, error, raw))
    return Parsed(calls, True)


def _batch_inputs(request: RpcRequest) -> dict[str, Raw] | RpcError:
    raw = _raw_input(request)
    if raw is None:
        return {}
    try:
        return _batch_input.decode(raw)
    except msgspec.ValidationError:
        return BadRequest('"input" needs to be an object when doing a batch call')
    except (msgspec.DecodeError, UnicodeDecodeError):
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


def _check_media_type(content_type: bytes | None) -> None:
    if content_type is None:
        message = "Missing content-type header"
        raise UnsupportedMediaType(message)
    media_type = content_type.split(b";", 1)[0].strip().lower()
    if media_type != b"application/json":
        message = f'Unsupported content-type "{media_type[:100].decode("ascii", "replace")}'
        raise UnsupportedMediaType(message)


def _decoded(path: str) -> str:
    """The whole path percent-decoded once, one slash around it trimmed. Raises BadRequest on bad encoding."""
    pieces = path.split("%")
    if any(len(p) < 2 or not _is_hex(p[:2]) for p in pieces[1:]):
        message = "The path is not validly percent-encoded"
        raise BadRequest(message)
    try:
        text = unquote_to_bytes(path.encode("latin-1", "replace")).decode("utf-8")
    except UnicodeDecodeError:
        message = "The path is not validly percent-encoded"
        raise BadRequest(message) from None
    return text.removeprefix("/").removesuffix("/")


def _is_hex(two: str) -> bool:
    return all(c in "0123456789abcdefABCDEF" for c in two)


def parameter(query: bytes, name: bytes) -> bytes | None:
    """The first parameter of that name, form-decoded; None if absent. Names are compared as sent, as tRPC's client sends them."""
    lead = name + b"="
    if not query.startswith(lead):
        at = query.find(b"&" + lead)
        if at < 0:
            return None
        query = query[at + 1 :]
    end = query.find(b"&")
    value = query[len(lead) : end] if end >= 0 else query[len(lead) :]
    if b"+" in value:
        value = value.replace(b"+", b" ")
    return unquote_to_bytes(value) if b"%" in value else value
