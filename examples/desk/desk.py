"""Desk: projects, notes and comments of a team. Everything that Tenantry's API has, once."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from vendors import Bucket, Tracker

import tenantry
from tenantry import UNSET, File, Meta, Page, Problem, Record, Secret, Statement, Tenantry, Tracked, Unset, changes, sql

# ------------------------------------------------------------------ settings, resources, context


class Settings(tenantry.Settings):
    tracker_token: Secret
    """Token of the issue tracker."""
    bucket: str = ".tenantry/files"
    """Folder of the attachments."""


@dataclass(frozen=True)
class Resources:
    bucket: Bucket
    tracker: Tracker


@asynccontextmanager
async def resources(settings: Settings) -> AsyncGenerator[Resources]:
    async with Tracker(settings.tracker_token) as tracker:
        yield Resources(Bucket(settings.bucket), tracker)


Ctx = tenantry.Ctx[Resources]
app = Tenantry(resources=resources)
app.permission("projects.close", least="admin", says="Close projects")
projects, notes, comments = app.router("projects"), app.router("notes"), app.router("comments")

# ------------------------------------------------------------------ types: rows in, JSON out

Name = Annotated[str, Meta(min_length=1, max_length=80)]
Text = Annotated[str, Meta(min_length=1, max_length=10_000)]
Limit = Annotated[int, Meta(ge=1, le=100)]
Status = Literal["open", "done"]


class Project(Record):
    id: UUID
    name: str


class Note(Record):
    """A note, as everyone in the tenant sees it."""

    id: UUID
    project_id: UUID
    body: str
    status: Status
    due_at: datetime | None
    created_at: datetime


NOTE = sql("id, project_id, body, status, due_at, created_at")


class NotePatch(Record):
    body: Text | Unset = UNSET
    status: Status | Unset = UNSET
    due_at: datetime | None | Unset = UNSET


class TooManyProjects(Problem, code="PAYMENT_REQUIRED"):
    says = "Your plan has room for {limit} projects."
    limit: int


# ------------------------------------------------------------------ queries and mutations


@projects.mutation(role="admin")
async def create(ctx: Ctx, name: Name) -> Project:
    await ctx.lock("projects")
    if await ctx.db.one(int, "select count(*) from projects") >= 20:
        raise TooManyProjects(limit=20)
    return await ctx.db.one(Project, "insert into projects (name) values ($1) returning id, name", name)


@projects.mutation(can="projects.close")
def close(ctx: Ctx, id: UUID) -> Statement[Project]:
    return ctx.db.one(Project, "update projects set closed = true where id = $1 returning id, name", id)


@notes.query
def search(
    ctx: Ctx, project_id: UUID, status: Status | None = None, after: str | None = None, limit: Limit = 20
) -> Statement[Page[Note]]:
    """Notes of a project, newest first."""
    q = sql("select {} from notes where project_id = {}", NOTE, project_id)
    if status is not None:
        q += sql(" and status = {}", status)
    return ctx.db.page(Note, q, by="created_at desc, id desc", after=after, limit=limit)


@notes.mutation
async def add(ctx: Ctx, project_id: UUID, body: Text) -> Note:
    q = sql("insert into notes (project_id, body) values ({}, {}) returning {}", project_id, body, NOTE)
    note = await ctx.db.one(Note, q)
    await ctx.publish("notes.added", note)
    return note


@notes.mutation
def update(ctx: Ctx, id: UUID, patch: NotePatch) -> Statement[Note]:
    return ctx.db.one(Note, sql("update notes set {} where id = {} returning {}", changes(patch), id, NOTE))


@comments.mutation
def remove(ctx: Ctx, id: UUID) -> Statement[UUID]:
    return ctx.db.one(UUID, "delete from comments where id = $1 returning id", id)


# ------------------------------------------------------------------ the world outside: calls, files, live data, raw SQL


@notes.mutation
async def escalate(ctx: Ctx, id: UUID) -> str:
    async with ctx.transaction() as tx:
        body = await tx.one(str, "select body from notes where id = $1", id)
    issue = await ctx.app.tracker.open_issue(body, once=id)  # no transaction, no connection is held here
    async with ctx.transaction() as tx:
        await tx.run("update notes set issue = $2 where id = $1", id, issue)
    return issue


@notes.mutation(max_bytes=25_000_000)
async def attach(ctx: Ctx, note_id: UUID, file: File) -> None:
    key = await ctx.app.bucket.put(file)  # streamed; the first statement opens the transaction
    await ctx.db.run("insert into attachments (note_id, name, key) values ($1, $2, $3)", note_id, file.name, key)


@notes.subscription
async def added(ctx: Ctx, last_event_id: str | None = None) -> AsyncIterator[Tracked[Note]]:
    async for event in ctx.subscribe(Note, "notes.added", after=last_event_id):
        yield event


@notes.query(role="admin")
async def as_csv(ctx: Ctx) -> str:
    async with ctx.psycopg() as conn, conn.cursor() as cur:
        async with cur.copy("copy (select id, body from notes order by id) to stdout with csv") as out:
            return b"".join([bytes(part) async for part in out]).decode()
