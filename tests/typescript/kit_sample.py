"""The application of the conformance kit's types-sample.d.ts: its own check (kit/types-check) compiles against what is generated."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import Any, Literal

from msgspec import UNSET, Struct

from tenantry import Deferred, Form, Octets, Record, Tenantry, Tracked, Unset, Visitor

Ctx = Visitor[Any]


class Role(enum.Enum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class Note(Struct):
    """A note."""

    id: str
    body: str
    created_at: str
    """ISO 8601 (no transformer)"""
    tags: list[str]
    parent: str | None


class Greeting(Struct):
    text: str


class Size(Struct):
    size: int


class Digest(Struct):
    size: int
    sha256: str


class Row(Struct):
    n: int


class Report(Struct):
    now: str
    later: Deferred[str]
    rows: AsyncIterator[Row]


class Fields(Record):
    """What the error formatter adds."""

    fields: dict[str, list[str]] | None


def application() -> Tenantry[None]:
    """Only its types are looked at."""
    app: Tenantry[None] = Tenantry(case="as_written")
    root, notes = app.router(""), app.router("notes")

    @root.query(public=True)
    async def ping(ctx: Ctx) -> Literal["pong"]:
        return "pong"

    @root.query(public=True)
    async def greet(ctx: Ctx, name: str) -> Greeting:
        return Greeting(f"Hello, {name}!")

    @root.subscription(public=True)
    async def clock(ctx: Ctx, every: int) -> AsyncIterator[int]:
        yield every

    @root.query(public=True)
    async def report(ctx: Ctx) -> Report:
        raise NotImplementedError

    @root.query(public=True)
    async def role(ctx: Ctx) -> Role:
        return Role.OWNER

    @notes.query(public=True)
    async def recent(ctx: Ctx, limit: int | Unset = UNSET) -> list[Note]:
        """The newest notes."""
        return []

    @notes.mutation(public=True)
    async def add(ctx: Ctx, body: str, tags: list[str] | Unset = UNSET) -> Note:
        raise NotImplementedError

    @notes.mutation(public=True)
    async def remove(ctx: Ctx, id: str) -> None: ...

    @notes.subscription(public=True)
    async def changes(ctx: Ctx, lastEventId: str | Unset = UNSET) -> AsyncIterator[Tracked[Note]]:
        yield Tracked("1", Note("1", "", "", [], None))

    @notes.mutation(public=True)
    async def attach(ctx: Ctx, form: Form) -> Size:
        raise NotImplementedError

    @notes.mutation(public=True)
    async def blob(ctx: Ctx, body: Octets) -> Digest:
        raise NotImplementedError

    return app
