# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownLambdaType=false
"""Python values as parameters, by the type that PostgreSQL says a parameter has. Pure.

By OID and never by the value's own type: libpq would take 2**31 for an int4 without a word, and an int's own binary size
follows its value. Text with NUL, lone surrogates, naive datetimes and numbers out of range are refused here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

import msgspec

from tenantry.errors import BadRequest
from tenantry.rpc import BigInt

Encode = Callable[[Any], bytes]

BOOL, BYTEA, INT8, INT2, INT4, TEXT, JSON, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 25, 114, 700, 701
BPCHAR, VARCHAR, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID_OID, JSONB, NAME = (
    1042,
    1043,
    1082,
    1114,
    1184,
    1700,
    2950,
    3802,
    19,
)
INT8_ARRAY = 1016

TYPE_NAMES = {
    BOOL: "boolean", BYTEA: "bytea", INT8: "bigint", INT2: "smallint", INT4: "integer", TEXT: "text", JSON: "json",
    FLOAT4: "real", FLOAT8: "double precision", BPCHAR: "char", VARCHAR: "varchar", DATE: "date", TIMESTAMP: "timestamp",
    TIMESTAMPTZ: "timestamptz", NUMERIC: "numeric", UUID_OID: "uuid", JSONB: "jsonb", NAME: "name",
}  # fmt: skip

_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
_FIRST_DAY = date(2000, 1, 1).toordinal()
_int2, _int4, _int8 = struct.Struct(">h").pack, struct.Struct(">i").pack, struct.Struct(">q").pack
_float4, _float8 = struct.Struct(">f").pack, struct.Struct(">d").pack


class WrongType(Exception):
    """The Python type does not fit the parameter's; `number` counts from 1."""

    def __init__(self, number: int, oid: int, value: Any) -> None:
        """The value itself is not kept."""
        self.number = number
        self.oid = oid
        self.pg = TYPE_NAMES.get(oid, f"type {oid}")
        self.python = type(value).__name__
        super().__init__(number)


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    raw = value.encode()  # UnicodeEncodeError is a ValueError: a lone surrogate is the input's fault
    if b"\0" in raw:
        message = "text cannot hold a NUL character"
        raise ValueError(message)
    return raw


def _uuid(value: Any) -> bytes:
    return value.bytes if isinstance(value, UUID) else _no_type()


def _no_type() -> bytes:
    raise TypeError


def _integer(pack: Callable[[int], bytes]) -> Encode:
    def encode(value: Any) -> bytes:
        if type(value) is not int and type(value) is not BigInt:
            raise TypeError
        return pack(value)  # struct.error when out of range

    return encode


def _bool(value: Any) -> bytes:
    if value is True:
        return b"\x01"
    return b"\x00" if value is False else _no_type()


def _float(pack: Callable[[float], bytes]) -> Encode:
    return lambda value: pack(value) if type(value) in (float, int) else _no_type()


def _timestamptz(value: Any) -> bytes:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError
    passed = value - _EPOCH
    return _int8((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds)


def _date(value: Any) -> bytes:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError
    return _int4(value.toordinal() - _FIRST_DAY)


def _numeric(value: Any) -> bytes:
    if not isinstance(value, (Decimal, int)) or isinstance(value, bool):
        raise TypeError
    return str(value).encode()


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else _no_type()


def _plain(value: Any) -> Any:
    if type(value) is BigInt:
        return int(value)
    raise TypeError


_json_encoder = msgspec.json.Encoder(enc_hook=_plain)


def _json(value: Any) -> bytes:
    raw = _json_encoder.encode(value)
    if b"\\u0000" in raw or b"null" in raw:
        _check_json(msgspec.to_builtins(value, enc_hook=_plain))
    return raw


def _check_json(value: Any) -> None:
    """Raises ValueError for a NUL, which jsonb cannot hold, and for NaN, which would be written as null."""
    if isinstance(value, str):
        if "\0" in value:
            message = "json cannot hold a NUL character here"
            raise ValueError(message)
    elif isinstance(value, float):
        if not isfinite(value):
            message = "json has no NaN and no Infinity"
            raise ValueError(message)
    elif isinstance(value, dict):
        for key, member in value.items():
            _check_json(key)
            _check_json(member)
    elif isinstance(value, list):
        for member in value:
            _check_json(member)


_BINARY: dict[int, Encode] = {
    BOOL: _bool, BYTEA: _bytes, INT2: _integer(_int2), INT4: _integer(_int4), INT8: _integer(_int8), FLOAT4: _float(_float4),
    FLOAT8: _float(_float8), TEXT: _text, VARCHAR: _text, BPCHAR: _text, NAME: _text, UUID_OID: _uuid, DATE: _date,
    TIMESTAMPTZ: _timestamptz,
}  # fmt: skip
_AS_TEXT: dict[int, Encode] = {NUMERIC: _numeric, JSON: _json, JSONB: _json}


def _other(oid: int) -> Encode:
    """Arrays, enums, ranges, addresses: psycopg's own dumpers, in text."""

    def encode(value: Any) -> bytes:
        from psycopg.adapt import PyFormat, Transformer

        if isinstance(value, Enum):
            value = value.value  # psycopg would send the member's name
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, (list, tuple)) and any(isinstance(one, str) and "\0" in one for one in value):
            message = "text cannot hold a NUL character"
            raise ValueError(message)
        dumped = Transformer().dump_sequence([list(value) if isinstance(value, tuple) else value], [PyFormat.TEXT])[0]
        return bytes(dumped) if dumped is not None else _no_type()

    return encode


class Dumper:
    """The parameters of one statement: `formats` for libpq, and `dump`."""

    __slots__ = ("encoders", "formats", "oids")

    def __init__(self, oids: Sequence[int]) -> None:
        """`oids`: the parameters' types, as PostgreSQL described them."""
        self.oids = tuple(oids)
        self.formats = [1 if oid in _BINARY else 0 for oid in oids]
        self.encoders: list[Encode] = [_BINARY.get(oid) or _AS_TEXT.get(oid) or _other(oid) for oid in oids]

    def dump(self, values: Sequence[Any]) -> list[bytes | None]:
        """As libpq takes them. Raises WrongType (the builder's mistake) or BadRequest (the input's)."""
        try:
            return [
                None if value is None else encode(value) for encode, value in zip(self.encoders, values, strict=True)
            ]
        except Exception:  # found out below, one by one
            return self._slowly(values)

    def _slowly(self, values: Sequence[Any]) -> list[bytes | None]:
        if len(values) != len(self.oids):
            message = f"the statement has {len(self.oids)} parameters, and {len(values)} values were given"
            raise TypeError(message)
        found: list[bytes | None] = []
        for number, (oid, encode, value) in enumerate(zip(self.oids, self.encoders, values, strict=True), 1):
            try:
                found.append(None if value is None else encode(value))
            except (struct.error, OverflowError):
                message = f"A number is out of range for {TYPE_NAMES.get(oid, 'its column')}"
                raise BadRequest(message) from None
            except ValueError as error:
                words = "text is not valid Unicode" if isinstance(error, UnicodeError) else str(error)
                raise BadRequest(words[:1].upper() + words[1:]) from None
            except Exception as error:
                raise WrongType(number, oid, value) from error
        return found
