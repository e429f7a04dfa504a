"""One call in this process, through encoding, credential, role, row security and decoding; no socket. Errors come back as they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from tenantry import errors
from tenantry.http import Request, Response
from tenantry.rpc.faults import foreign

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.rpc import Procedure

SECONDS = 60.0


class CallFailed(Exception):
    """A failure that a client hears as INTERNAL_SERVER_ERROR: here with the words, the cure and the trace of the server."""


def body_of(procedure: Procedure[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> bytes | None:
    """The input as a client would send it. Raises TypeError for arguments that the procedure does not take."""
    schema = procedure.input
    if schema.stream is not None or procedure.is_generator:
        message = f"{procedure.path} takes or gives a stream: call it by person.client()"
        raise TypeError(message)
    names = schema.names
    if len(given) > len(names):
        message = f"{procedure.path} takes {len(names)} arguments"
        raise TypeError(message)
    values = {**dict(zip(names, given, strict=False)), **named}
    unknown = values.keys() - set(names)
    if unknown:
        message = f"{procedure.path} takes no {', '.join(sorted(unknown))}"
        raise TypeError(message)
    if not names:
        return None
    if schema.kind == "whole":
        return procedure.encode(next(iter(values.values()), None))
    wire = dict(zip(names, schema.wire, strict=True))
    return procedure.encode({wire[name]: value for name, value in values.items() if value is not msgspec.UNSET})


async def call(
    app: Tenantry[Any], base_path: str, procedure: Procedure[..., Any], token: str | None, body: bytes | None
) -> Any:
    """The decoded result. Raises the error that the procedure raised, or CallFailed."""
    headers = [(b"content-type", b"application/json")]
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    path = f"{base_path}/{procedure.path}"
    if procedure.type == "query":
        query = b"" if body is None else b"input=" + quote(body.decode()).encode()
        request = Request("GET", path, query, headers, b"", "127.0.0.1")
    else:
        request = Request("POST", path, b"", headers, body or b"", "127.0.0.1")
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    app.handler(request, answered.set_result)
    response = await asyncio.wait_for(answered, SECONDS)
    told: dict[str, Any] = msgspec.json.decode(response.body)
    if "error" in told:
        raise error_of(told["error"])
    data = msgspec.json.decode(response.body, type=dict[str, dict[str, msgspec.Raw]])["result"].get("data")
    if data is None:
        return None
    return msgspec.json.decode(data, type=procedure.kind, dec_hook=foreign)


def error_of(told: dict[str, Any]) -> Exception:
    """The error that a client was told of, as the class that was raised."""
    data: dict[str, Any] = told["data"]
    code: str = data["code"]
    reason = data.get("reason")
    if reason is not None:
        for kind in errors.kinds_of(errors.Problem):
            if kind.__name__ == reason:
                known = {errors_camel(name): name for name in kind.names}
                return kind(**{known[key]: value for key, value in data.items() if key in known})
    if code == "INTERNAL_SERVER_ERROR":
        return CallFailed(data.get("help") or data.get("stack") or told["message"])
    for kind in errors.kinds_of(errors.RpcError):
        if kind.__module__ == "tenantry.errors" and kind.code == kind.trpc == code:
            more = {key: value for key, value in data.items() if key not in ("code", "httpStatus", "path", "stack")}
            issues = data.get("issues")
            field = ".".join(map(str, issues[0]["path"])) if issues else None
            return kind(told["message"], field=field, data=more)
    return errors.RpcError(told["message"], data=data)


def errors_camel(name: str) -> str:
    """A field's name on the wire."""
    from tenantry.rpc import camel

    return camel(name)


def ids_in(value: Any) -> list[UUID]:
    """Every UUID in an input."""
    if isinstance(value, UUID):
        return [value]
    if isinstance(value, msgspec.Struct):
        return ids_in(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return [one for member in value.values() for one in ids_in(member)]  # pyright: ignore[reportUnknownVariableType] - of any kind
    if isinstance(value, (list, tuple, set)):
        return [one for member in value for one in ids_in(member)]  # pyright: ignore[reportUnknownVariableType] - of any kind
    return []
