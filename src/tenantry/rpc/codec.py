"""A mount's transformer: how values, errors and lines become bytes, and inputs become arguments. Pure.

Without one it is plain JSON, and a result is encoded by its procedure straight away. With superjson a `Date`, a `bigint`, a
`Set` stay themselves; inputs come as Python values and are converted, not decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Raw

from tenantry.errors import InvalidInput, RpcError
from tenantry.rpc.schema import OutputSchema

if TYPE_CHECKING:
    from tenantry.rpc.procedure import Procedure

_encoder = msgspec.json.Encoder()
encode_any = OutputSchema().encode


class Codec:
    """Plain JSON."""

    is_plain = True

    def data(self, procedure: Procedure[..., Any], value: Any) -> bytes:
        """A result, or one value of a stream, as it stands after `"data":`."""
        return procedure.encode(value)

    def tracked(self, procedure: Procedure[..., Any], id_: str, value: Any) -> bytes:
        """A tracked value with its id, as a WebSocket carries it."""
        return b'{"id":' + _encoder.encode(id_) + b',"data":' + procedure.encode(value) + b"}"

    def leaf(self, procedure: Procedure[..., Any], value: Any) -> Any:
        """A result as a part of a line. Raises as `data` does, so that a value without JSON is found before the commit."""
        return Raw(procedure.encode(value))

    def loose_leaf(self, value: Any) -> Any:
        """The same for a value of no declared type. Raises StreamLike where it holds something that comes later."""
        return Raw(encode_any(value))

    def error(self, facts: dict[str, Any]) -> bytes:
        """An error shape, as it stands after `"error":`."""
        return _encoder.encode(facts)

    def line(self, value: Any) -> bytes:
        """One line of a streamed batch, without its end."""
        return _encoder.encode(value)

    def arguments(self, procedure: Procedure[..., Any], raw: bytes | Raw | None) -> tuple[Any, ...]:
        """The handler's arguments after its context. Raises InvalidInput."""
        return procedure.decode(raw)

    def resumed(self, procedure: Procedure[..., Any], raw: bytes | Raw | None, last_event_id: str) -> tuple[Any, ...]:
        """The arguments of a subscription that goes on after an id: merged into an object, or making one of nothing."""
        if not procedure.takes_input:
            return ()
        value = self.loaded(raw)
        if value is None or value is msgspec.UNSET:
            value = {"lastEventId": last_event_id}
        elif isinstance(value, dict):
            value = cast("dict[str, Any]", value) | {"lastEventId": last_event_id}
        return self.taken(procedure, value)

    def taken(self, procedure: Procedure[..., Any], value: Any) -> tuple[Any, ...]:
        """The arguments of an input that `loaded` gave."""
        return procedure.decode(_encoder.encode(value))

    def loaded(self, raw: bytes | Raw | None) -> Any:
        """An input as a value: what `lastEventId` is merged into. UNSET is undefined."""
        if raw is None:
            return msgspec.UNSET
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidInput(data={"issues": [_NOT_JSON]}) from None


class SuperJson(Codec):
    """superjson, both ways."""

    is_plain = False

    def __init__(self) -> None:
        from tenantry.rpc import superjson

        self.superjson = superjson

    def data(self, procedure: Procedure[..., Any], value: Any) -> bytes:
        return self.superjson.dumps(value, procedure.kind)

    def tracked(self, procedure: Procedure[..., Any], id_: str, value: Any) -> bytes:
        return self.superjson.dumps({"id": id_, "data": self.superjson.Typed(value, procedure.kind)})

    def leaf(self, procedure: Procedure[..., Any], value: Any) -> Any:
        self.superjson.encode(value, procedure.kind)
        return self.superjson.Typed(value, procedure.kind)

    def loose_leaf(self, value: Any) -> Any:
        self.superjson.encode(value)
        return value

    def error(self, facts: dict[str, Any]) -> bytes:
        return b'{"json":' + _encoder.encode(facts) + b"}"

    def line(self, value: Any) -> bytes:
        return self.superjson.dumps(value)

    def arguments(self, procedure: Procedure[..., Any], raw: bytes | Raw | None) -> tuple[Any, ...]:
        if not procedure.takes_input:
            return ()  # nothing reads it, so nothing finds fault with it
        return procedure.input.take(self.loaded(raw))

    def taken(self, procedure: Procedure[..., Any], value: Any) -> tuple[Any, ...]:
        return procedure.input.take(value)

    def loaded(self, raw: bytes | Raw | None) -> Any:
        if raw is None:
            return msgspec.UNSET
        try:
            return self.superjson.loads(bytes(raw))
        except RpcError as error:
            raise InvalidInput(error.message, data={"issues": [_NOT_JSON]}) from None


_NOT_JSON: dict[str, Any] = {"path": [], "code": "invalid_json", "message": "Not valid JSON"}
PLAIN = Codec()


def codec_of(transformer: str | None) -> Codec:
    """The codec of a mount."""
    return SuperJson() if transformer == "superjson" else PLAIN
