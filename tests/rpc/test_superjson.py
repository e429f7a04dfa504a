"""superjson: what is written, what is read, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tenantry import BigInt, Page, Record
from tenantry.errors import BadRequest
from tenantry.rpc import superjson
from tenantry.rpc.superjson import UNDEFINED, JsError, Map, Members, Pairs, RegExp, Typed, Url

EPOCH = datetime.fromtimestamp(0, timezone.utc)
AT = "1970-01-01T00:00:00.000Z"


class Note(Record):
    id: UUID
    created_at: datetime
    size: BigInt = BigInt(0)
    seen: dict[int, str] = {}  # noqa: RUF012 - msgspec copies it
    answer_to: Note | None = None
    body: str | msgspec.UnsetType = UNDEFINED


@dataclasses.dataclass
class Plain:
    at: datetime


class Model(BaseModel):
    at: datetime = Field(serialization_alias="theTime")


class Shape(TypedDict):
    at: datetime
    big: BigInt


class Tagged(msgspec.Struct, tag="t"):
    at: datetime


class Input(Record):
    at: datetime
    tags: set[str]
    seats: dict[int, str]
    size: int
    raw: bytes
    gone: str | msgspec.UnsetType = UNDEFINED


WRITTEN: list[tuple[Any, Any, Any]] = [
    (EPOCH, AT, ["Date"]),
    (EPOCH.astimezone(timezone(timedelta(hours=2))), AT, ["Date"]),
    (UNDEFINED, None, ["undefined"]),
    (None, None, None),
    (2**53, "9007199254740992", ["bigint"]),
    (BigInt(5), "5", ["bigint"]),
    (2**53 - 1, 2**53 - 1, None),
    (True, True, None),
    (math.inf, "Infinity", ["number"]),
    (-0.0, "-0", ["number"]),
    (0.0, 0.0, None),
    ({1}, [1], ["set"]),
    (frozenset({EPOCH}), [AT], ["set", {"0": ["Date"]}]),
    ({1: EPOCH}, [[1, AT]], ["map", {"0.1": ["Date"]}]),
    (Map(a=1), [["a", 1]], ["map"]),
    ({UUID(int=1): 1}, {"00000000-0000-0000-0000-000000000001": 1}, None),
    (b"\0\xff", [0, 255], [["typed-array", "Uint8Array"]]),
    (Url("https://a.example/"), "https://a.example/", ["URL"]),
    (RegExp("a/b", "gi"), "/a/b/gi", ["regexp"]),
    (JsError("TypeError", "no", -0.0), {"name": "TypeError", "message": "no", "cause": "-0"}, ["Error", {"cause": ["number"]}]),
    ({"a.b": {"c\\": EPOCH}}, {"a.b": {"c\\": AT}}, {"a\\.b.c\\\\": ["Date"]}),
    ({"": EPOCH}, {"": AT}, {"": ["Date"]}),
    # A reader refuses annotations below such a key: what lies there is plain JSON.
    ({"constructor": {"at": EPOCH}}, {"constructor": {"at": AT}}, None),
    ([Typed({}, dict[int, str]), Typed(5, BigInt), Typed({EPOCH}, set[datetime])],
     [[], "5", [AT]], {"0": ["map"], "1": ["bigint"], "2": ["set", {"0": ["Date"]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "plain", "values"), WRITTEN)
def test_a_value_is_written_as_the_npm_package_writes_it(value: object, plain: object, values: object) -> None:
    written = json.loads(superjson.dumps(value))
    assert written == ({"json": plain} if values is None else {"json": plain, "meta": {"values": values, "v": 1}})


def test_a_record_is_written_by_the_types_of_its_fields() -> None:
    inner = Note(id=UUID(int=2), created_at=EPOCH, body="b")
    page = Page(items=[Note(id=UUID(int=1), created_at=EPOCH, answer_to=inner)], next_cursor=None)
    item = {"id": str(UUID(int=1)), "createdAt": AT, "size": "0", "seen": []}
    nested = {**item, "id": str(UUID(int=2)), "answerTo": None, "body": "b"}
    special = (("createdAt", "Date"), ("size", "bigint"), ("seen", "map"))
    marks = {f"items.0.{path}{key}": [kind] for path in ("", "answerTo.") for key, kind in special}
    for kind in (Any, Page[Note]):
        assert json.loads(superjson.dumps(page, kind)) == {
            "json": {"items": [{**item, "answerTo": nested}], "nextCursor": None}, "meta": {"values": marks, "v": 1},
        }  # fmt: skip


def test_other_kinds_of_records_are_written_alike() -> None:
    cases: list[tuple[Any, Any, str]] = [
        (Plain(EPOCH), {"at": AT}, "at"),
        (Model(at=EPOCH), {"theTime": AT}, "theTime"),
        (Tagged(EPOCH), {"type": "t", "at": AT}, "at"),
    ]
    for value, plain, path in cases:
        assert json.loads(superjson.dumps(value)) == {"json": plain, "meta": {"values": {path: ["Date"]}, "v": 1}}
    written = json.loads(superjson.dumps(Shape(at=EPOCH, big=BigInt(1)), Shape))
    assert written["meta"]["values"] == {"at": ["Date"], "big": ["bigint"]}


# ------------------------------------------------------------------ both ways

moments = st.datetimes(timezones=st.just(timezone.utc)).map(
    lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000)
)
scalars = st.one_of(
    st.none(), st.booleans(), st.text(), moments, st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.binary(max_size=8),
    st.just(UNDEFINED), st.builds(RegExp, st.text(max_size=4), st.sampled_from(["", "gi"])), st.text(max_size=5).map(Url),
)  # fmt: skip
hashable = st.one_of(st.text(), moments, st.integers(-(2**70), 2**70))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4), st.sets(hashable, max_size=4),
        st.dictionaries(hashable, inner, max_size=4).map(Map),
    ),
    max_leaves=15,
)  # fmt: skip


def survives(value: Any) -> bool:
    """Whether no key below which annotations are refused stands over something special."""
    if isinstance(value, dict):
        return all(
            key not in ("__proto__", "constructor", "prototype") and survives(member) for key, member in value.items()
        )
    return all(survives(member) for member in value) if isinstance(value, list) else True


@given(values.filter(survives))
def test_what_is_written_is_read_again(value: Any) -> None:
    found = superjson.loads(superjson.dumps(value))
    assert found == value
    assert len(superjson.dumps(found)) == len(superjson.dumps(value))


def test_what_python_would_merge_is_kept_apart() -> None:
    raw = b'{"json":{"s":[1,true],"o":[{"a":1}],"m":[[{"a":1},2]]},"meta":{"values":{"s":["set"],"o":["set"],"m":["map"]},"v":1}}'
    found = superjson.loads(raw)
    assert (type(found["s"]), type(found["o"]), type(found["m"])) == (Members, Members, Pairs)
    assert json.loads(superjson.dumps(found)) == json.loads(raw)


def test_what_is_read_converts_to_a_parameter() -> None:
    sent = {"at": EPOCH, "tags": {"a"}, "seats": Map({1: "x"}), "size": BigInt(3), "raw": b"x", "gone": UNDEFINED}
    found = superjson.defined(superjson.loads(superjson.dumps(sent)))
    assert msgspec.convert(found, Input) == Input(at=EPOCH, tags={"a"}, seats={1: "x"}, size=3, raw=b"x")
    assert superjson.defined([UNDEFINED, {"a": [UNDEFINED], "b": UNDEFINED}]) == [None, {"a": [None]}]


# ------------------------------------------------------------------ hostile


@pytest.mark.parametrize(
    "raw", [b"{}", b"5", b"[]", b'"s"', b'{"meta":{}}', b'{"json":null,"meta":{"values":["undefined"],"v":1}}']
)
def test_what_is_no_superjson_is_undefined(raw: bytes) -> None:
    assert superjson.loads(raw) is UNDEFINED


REFUSED = [
    {"__proto__": ["Date"]}, {"constructor.prototype.x": ["Date"]}, {"a.__proto__": ["Date"]}, {"prototype": {"x": ["Date"]}},
    {"nowhere": ["Date"]}, {"l.7": ["Date"]}, {"l.-1": ["Date"]}, {"l.01x": ["Date"]}, {"a.b.c": ["Date"]}, {"a\\x": ["Date"]},
    {"a": ["nope"]}, {"a": [["custom", "x"]]}, {"a": [["class", "x"]]}, {"a": [["symbol", "x"]]}, {"a": [["typed-array", "Nope"]]},
    {"a": [["typed-array", ["x"]]]}, {"a": []}, {"a": 5}, {"a": None}, {"a": ["Date", {}, 1]}, {"a": ["Date", [1]]}, {"a": [None]},
    {"a": [{}]}, {"l": ["Date"]}, {"n": ["Date"]}, {"n": ["bigint"]}, {"a": ["bigint"]}, {"a": ["number"]}, {"a": ["set"]},
    {"l": ["map"]}, {"a": ["regexp"]}, {"n": ["URL"]}, {"a": ["Error"]}, {"o": ["Error"]}, {"a": ["undefined"]},
    {"l": [["typed-array", "Uint8Array"]]}, {"l": ["set"], "l.0": ["Date"]}, {"late": ["Date"]}, {"naive": ["Date"]}, {"long": ["bigint"]},
    "x", 5, True, ["Date"], [["set"]],
]  # fmt: skip
BODY = {
    "a": "x", "l": [300, "b"], "n": 5, "o": {"name": 5}, "late": "+010000-01-01T00:00:00.000Z", "naive": "2020-01-01T00:00:00",
    "long": "9" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_annotations_that_lie_are_bad_requests(values: Any) -> None:
    with pytest.raises(BadRequest):
        superjson.loads(json.dumps({"json": BODY, "meta": {"values": values, "v": 1}}).encode())


def test_null_and_broken_json_are_bad_requests() -> None:
    for raw in (b"null", b"{", b"", b"\xff", b"[" * 200_000, b'{"json":' + b'{"a":' * 100_000):
        with pytest.raises(BadRequest):
            superjson.loads(raw)


TEXTS = [
    "Date",
    "set",
    "map",
    "bigint",
    "0",
    "0.1",
    "a",
    "a.0",
    "__proto__",
    "typed-array",
    "Uint8Array",
    "1970-01-01T00:00:00Z",
]
KEYS = ["a", "0", "0.1", "a.a", "", "constructor", "values", "\\", "a\\.b"]
json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6),
        st.sampled_from(TEXTS),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=20,
)  # fmt: skip


@given(json_values, json_values)
def test_whatever_comes_is_a_value_or_a_bad_request(body: Any, values: Any) -> None:
    try:
        found = superjson.loads(json.dumps({"json": body, "meta": {"values": values, "v": 1}}).encode())
    except BadRequest:
        return
    superjson.dumps(found)


def seconds_of(whole: Any) -> float:
    raw = json.dumps(whole).encode()
    begun = time.perf_counter()
    try:
        superjson.loads(raw)
    except BadRequest:
        pass
    return time.perf_counter() - begun


def test_hostile_annotations_take_bounded_time() -> None:
    nested: Any = ["set"]
    for _ in range(400):
        nested = ["set", {"0": nested}]
    collide = [str(i * (2**61 - 1)) for i in range(1, 30_000)]
    marks = {str(i): ["bigint"] for i in range(len(collide))}
    hostile: list[Any] = [
        {"json": [1], "meta": {"values": nested, "v": 1}},
        {"json": {"a": "x"}, "meta": {"values": {".".join(["a"] * 300_000): ["Date"]}, "v": 1}},
        {"json": {"l": ["9" * 999] * 1000}, "meta": {"values": {f"l.{i}": ["bigint"] for i in range(1000)}, "v": 1}},
        # Each a multiple of 2^61-1: one hash for all of them in Python, a set's worst case.
        {"json": collide, "meta": {"values": ["set", marks], "v": 1}},
        {
            "json": [[n, 1] for n in collide],
            "meta": {"values": ["map", {f"{i}.0": m for i, m in marks.items()}], "v": 1},
        },
    ]
    for whole in hostile:
        assert seconds_of(whole) < 5
