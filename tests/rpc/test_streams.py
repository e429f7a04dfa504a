"""Encoders of streams and readers of frames: what goes out can be read back, and nothing that comes in breaks them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tenantry.errors import ParseError
from tenantry.rpc import Sse, Tracked, frames, sse
from tenantry.rpc.call import connection_params, parameter, wants_lines
from tenantry.rpc.codec import PLAIN
from tenantry.rpc.kinds import BigInt
from tenantry.rpc.later import split
from tenantry.rpc.lines import Lines
from tenantry.rpc.schema import InputSchema, OutputSchema

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10)  # fmt: skip
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1)


def events(text: str) -> list[dict[str, str]]:
    """As an EventSource reads them: lines end at LF, CR or CRLF."""
    found: list[dict[str, str]] = []
    for block in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line)
        if fields:
            found.append(fields)
    return found


@given(st.lists(st.tuples(st.none() | IDS, JSON)), st.none() | TEXT)
def test_an_event_source_reads_back_every_value_with_its_id(
    values: list[tuple[str | None, Any]], last: str | None
) -> None:
    stream = sse.Events(last)
    text = b"".join(stream.value(OutputSchema().encode(value), id_) for id_, value in values).decode()
    read = [event for event in events(text) if event.get("event") != "restore-id"]
    assert [json.loads(event["data"]) for event in read] == [value for _, value in values]
    assert [event.get("id") or None for event in read] == [id_ for id_, _ in values]


@pytest.mark.parametrize("id_", ["", "a\nb", "a\rb", "a\0b"])
def test_an_id_that_no_event_can_carry_is_refused(id_: str) -> None:
    with pytest.raises(ValueError, match="id of a tracked value"):
        Tracked(id_, 1)


def test_pings_must_be_more_frequent_than_reconnects() -> None:
    with pytest.raises(ValueError, match="ping_ms"):
        Sse(ping_ms=5000, reconnect_after_inactivity_ms=2000)


@given(st.lists(JSON, min_size=1, max_size=5))
def test_lines_are_one_value_each_and_declare_what_they_settle(values: list[Any]) -> None:
    lines = Lines(PLAIN)
    text = lines.head(len(values))
    for chunk, value in enumerate(values):
        text += lines.result(chunk, Raw(OutputSchema().encode(value)), [])[0]
    head, *rest = text.decode().removesuffix("\n").split("\n")
    assert list(json.loads(head)) == [str(n) for n in range(len(values))]
    assert [json.loads(line)[2][0][0]["result"]["data"] for line in rest] == values


async def test_what_comes_later_is_found_in_direct_members_only() -> None:
    async def later() -> int:
        return 1

    inner, deep = later(), later()
    here, parts = split({"a": inner, "b": [deep], "c": 0})
    assert (here, [(part.key, part.kind) for part in parts]) == ({"a": 0, "b": [deep], "c": 0}, [("a", 0)])
    assert await inner + await deep == 2


@given(st.binary() | st.recursive(st.none() | st.integers() | TEXT, lambda i: st.lists(i) | st.dictionaries(st.sampled_from(["id", "method", "params", "path", "jsonrpc", "input", "data"]) | TEXT, i)).map(lambda v: json.dumps(v).encode()))  # fmt: skip
def test_whatever_a_frame_holds_is_messages_or_a_parse_error(frame: bytes) -> None:
    for read in (lambda: [frames.message(raw) for raw in frames.messages(frame)], lambda: frames.params(frame)):
        try:
            read()
        except ParseError:
            pass
    try:
        frames.heads(frames.messages(frame))
    except ParseError:
        pass


@given(st.sampled_from([1, -1, 1.5, "a", 'é"', 2**53]), JSON)
def test_an_id_comes_back_as_it_was_sent(id_: Any, data: Any) -> None:
    message = frames.message(
        Raw(json.dumps({"id": id_, "method": "query", "params": {"path": "p", "input": data}}).encode())
    )
    assert json.loads(frames.data(message.head, b"1"))["id"] == id_
    assert json.loads(bytes(message.raw or b"")) == data


@given(st.binary())
def test_whatever_a_query_string_holds_is_params_or_a_parse_error(query: bytes) -> None:
    parameter(query, b"input")
    try:
        connection_params(b"connectionParams=" + query)
    except ParseError:
        pass


@pytest.mark.parametrize(
    ("trpc_accept", "accept", "lines"),
    [(b"application/jsonl", None, True), (None, b"text/html, application/jsonl , */*", True), (None, b"*/*", False),
     (b"application/json", b"application/jsonl", False), (None, b"application/jsonl;q=1", False), (None, None, False)],
)  # fmt: skip
def test_who_wants_lines(trpc_accept: bytes | None, accept: bytes | None, lines: bool) -> None:
    assert wants_lines(trpc_accept, accept) == lines


def test_a_big_integer_is_a_string_on_the_wire_both_ways() -> None:
    schema = InputSchema([("n", BigInt, None)])
    for sent in (b'{"n":"9007199254740993"}', b'{"n":9007199254740993}'):
        (n,) = schema.decode(sent)
        assert (n, type(n)) == (9007199254740993, BigInt)
        assert OutputSchema().encode({"n": n}) == b'{"n":"9007199254740993"}'


@given(TEXT)
def test_a_big_integer_is_nothing_else(text: str) -> None:
    from tenantry.errors import InvalidInput

    try:
        (n,) = InputSchema([("n", BigInt, None)]).decode(json.dumps({"n": text}).encode())
        assert str(int(n)) == str(int(text))
    except InvalidInput:
        pass
