"""Forms from a handler's parameters, and inputs from sent forms."""

from __future__ import annotations

import enum
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

from tenantry import UNSET, Ctx, File, Meta, Record, Tenantry, Unset
from tenantry.dev.forms import Field, NotJson, fields_of, input_of

app = Tenantry()
router = app.router("all")


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Patch(Record):
    body: str | Unset = UNSET
    due_at: datetime | Unset | None = UNSET


@router.query
async def everything(
    ctx: Ctx,
    project_id: UUID,
    title: str,
    body: Annotated[str, Meta(max_length=10_000)],
    count: int,
    share: float,
    price: Decimal,
    is_open: bool,
    on: date,
    at: datetime,
    status: Literal["open", "done"],
    size: Size,
    tags: list[str],
    patch: Patch,
    anything: Any,
    note: str | None,
    after: str | None = None,
    limit: int = 20,
) -> None: ...


@router.query
async def nothing(ctx: Ctx) -> None: ...


@router.mutation
async def attach(ctx: Ctx, note_id: UUID, file: File) -> None: ...


FIELDS = {field.name: field for field in fields_of(everything)}


def test_each_type_has_its_control() -> None:
    kinds = {name: field.kind for name, field in FIELDS.items()}
    assert kinds == {
        "projectId": "text", "title": "text", "body": "area", "count": "number", "share": "number", "price": "text", "isOpen": "choice", "on": "date",
        "at": "moment", "status": "choice", "size": "choice", "tags": "json", "patch": "json", "anything": "json", "note": "text", "after": "text",
        "limit": "number",
    }  # fmt: skip
    assert FIELDS["status"].choices == ('"open"', '"done"')
    assert FIELDS["size"].choices == ('"small"', '"large"')
    assert json.loads(FIELDS["patch"].hint) == {"body": "", "dueAt": None}
    assert FIELDS["note"].takes_null
    assert FIELDS["note"].is_required
    assert FIELDS["after"].takes_null
    assert not FIELDS["limit"].is_required


def test_a_file_has_its_field_and_no_input_none() -> None:
    assert [(field.name, field.kind) for field in fields_of(attach)] == [("noteId", "text"), ("file", "file")]
    assert fields_of(nothing) == []
    assert input_of([], {}) is None


@pytest.mark.parametrize(
    ("name", "sent", "wanted"),
    [
        ("title", {"title": ""}, {"title": ""}),
        ("title", {"title": '<b> & "x"'}, {"title": '<b> & "x"'}),
        ("body", {"body": "a\r\nb"}, {"body": "a\nb"}),
        ("count", {"count": "12"}, {"count": 12}),
        ("count", {"count": "twelve"}, {"count": "twelve"}),
        ("count", {"count": ""}, {}),
        ("price", {"price": "1.50"}, {"price": "1.50"}),
        ("isOpen", {"isOpen": "true"}, {"isOpen": True}),
        ("isOpen", {"isOpen": ""}, {}),
        ("status", {"status": '"done"'}, {"status": "done"}),
        ("tags", {"tags": '["a"]'}, {"tags": ["a"]}),
        ("note", {"note": "", ".null.note": "1"}, {"note": None}),
        ("after", {"after": ""}, {}),
        ("after", {"after": "", ".null.after": "1"}, {"after": None}),
        ("limit", {"limit": ""}, {}),
        ("limit", {}, {}),
    ],
)
def test_what_is_sent_is_the_input(name: str, sent: dict[str, str], wanted: dict[str, Any]) -> None:
    made = input_of([FIELDS[name], Field("other", "number", False, False)], sent)
    assert made is not None
    assert json.loads(made) == wanted


def test_json_takes_the_place_of_all_fields_and_must_be_json() -> None:
    made = input_of(list(FIELDS.values()), {".json": '{"title": 1}', "title": "x"})
    assert made is not None
    assert json.loads(made) == {"title": 1}
    with pytest.raises(NotJson) as wrong:
        input_of([FIELDS["tags"]], {"tags": "[1,"})
    assert wrong.value.field == "tags"
