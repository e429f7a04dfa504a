"""WebSocket messages of tRPC, pure: a frame's text in, messages out; answers out as bytes (`wsLink`, tRPC 11).

A frame is one message or an array of them; answers are always single. An id is a number or a string and comes back as it was
sent. What cannot be read fails the frame as a whole, and the socket goes on.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tenantry.errors import ParseError

Id = int | float | str
Call = Literal["query", "mutation", "subscription"]
Method = Call | Literal["subscription.stop"]
_METHODS = frozenset({"query", "mutation", "subscription", "subscription.stop"})
RECONNECT = b'{"id":null,"method":"reconnect"}'

_members = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_id = msgspec.json.Decoder(Id | None)
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


class _Params(Struct):
    path: str
    input: Raw | UnsetType = UNSET
    last_event_id: str | UnsetType = msgspec.field(default=UNSET, name="lastEventId")


class _Request(Struct):
    """A call as stock clients send it; what does not fit is read again, member by member."""

    id: int | str
    method: Call
    params: _Params
    jsonrpc: UnsetType = UNSET


_request = msgspec.json.Decoder(_Request)


class Message(NamedTuple):
    """One request of a client. `id` is None where it sent null; `head` is how its answers begin."""

    id: Id | None
    head: bytes
    method: Method
    path: str
    raw: Raw | None
    last_event_id: str | None


def messages(frame: bytes) -> list[Raw]:
    """The messages of a frame, unread. Raises ParseError."""
    try:
        if frame.lstrip()[:1] == b"[":
            return _list.decode(frame)
        return [Raw(frame)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ParseError from None


def message(raw: Raw) -> Message:
    """One message. Raises ParseError."""
    try:
        usual = _request.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unusual(raw)
    id_, params = usual.id, usual.params
    head = b'{"id":%d' % id_ if isinstance(id_, int) else b'{"id":' + _encoder.encode(id_)
    return Message(
        id_, head, usual.method, params.path, None if params.input is UNSET else params.input,
        None if params.last_event_id is UNSET else params.last_event_id,
    )  # fmt: skip


def _unusual(raw: Raw) -> Message:
    """A stop, or a message with something that the usual one has not. Raises ParseError."""
    try:
        members = _members.decode(raw)
        id_ = _id.decode(members["id"])
        if isinstance(id_, float) and id_.is_integer():
            id_ = int(id_)  # 1.0 is 1 in JavaScript, also as a name
        jsonrpc = members.get("jsonrpc")
        if jsonrpc is not None and _text.decode(jsonrpc) != "2.0":
            raise ParseError
        method = _text.decode(members["method"])
        if method not in _METHODS:
            raise ParseError
        head = b'{"id":' + _encoder.encode(id_) + (b',"jsonrpc":"2.0"' if jsonrpc is not None else b"")
        if method == "subscription.stop":
            return Message(id_, head, "subscription.stop", "", None, None)
        params = _members.decode(members["params"])
        last = params.get("lastEventId")
        return Message(
            id_, head, method, _text.decode(params["path"]), params.get("input"), None if last is None else _text.decode(last)  # pyright: ignore[reportArgumentType] - one of _METHODS
        )  # fmt: skip
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        raise ParseError from None


def heads(raws: list[Raw]) -> list[bytes]:
    """How the answers to each request of a frame begin, for a frame that is refused whole; `{"id":null` when none has an id."""
    found: list[bytes] = []
    for raw in raws:
        try:
            members = _members.decode(raw)
            id_ = _id.decode(members["id"])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            continue
        if id_ is not None and bytes(members.get("method", b"")) != b'"subscription.stop"':
            found.append(b'{"id":' + _encoder.encode(id_))
    return found or [NOBODY]


NOBODY = b'{"id":null'


def data(head: bytes, body: bytes, id: str | None = None) -> bytes:  # noqa: A002 - the field's name
    """One value; a tracked one carries its id twice (`body` holds it as well)."""
    own = b"" if id is None else b',"id":' + _encoder.encode(id)
    return head + b',"result":{"type":"data","data":' + body + own + b"}}"


def started(head: bytes) -> bytes:
    """A subscription has begun."""
    return head + b',"result":{"type":"started"}}'


def stopped(head: bytes) -> bytes:
    """A subscription is over."""
    return head + b',"result":{"type":"stopped"}}'


def failure(head: bytes, shape: bytes) -> bytes:
    """A call has failed."""
    return head + b',"error":' + shape + b"}"


def params(frame: bytes) -> Any:
    """The `data` of a connection params message; UNSET if there is none. Raises ParseError."""
    try:
        members = _members.decode(frame)
        return msgspec.json.decode(members["data"]) if "data" in members else msgspec.UNSET
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "Malformed TRPCConnectionParamsMessage"
        raise ParseError(message) from None
