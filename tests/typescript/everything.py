"""An application that uses every kind of type that a procedure can take and give. Its handlers answer without a database."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID

import annotated_types
from msgspec import Struct
from pydantic import BaseModel, Field, computed_field
from pydantic import RootModel as PydanticRoot
from typing_extensions import Doc

from tenantry import (
    UNSET,
    BigInt,
    Deferred,
    File,
    Form,
    Meta,
    Octets,
    Page,
    Problem,
    Record,
    Tenantry,
    Tracked,
    Unset,
    Visitor,
    Whole,
)
from tests.typescript import elsewhere

T = TypeVar("T")
NoteId = NewType("NoteId", str)
Title = Annotated[str, Meta(min_length=1, max_length=80)]
Limit = Annotated[int, Meta(ge=1, le=100)]
Status = Literal["open", "done"]
Ctx = Visitor[Any]


class Color(enum.Enum):
    """What a label looks like."""

    RED = "red"
    BLUE = "light blue"


class Priority(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Author(Record):
    """Who wrote it."""

    id: UUID
    name: str
    """As it is shown."""
    nick: str | None = None


class Note(Record):
    """A note, as everyone in the tenant sees it."""

    id: NoteId
    body: str
    status: Status
    author: Author
    created_at: datetime
    """When it was written; `*/` is harmless here."""
    due_on: date | None
    tags: set[str]
    color: Color = Color.RED
    priority: Priority = Priority.LOW
    sold_out: bool = False


class NotePatch(Record):
    """What may be changed of a note."""

    title: Title | Unset = UNSET
    status: Status | Unset = UNSET
    due_on: date | Unset | None = UNSET


class Tree(Record):
    """A folder in folders."""

    name: str
    children: list[Tree] = []  # noqa: RUF012 - msgspec copies it
    parent: Tree | None = None


class Created(Record, tag="created", tag_field="kind"):
    note: Note


class Removed(Record, tag="removed", tag_field="kind"):
    id: NoteId


Event = Created | Removed


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    meows: int = Field(ge=0, description="How often.")


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    barks: float = Field(alias="barksPerHour")

    @computed_field
    @property
    def is_loud(self) -> bool:
        return self.barks > 10


class Household(BaseModel):
    """Who lives here."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    others: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []


class Tags(PydanticRoot[list[str]]):
    """Words for finding it again."""


class Visit(TypedDict):
    """A visit."""

    pet: str
    at: datetime
    cost: NotRequired[Decimal]


class Options(TypedDict, total=False):
    loud: bool
    note_count: int


class Point(NamedTuple):
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Box(Generic[T]):
    """Anything, in a box."""

    content: T
    labels: list[str] = dataclasses.field(default_factory=list)


class Notes(Page[Note]):
    """A page of notes with their number."""

    total: int


class Row(Struct, array_like=True):
    a: int
    b: str


class Numbers(Record):
    """Every scalar."""

    whole: int
    real: float
    exact: Decimal
    big: BigInt
    flag: bool
    nothing: None
    day: date
    moment: datetime
    clock: time
    span: timedelta
    raw: bytes
    id: UUID
    any: Any
    pair: tuple[int, str]
    many: tuple[int, ...]
    by_name: dict[str, int]
    by_number: dict[int, str]
    by_status: dict[Status, int]
    by_color: dict[Color, bool]
    frozen: frozenset[UUID]
    mixed: int | str | list[int] | None
    literal: Literal["a", 1, True, None]


class Report(Record):
    """What is known at once, and what comes later."""

    now: str
    later: Deferred[Author]
    rows: AsyncIterator[Author]


class TooManyNotes(Problem, code="PAYMENT_REQUIRED"):
    """The plan is used up."""

    says = "Your plan has room for {limit} notes."
    limit: int
    """How many there may be."""
    upgrade_to: str | None = None


class Locked(Problem, code="CONFLICT"):
    says = "Somebody else is writing this note."
    by: UUID
    until: datetime


class ErrorExtras(Record):
    fields: dict[str, list[str]] | None
    trace_id: str | None


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
ANN = Author(id=UUID(int=1), name="Ann")
NOTE = Note(id=NoteId("n1"), body="Book the hall", status="open", author=ANN, created_at=NOW, due_on=None, tags={"a"})


def application(**options: Any) -> Tenantry[None]:
    """A new one each time: tests serve it with and without a transformer."""
    app: Tenantry[None] = Tenantry(**options)
    notes, kinds, live = app.router("notes"), app.router("kinds"), app.router("live")
    deep = app.router("admin.audit_log")

    @notes.query(public=True)
    async def recent(ctx: Ctx, limit: Limit = 20) -> list[Note]:
        """The newest notes."""
        return [NOTE][:limit]

    @notes.query(public=True)
    async def search(
        ctx: Ctx,
        text: Annotated[str, Doc("Words, all of which must occur.")],
        status: Status | None = None,
        author: Author | None = None,
        after: str | None = None,
    ) -> Page[Note]:
        return Page(items=[NOTE], next_cursor=after)

    @notes.query(public=True)
    async def pages(ctx: Ctx, cursor: str | None = None, limit: Limit = 20) -> Page[Note]:
        return Page(items=[NOTE], next_cursor=None)

    @notes.query(public=True)
    async def counted(ctx: Ctx) -> Notes:
        return Notes(items=[NOTE], next_cursor=None, total=1)

    @notes.mutation(public=True)
    async def add(ctx: Ctx, title: Title, body: str, color: Color = Color.RED, tags: list[Title] = []) -> Note:  # noqa: B006
        """Write a note.

        It is seen by everyone in the tenant.
        """
        if title == "too many":
            raise TooManyNotes(limit=20)
        if title == "locked":
            raise Locked(by=UUID(int=2), until=NOW)
        return NOTE

    @notes.mutation(public=True)
    async def update(ctx: Ctx, id: NoteId, patch: NotePatch) -> Note:
        return NOTE

    @notes.mutation(role="admin")
    async def remove(ctx: Any, id: NoteId) -> None:
        """Remove a note for good."""

    @notes.mutation(public=True)
    async def create(ctx: Ctx, body: str) -> UUID:
        """@deprecated use `notes.add`"""
        return UUID(int=9)

    @notes.mutation(public=True)
    async def attach(ctx: Ctx, note_id: NoteId, file: File) -> elsewhere.Note:
        size = 0
        async for chunk in file:
            size += len(chunk)
        return elsewhere.Note(path=file.name, size=size)

    @notes.mutation(public=True)
    async def load(ctx: Ctx, form: Form) -> int:
        return len([part async for part in form])

    @notes.mutation(public=True)
    async def blob(ctx: Ctx, body: Octets) -> int:
        return len(await body.read(1 << 20))

    @notes.query(public=True)
    async def report(ctx: Ctx) -> Report:
        async def later() -> Author:
            return ANN

        async def rows() -> AsyncIterator[Author]:
            yield ANN

        return Report(now="now", later=later(), rows=rows())

    @notes.query(public=True)
    async def one_by_one(ctx: Ctx, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    @kinds.query(public=True)
    async def numbers(ctx: Ctx) -> Numbers:
        return Numbers(
            whole=1, real=1.5, exact=Decimal("1.20"), big=BigInt(2**60), flag=True, nothing=None, day=date(2026, 1, 2), moment=NOW,
            clock=time(12, 0), span=timedelta(minutes=5), raw=b"\x00\xff", id=UUID(int=1), any={"x": [1]}, pair=(1, "a"), many=(1, 2),
            by_name={"a": 1}, by_number={1: "a"}, by_status={"open": 1}, by_color={Color.BLUE: True}, frozen=frozenset({UUID(int=3)}),
            mixed=None, literal="a",
        )  # fmt: skip

    @kinds.mutation(public=True)
    async def take_numbers(
        ctx: Ctx,
        big: BigInt,
        moment: datetime,
        day: date,
        raw: bytes,
        exact: Decimal,
        tags: set[str],
        by_number: dict[int, str],
    ) -> list[str]:
        return [
            str(big),
            moment.isoformat(),
            day.isoformat(),
            raw.hex(),
            str(exact),
            *sorted(tags),
            *map(str, by_number),
        ]

    @kinds.query(public=True)
    async def event(ctx: Ctx, event: Event) -> Event:
        return event

    @kinds.query(public=True)
    async def tree(ctx: Ctx, tree: Tree) -> Tree:
        return tree

    @kinds.query(public=True)
    async def household(ctx: Ctx, household: Household) -> Household:
        return household

    @kinds.query(public=True)
    async def words(ctx: Ctx, tags: Tags) -> Tags:
        return tags

    @kinds.query(public=True)
    async def visit(ctx: Ctx, visit: Visit, options: Options | None = None) -> Visit:
        return visit

    @kinds.query(public=True)
    async def point(ctx: Ctx, point: Point) -> Point:
        return point

    @kinds.query(public=True)
    async def boxed(ctx: Ctx, box: Box[int]) -> Box[list[Author]]:
        return Box([ANN])

    @kinds.query(public=True)
    async def row(ctx: Ctx) -> Row:
        return Row(1, "b")

    @kinds.query(public=True)
    async def whole(ctx: Ctx, value: Whole[Any]) -> Any:
        return value

    @kinds.query(public=True)
    async def whole_number(ctx: Ctx, value: Whole[Annotated[int, annotated_types.Ge(0)]]) -> bool:
        return value > 0

    @live.subscription(public=True)
    async def clock(ctx: Ctx, every: int = 1) -> AsyncIterator[datetime]:
        yield NOW

    @live.subscription(public=True)
    async def changes(ctx: Ctx, last_event_id: str | None = None) -> AsyncIterator[Tracked[Note]]:
        """Notes as they are written."""
        yield Tracked("1", NOTE)

    @deep.query(role="owner")
    async def of_day(ctx: Any, day: date) -> list[elsewhere.Note]:
        return []

    return app
