"""Notes of a tenant: a whole multi-tenant API. There is no `where tenant_id = …`, and none can be forgotten."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from tenantry import Ctx, Meta, Page, Record, Statement, Tenantry

app = Tenantry()
notes = app.router("notes")


class Note(Record):
    id: UUID
    body: str
    created_at: datetime


@notes.query
def recent(ctx: Ctx, after: str | None = None, limit: Annotated[int, Meta(ge=1, le=100)] = 20) -> Statement[Page[Note]]:
    """The tenant's notes, newest first."""
    text = "select id, body, created_at from notes"
    return ctx.db.page(Note, text, by="created_at desc, id desc", after=after, limit=limit)


@notes.mutation
def add(ctx: Ctx, body: Annotated[str, Meta(min_length=1, max_length=10_000)]) -> Statement[Note]:
    """Write a note."""
    return ctx.db.one(Note, "insert into notes (body) values ($1) returning id, body, created_at", body)


@notes.mutation(role="admin")
def remove(ctx: Ctx, id: UUID) -> Statement[UUID]:
    """Remove a note, as admin or owner."""
    return ctx.db.one(UUID, "delete from notes where id = $1 returning id", id)
