"""A small SaaS: people sign in, found a tenant, invite others, and see each other's changes as they happen.

The front end in `web/` is stock React, `next-auth/react` and `@trpc/client`; its types are `tenantry typescript`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from tenantry import Ctx, Meta, Record, Statement, Tenantry, Tracked

app = Tenantry()
tasks = app.router("tasks")


class Task(Record):
    """Something to do."""

    id: UUID
    title: str
    done: bool
    created_at: datetime


@tasks.query
def recent(ctx: Ctx) -> Statement[list[Task]]:
    """What is to do, the newest first."""
    return ctx.db.all(Task, "select id, title, done, created_at from tasks order by created_at desc, id limit 100")


@tasks.mutation
async def add(ctx: Ctx, title: Annotated[str, Meta(min_length=1, max_length=200)]) -> Task:
    """One more thing to do; everybody in the tenant sees it at once."""
    task = await ctx.db.one(Task, "insert into tasks (title) values ($1) returning id, title, done, created_at", title)
    await ctx.publish("tasks.added", task)
    return task


@tasks.subscription
async def added(ctx: Ctx, last_event_id: str | None = None) -> AsyncIterator[Tracked[Task]]:
    """New tasks as they come."""
    async for event in ctx.subscribe(Task, "tasks.added", after=last_event_id):
        yield event
