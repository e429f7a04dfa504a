"""Notes of a tenant, and procedures that go wrong on demand. Served by drills alone, in an installation of their own."""

from __future__ import annotations

import asyncio
import os
import time
from uuid import UUID

from tenantry import Ctx, Record, Statement, Tenantry, Visitor

app = Tenantry()
notes = app.router("notes")
drill = app.router("drill")
KEPT: list[bytes] = []


class Note(Record):
    """A note."""

    id: UUID
    body: str


@notes.query
def recent(ctx: Ctx) -> Statement[list[Note]]:
    """The newest notes."""
    return ctx.db.all(Note, "select id, body from notes order by created_at desc limit 20")


@notes.mutation
def add(ctx: Ctx, body: str) -> Statement[UUID]:
    """Write a note."""
    return ctx.db.one(UUID, "insert into notes (body) values ($1) returning id", body)


@drill.mutation
def steal(ctx: Ctx, tenant: UUID) -> Statement[UUID]:
    """Write a row of another tenant: row security refuses."""
    return ctx.db.one(UUID, "insert into notes (tenant_id, body) values ($1, 'stolen') returning id", tenant)


@drill.query
def sleep(ctx: Ctx, seconds: float) -> Statement[bool]:
    """A slow statement."""
    return ctx.db.one(bool, "select pg_catalog.pg_sleep($1) is not null", seconds)


@drill.query
async def hold(ctx: Ctx, seconds: float) -> bool:
    """A transaction that lies open while the handler waits for something else."""
    await ctx.db.one(int, "select count(*)::int from notes")
    await asyncio.sleep(seconds)
    return True


@drill.query
async def fail(ctx: Ctx) -> bool:
    """A bug."""
    message = "a drill's bug"
    raise RuntimeError(message)


@drill.query(public=True)
async def block(ctx: Visitor, seconds: float) -> bool:
    """Block the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is the fault
    return True


@drill.query(public=True)
async def grow(ctx: Visitor, megabytes: int) -> int:
    """Keep memory for ever."""
    KEPT.append(os.urandom(1 << 20) * megabytes)
    return len(KEPT)
