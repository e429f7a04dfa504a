"""Answers as bytes: success, failure, batch (tRPC 11's HTTP wire, without a transformer).

An error that a client is meant to see shows its own words; of any other the client hears one constant text and the
request id, and the log has the rest. In development a builder's mistake shows its words and its cure.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import msgspec

from tenantry.errors import BuilderError, Problem, RpcError, TenantryError, TrpcCode
from tenantry.rpc.codes import CODES
from tenantry.rpc.names import camel

_OWN = frozenset({"allow", "code", "httpStatus", "path"})
"""Keys of an error's data that are not its own to say; `allow` is a header."""
INTERNAL = "Something went wrong"
"""The text of every unforeseen error: what really happened is the log's."""

_encoder = msgspec.json.Encoder()


def success(body: bytes) -> bytes:
    """`body` is the JSON of the result."""
    return b'{"result":{"data":' + body + b"}}"


def failure(facts: dict[str, Any]) -> bytes:
    """`facts` is the error shape, from `shape`."""
    return b'{"error":' + _encoder.encode(facts) + b"}"


def combine(items: Sequence[bytes]) -> bytes:
    """A batch: the calls' envelopes in the order of their paths."""
    return b"[" + b",".join(items) + b"]"


def http_status(statuses: Sequence[int]) -> int:
    """The one status that all share, else 207."""
    first = statuses[0]
    return first if all(status == first for status in statuses) else 207


def code_of(error: BaseException) -> TrpcCode:
    """tRPC's name for whatever was raised; a name that tRPC does not know is an internal error."""
    name = error.trpc if isinstance(error, TenantryError) else "INTERNAL_SERVER_ERROR"
    return name if name in CODES else "INTERNAL_SERVER_ERROR"


def shape(error: BaseException, path: str | None, *, request_id: str, is_development: bool) -> dict[str, Any]:
    """tRPC's error shape `{message, code, data: {code, httpStatus, path?, …}}` of whatever was raised.

    `data` also has an `RpcError`'s own keys, and for errors of ours `requestId`; in development `help` and `stack`.
    """
    name = code_of(error)
    code = CODES[name]
    data: dict[str, Any] = {"code": name, "httpStatus": code.http}
    if path is not None:
        data["path"] = path
    if isinstance(error, RpcError):
        message = error.message
        # A typed error's fields go the way of a record's: camelCase on the wire.
        own = {camel(key): value for key, value in error.data.items()} if isinstance(error, Problem) else error.data
        data.update({key: value for key, value in own.items() if key not in _OWN})
        if error.field is not None and "issues" not in data:
            data["issues"] = [{"path": error.field.split("."), "code": "custom", "message": message}]
    else:
        message = INTERNAL
    if code.http >= 500:
        data["requestId"] = request_id
    if is_development:
        if isinstance(error, BuilderError):
            data["help"] = str(error)
        data["stack"] = "".join(traceback.format_exception(error))
    return {"message": message, "code": code.number, "data": data}
