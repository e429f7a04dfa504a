# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownLambdaType=false
"""A handler's parameters as its input, and its result as JSON.

msgspec decodes the input in one go and stops at the first fault; forms want all of them. So only after a failure a second
pass goes field by field, which also takes `1.0` for an int, as JavaScript may send it. Unknown keys are dropped (zod's
way: old and new front ends meet). What PostgreSQL's text cannot hold (NUL) is refused here, by field.
"""

from __future__ import annotations

import copy
import inspect
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Raw

from tenantry.errors import InvalidInput
from tenantry.rpc.bodies import File, Form, Octets
from tenantry.rpc.bounds import safe, understand
from tenantry.rpc.faults import convert_one, faults, foreign, issue_of, message_of
from tenantry.rpc.kinds import BigInt, is_whole
from tenantry.rpc.later import StreamLike
from tenantry.rpc.names import camel

MAX_DEPTH = 64
"""Of nested arrays and objects in an input; the C decoder's own limit is the interpreter's recursion limit."""

Issue = dict[str, Any]
Kind = Literal["none", "object", "whole", "form", "octets"]
"""What an input is on the wire: nothing, an object of named values, one value of any kind, a form, a byte stream."""


class InputSchema:
    """The input of a procedure: `decode` gives the handler's positional arguments after its context."""

    def __init__(self, fields: list[tuple[str, Any, Any]], *, as_written: bool = False) -> None:
        """`fields`: (Python name, type, default or inspect.Parameter.empty), in the order of the handler's parameters.

        Raises TypeError or ValueError for types and bounds that cannot be checked.
        """
        for name, kind, _ in fields:
            try:
                understand(kind)
                safe(kind)
            except TypeError as error:
                message = f"{name}: {error}"
                raise TypeError(message) from None
        self.stream = next((name for name, kind, _ in fields if is_body(kind)), None)
        """The parameter (its Python name) that is the `File`, `Form` or `Octets`; it is not among `names`."""
        self.kind: Kind = _kind_of(fields)
        self.takes_whole_form = any(kind is Form for _, kind, _ in fields)
        self.stream_default = next(
            (default for name, _, default in fields if name == self.stream), inspect.Parameter.empty
        )
        self.place = next((i for i, field in enumerate(fields) if field[0] == self.stream), None)
        fields = [field for field in fields if field[0] != self.stream]
        self.names = [name for name, _, _ in fields]
        # tRPC's own key has one name in every case.
        self.wire = [name if as_written and name != "last_event_id" else camel(name) for name in self.names]
        self.types = [safe(kind) for _, kind, _ in fields]
        self.defaults = [default for _, _, default in fields]
        empty = inspect.Parameter.empty
        # Keyword only, so that a default may stand before a required one, as it may in a handler's signature with `*`.
        self.is_strict_text = True
        """Whether NUL is refused: PostgreSQL's text cannot hold it. A public procedure has no database behind it."""
        members = [
            (name, kind, msgspec.field(name=wire, **({} if default is empty else _default(default))))
            for name, wire, kind, default in zip(self.names, self.wire, self.types, self.defaults, strict=True)
        ]
        struct = msgspec.defstruct("Input", members, kw_only=True)
        self.decoder = msgspec.json.Decoder(struct, dec_hook=foreign)
        if self.kind == "whole":
            self.decoder = msgspec.json.Decoder(self.types[0], dec_hook=foreign)

    @classmethod
    def of(cls, parameters: list[inspect.Parameter], hints: dict[str, Any], *, as_written: bool = False) -> InputSchema:
        """From a handler's parameters after its context."""
        return cls([(p.name, hints.get(p.name, Any), p.default) for p in parameters], as_written=as_written)

    def decode(self, raw: bytes | Raw | None) -> tuple[Any, ...]:
        """The arguments, in order. None is undefined. Raises InvalidInput with all faults in `data["issues"]`."""
        if not self.names:
            if self.stream is not None:
                raise _invalid([issue_of([], "invalid_type", f"Expected {_MEDIA[self.kind]}")])
            return ()
        if self.kind == "whole":
            return self._decode_whole(raw)
        if raw is None:
            raw = b"{}"
        try:
            values = msgspec.structs.astuple(self.decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
            # msgspec.ValidationError is a DecodeError: either way the second pass finds the words.
            return self._field_by_field(_value_of(bytes(raw)))
        if self.is_strict_text and b"\\u0000" in (bytes(raw) if isinstance(raw, Raw) else raw):
            return self._field_by_field(_value_of(bytes(raw)))
        return values

    def take(self, given: Any) -> tuple[Any, ...]:
        """The arguments of an input that is a value already (a transformer read it); UNSET is undefined."""
        if not self.names:
            return self.decode(None)
        if self.kind == "whole":
            return self._whole(given)
        return self._field_by_field({} if given is msgspec.UNSET else given, is_native=True)

    def form(self, given: dict[str, list[str]], stream: Any) -> tuple[Any, ...]:
        """The arguments of a form: its text fields converted from text, and the file (or form) at its parameter's place."""
        values: list[Any] = []
        if self.names:
            flat = {
                name: parts if _is_list(kind) else parts[-1]
                for (name, kind) in zip(self.wire, self.types, strict=True)
                if (parts := given.get(name))
            }
            values = list(self._field_by_field(flat, is_text=True))
        if self.place is not None:
            if stream is None and self.stream_default is inspect.Parameter.empty:
                raise _invalid([issue_of([self.stream], "missing", "A file is required")])
            values.insert(self.place, stream)
        return tuple(values)

    def _decode_whole(self, raw: bytes | Raw | None) -> tuple[Any, ...]:
        if raw is None:
            return self._whole(msgspec.UNSET)
        try:
            value = self.decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
            return self._whole(_value_of(bytes(raw)))
        if self.is_strict_text and b"\\u0000" in bytes(raw):
            return self._whole(_value_of(bytes(raw)))
        return (value,)

    def _whole(self, value: Any) -> tuple[Any, ...]:
        default = self.defaults[0]
        if value is msgspec.UNSET and default is not inspect.Parameter.empty:
            return (default,)
        nul = _nul_path(value) if self.is_strict_text else None
        if nul is not None:
            raise _invalid([issue_of(nul, "invalid_string", "Holds a NUL character")])
        if value is msgspec.UNSET:
            raise _invalid([issue_of([], "missing", "Required")])
        try:
            return (convert_one(value, self.types[0]),)
        except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
            raise _invalid(faults([], value, self.types[0], error)) from None

    def _field_by_field(self, given: Any, *, is_native: bool = False, is_text: bool = False) -> tuple[Any, ...]:
        if not isinstance(given, dict):
            raise _invalid([issue_of([], "invalid_type", "Expected an object")])
        members = typing.cast("dict[str, Any]", given)
        values: list[Any] = []
        issues: list[Issue] = []
        for wire, kind, default in zip(self.wire, self.types, self.defaults, strict=True):
            value = members.get(wire, msgspec.UNSET)
            if value is msgspec.UNSET:
                if default is inspect.Parameter.empty:
                    issues.append(issue_of([wire], "missing", message_of(kind) or "Required"))
                else:
                    values.append(default)
                continue
            nul = _nul_path(value) if self.is_strict_text else None
            if nul is not None:
                issues.append(issue_of([wire, *nul], "invalid_string", "Holds a NUL character"))
                continue
            try:
                values.append(convert_one(value, kind, is_native=is_native, is_text=is_text))
            except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
                issues += faults([wire], value, kind, error, is_native=is_native, is_text=is_text)
        if issues:
            raise _invalid(issues)
        return tuple(values)


_MEDIA = {"form": "a form (multipart/form-data)", "octets": "a byte stream (application/octet-stream)"}


def _value_of(raw: bytes) -> Any:
    """The JSON of an input that did not fit. Raises InvalidInput for what is none, or is nested too deep."""
    if _depth(raw) > MAX_DEPTH:
        raise _invalid([issue_of([], "too_deep", f"Nested more than {MAX_DEPTH} deep")])
    try:
        return msgspec.json.decode(without_mark(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid([issue_of([], "invalid_json", "Not valid JSON")]) from None


def without_mark(raw: bytes) -> bytes:
    """The text without a byte order mark, as browsers and Node read it.

    They also put U+FFFD for what is no UTF-8; here that is refused, since what was sent would not be what is stored.
    """
    return raw.removeprefix(b"\xef\xbb\xbf")


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (list, set, frozenset, tuple)


def is_body(kind: Any) -> bool:
    """Whether an annotation is `File`, `Form` or `Octets`, or one of them or None."""
    arms = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return any(arm in (File, Form, Octets) for arm in arms)


def _kind_of(fields: list[tuple[str, Any, Any]]) -> Kind:
    kinds = [kind for _, kind, _ in fields]
    if Octets in kinds:
        return "octets"
    if any(is_body(kind) for kind in kinds):
        return "form"
    if any(is_whole(kind) for kind in kinds):
        return "whole"
    return "object" if fields else "none"


def fault_of(parameters: list[inspect.Parameter], hints: dict[str, Any]) -> tuple[str, str] | None:
    """Why these parameters cannot be one input, and the cure; None when they can."""
    kinds = [hints.get(p.name, Any) for p in parameters]
    if len(kinds) > 1 and any(kind in (Form, Octets) or is_whole(kind) for kind in kinds):
        return "Whole, Form and Octets are the whole input, and there are other parameters", "Take it alone."
    if sum(map(is_body, kinds)) > 1:
        return "it takes more than one file", "Take the whole form: form: Form"
    return None


def _default(value: Any) -> dict[str, Any]:
    if isinstance(value, (list, dict, set, bytearray)):
        return {"default_factory": lambda: copy.copy(value)}  # pyright: ignore[reportUnknownArgumentType]
    return {"default": NODEFAULT if value is inspect.Parameter.empty else value}


def _nul_path(value: Any) -> list[str | int] | None:
    if isinstance(value, str):
        return [] if "\0" in value else None
    items: Any = ()
    if isinstance(value, list):
        items = enumerate(typing.cast("list[Any]", value))
    elif isinstance(value, dict):
        items = typing.cast("dict[str, Any]", value).items()
    for key, member in items:
        if isinstance(key, str) and "\0" in key:
            return [key]
        inner = _nul_path(member)
        if inner is not None:
            return [key, *inner]
    return None


def _invalid(issues: list[Issue]) -> InvalidInput:
    first = issues[0]
    where = ".".join(map(str, first["path"]))
    return InvalidInput(f"{where}: {first['message']}" if where else first["message"], data={"issues": issues})


def _depth(raw: bytes) -> int:
    """The deepest nesting of a JSON text, strings skipped."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in raw:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


class OutputSchema:
    """Results as JSON: camelCase records, ISO times with `Z`, Decimal and UUID as strings, NaN as null."""

    def __init__(self) -> None:
        self.encode: Callable[[Any], bytes] = msgspec.json.Encoder(enc_hook=_plain).encode


def _plain(value: Any) -> Any:
    if type(value) is BigInt:
        return str(int(value))
    if isinstance(value, (Awaitable, AsyncIterator)) or hasattr(value, "__aiter__"):
        raise StreamLike
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    if dump is None:
        message = f"{type(value).__name__} has no JSON"
        raise TypeError(message)
    return dump(mode="json", by_alias=True)
