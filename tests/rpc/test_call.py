"""The request line and body of tRPC: a table of cases, and that nothing else than an RpcError ever comes out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenantry import Record, Router
from tenantry.context import Visitor
from tenantry.errors import RpcError
from tenantry.rpc import Limits, Page, RpcRequest, combine, failure, http_status, parse, shape, success
from tenantry.rpc.call import parameter
from tenantry.rpc.schema import InputSchema, OutputSchema

router = Router("a.b")


@router.query(public=True)
async def deep(ctx: Visitor[Any], n: int = 0, text: str | None = None) -> int:
    return n


@router.mutation(public=True)
async def write(ctx: Visitor[Any]) -> None:
    return None


TABLE = {p.path: p for p in router.procedures}
JSON = b"application/json"


def calls(
    method: str, path: str, query: bytes = b"", body: bytes = b"", content_type: bytes | None = JSON, **limits: Any
) -> Any:
    return parse(TABLE, RpcRequest(method, path, query, content_type, body), Limits(**limits))


@pytest.mark.parametrize("path", ["a.b.deep", "a%2Eb.deep", "a.b.deep/", "a.b.deep//", "%61.b.deep"])
def test_a_path_is_decoded_once_and_trimmed_of_slashes_at_its_end(path: str) -> None:
    (call,) = calls("GET", path).calls
    assert call.procedure is TABLE["a.b.deep"]


@pytest.mark.parametrize(
    "path", ["", "a.b", "/a.b.deep", "a.b.deep%2F", "a.b.deep,a.b.deep", "a%252Eb.deep", "then", "__proto__"]
)
def test_an_unknown_path_is_not_found_by_its_name(path: str) -> None:
    (call,) = calls("GET", path).calls
    assert call.error.trpc == "NOT_FOUND"


@pytest.mark.parametrize("path", ["%", "%2", "%zz", "a%FFb", "%C3%28"])
def test_a_badly_encoded_path_fails_the_request(path: str) -> None:
    with pytest.raises(RpcError) as raised:
        calls("GET", path)
    assert raised.value.trpc == "BAD_REQUEST"


def test_a_batch_keeps_order_and_repeats() -> None:
    parsed = calls("GET", "a.b.deep,no,a.b.deep", b"batch=1&input=%7B%222%22%3A%7B%22n%22%3A5%7D%7D")
    assert parsed.is_batch
    assert [c.path for c in parsed.calls] == ["a.b.deep", "no", "a.b.deep"]
    assert parsed.calls[2].procedure.decode(parsed.calls[2].raw) == (5, None)


@pytest.mark.parametrize(
    ("path", "query", "limits", "message"),
    [
        ("a.b.deep,a.b.write", b"batch=1", {}, "Cannot mix procedure types in call: query, mutation"),
        (",".join(["a.b.deep"] * 3), b"batch=1", {"max_batch": 2}, "Batch call exceeds maximum size"),
        ("a.b.deep", b"batch=1", {"allow_batch": False}, "Batching is not enabled on the server"),
    ],
)
def test_a_batch_as_a_whole_may_be_refused(path: str, query: bytes, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(RpcError, match=message):
        calls("GET", path, query, **limits)


@pytest.mark.parametrize(
    ("method", "path", "code", "allow"),
    [
        ("GET", "a.b.write", "METHOD_NOT_SUPPORTED", "POST"),
        ("POST", "a.b.deep", "METHOD_NOT_SUPPORTED", "GET"),
        ("PUT", "a.b.write", "METHOD_NOT_SUPPORTED", "POST"),
    ],
)
def test_a_wrong_method_says_which_are_right(method: str, path: str, code: str, allow: str) -> None:
    (call,) = calls(method, path).calls
    assert (call.error.trpc, call.error.data["allow"]) == (code, allow)


@pytest.mark.parametrize("content_type", [None, b"", b"text/plain", b"application/xml; charset=utf-8"])
def test_a_body_of_another_type_is_refused(content_type: bytes | None) -> None:
    with pytest.raises(RpcError) as raised:
        calls("POST", "a.b.write", content_type=content_type)
    assert raised.value.trpc == "UNSUPPORTED_MEDIA_TYPE"


def test_input_is_read_lazily() -> None:
    parsed = calls("POST", "a.b.write,a.b.write", b"batch=1", b"{not json")
    assert [c.error for c in parsed.calls] == [None, None]


@given(st.text(), st.binary(), st.binary(), st.sampled_from(["GET", "POST", "PATCH"]))
def test_whatever_is_sent_is_a_call_or_an_rpc_error(path: str, query: bytes, body: bytes, method: str) -> None:
    path = path.encode("utf-8", "surrogatepass").decode("latin-1")
    for asked in (query, b"batch=1&input=" + query):
        try:
            parsed = calls(method, path, asked, body)
            for call in parsed.calls:
                if call.error is None:
                    call.procedure.decode(call.raw)
        except RpcError:
            pass


SCHEMA = InputSchema([("value", Any, None)])


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner), max_leaves=20))  # fmt: skip
def test_any_json_goes_in_and_comes_out_the_same(value: Any) -> None:
    (taken,) = SCHEMA.decode(json.dumps({"value": value}).encode())
    assert json.loads(success(OutputSchema().encode(taken)))["result"]["data"] == value


class Item(Record):
    due_at: str
    as_csv: bool


def test_records_have_camel_case_on_the_wire() -> None:
    page = Page(items=[Item(due_at="x", as_csv=True)], next_cursor=None)
    assert json.loads(OutputSchema().encode(page)) == {"items": [{"dueAt": "x", "asCsv": True}], "nextCursor": None}


def test_what_has_no_json_is_null() -> None:
    assert OutputSchema().encode([float("nan"), float("inf")]) == b"[null,null]"


@pytest.mark.parametrize(
    ("statuses", "status"), [([200, 200], 200), ([404, 404], 404), ([200, 404], 207), ([401, 403], 207)]
)
def test_the_status_of_a_batch(statuses: list[int], status: int) -> None:
    assert http_status(statuses) == status


def test_an_unforeseen_error_says_nothing_of_itself() -> None:
    facts = shape(RuntimeError("password=hunter2"), "a.b", request_id="r1", is_development=False)
    assert "hunter2" not in failure(facts).decode()
    assert facts["data"] == {"code": "INTERNAL_SERVER_ERROR", "httpStatus": 500, "path": "a.b", "requestId": "r1"}
    assert combine([b"1", b"2"]) == b"[1,2]"


@given(st.text(alphabet="%=+_ \t.0189abfAF\n\rzé", max_size=24))
@example("%")
@example("a%3")
@example("%%41")
@example("%\n41")
@example("=41%41=")
def test_an_input_is_form_decoded_as_the_library_does_it(text: str) -> None:
    raw = text.encode()
    assert parameter(b"input=" + raw, b"input") == unquote_to_bytes(raw.replace(b"+", b" "))
