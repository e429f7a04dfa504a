"""Eighteen mistakes, each on a line that ends with its number: checked by two type checkers, never run. (`f` is basedpyright's alone.)"""

from uuid import UUID

import desk
from desk import Ctx, Note, NotePatch, Project, TooManyProjects, app, comments, notes
from vendors import Bucket

import tenantry
from tenantry import Page, Statement, Visitor, sql


class AdminCtx(tenantry.Ctx[desk.Resources]):
    plan: str


async def make(ctx: Ctx) -> AdminCtx:
    return ctx.extend(AdminCtx, plan="free")


admin = app.router("admin", ctx=make)
public = app.router("public", public=True)


@notes.mutation
async def m01(ctx: Ctx, id: UUID) -> None:
    ctx.db.run("delete from notes where id = $1", id)  # 01: never awaited


@notes.query
async def m02(ctx: Ctx) -> list[Note]:
    return await ctx.db.all(Project, "select id, name from projects")  # 02: other rows than promised


@notes.query
def m03(ctx: Ctx, title: str) -> Statement[list[Note]]:
    return ctx.db.all(Note, f"select * from notes where body = '{title}'")  # 03: f: SQL by f-string


@notes.query
def m04(ctx: Ctx) -> Statement[Note]:
    return ctx.db.maybe(Note, "select * from notes")  # 04: maybe None


@public.query
async def m05(ctx: Visitor[desk.Resources]) -> int:
    return await ctx.db.one(int, "select 1")  # 05: a visitor has no db


@admin.query  # 06: the router's own context
async def m06(ctx: tenantry.Ctx[int]) -> int:
    return 1


@notes.query
async def m07(ctx: Ctx) -> str:
    return ctx.app.bucket.tracker  # 07: no such resource


@notes.query
async def m08(ctx: Ctx) -> Bucket:
    return ctx.app.tracker  # 08: another resource


async def m09(note: Note) -> None:
    note.body = "changed"  # 09: records are frozen


NOTE = Note(body="x")  # 10: fields are missing
PATCH = NotePatch("done")  # 11: by name only
DONE = NotePatch(status="closed")  # 12: no such status
NULL = NotePatch(body=None)  # 13: null is not undefined


def m14() -> None:
    raise TooManyProjects(limit="20")  # 14: a typed field


def m15() -> None:
    raise TooManyProjects(most=20)  # 15: an unknown field


@comments.query
def m16(ctx: Ctx, after: str | None = None) -> Statement[Page[Note]]:
    return ctx.db.page(Note, sql("select * from notes"), by="id", after=after)  # 16: no limit


@notes.subscription  # 17: a subscription yields
async def m17(ctx: Ctx) -> Note:
    raise NotImplementedError


@notes.query  # 18: a plain def that returns a value
def m18(ctx: Ctx) -> list[Note]:
    return []
