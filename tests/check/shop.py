"""An application with one mistake in each handler, as somebody would make it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from tenantry import UNSET, Ctx, Page, Record, Statement, Tenantry, Unset, changes, sql
from tests.check import shelves

app = Tenantry()
items = app.router("items")
COLUMNS = sql("id, title, sold_at")


class Item(Record):
    id: UUID
    title: str
    sold_at: datetime | None


class Strict(Record):
    id: UUID
    sold_at: datetime


class Sized(Record):
    id: UUID
    size: Literal["small", "large"]
    colour: Literal["red", "green"]


class Patch(Record):
    title: str | Unset = UNSET
    titel: str | Unset = UNSET


@items.query
def good(ctx: Ctx, id: UUID, title: str | None = None, after: str | None = None) -> Statement[Page[Item]]:
    q = sql("select {} from items where id <> {}", COLUMNS, id)
    if title is not None:
        q += sql(" and title = {}", title)
    return ctx.db.page(Item, q, by="title, id", after=after, limit=10)


@items.query
def column(ctx: Ctx) -> Statement[list[Item]]:
    return ctx.db.all(Item, "select id, titel, sold_at from items")


@items.query
def row(ctx: Ctx) -> Statement[list[Item]]:
    return ctx.db.all(Item, "select id, sold_at from items")


@items.query
def parameter(ctx: Ctx, id: str) -> Statement[Item]:
    return ctx.db.one(Item, "select id, title, sold_at from items where id = $1", id)


@items.query
def branch(ctx: Ctx, title: str | None = None) -> Statement[list[Item]]:
    q = sql("select {} from items", COLUMNS)
    if title is not None:
        q += sql(" where tilte = {}", title)
    return ctx.db.all(Item, q)


@items.query
def missing(ctx: Ctx) -> Statement[int]:
    return ctx.db.one(int, "select count(*) from orders")


@items.query
def null(ctx: Ctx) -> Statement[list[Strict]]:
    return ctx.db.all(Strict, "select id, sold_at from items")


@items.query
def literal(ctx: Ctx) -> Statement[list[Sized]]:
    return ctx.db.all(Sized, "select id, size, colour from items")


@items.query
async def writes(ctx: Ctx) -> int:
    return await ctx.db.run("delete from items")


@items.mutation
async def patched(ctx: Ctx, id: UUID, patch: Patch) -> Item:
    return await ctx.db.one(Item, sql("update items set {} where id = {} returning {}", changes(patch), id, COLUMNS))


@items.mutation
async def short(ctx: Ctx, id: str) -> None:
    async with ctx.transaction() as tx:
        await tx.run("update items set title = 'x' where id = $1", id)


@items.query
def paged(ctx: Ctx, after: str | None = None) -> Statement[Page[Item]]:
    return ctx.db.page(Item, "select id, title, sold_at from items", by="sold_at desc", after=after, limit=10)


ORDERS = {"title": sql("title, id"), "size": sql("sise, id")}


@items.query
def ordered(ctx: Ctx, by: Literal["title", "size"] = "title") -> Statement[list[Item]]:
    return ctx.db.all(Item, sql("select {} from items order by {}", COLUMNS, ORDERS[by]))


@items.query
async def elsewhere(ctx: Ctx) -> int:
    return await shelves.count(ctx)


@items.query
def left(ctx: Ctx) -> Statement[list[Item]]:
    text = "select i.id, o.title, i.sold_at from items i left join items o on o.sold_at > i.sold_at"
    return ctx.db.all(Item, text)


@items.query
def left_but_there(ctx: Ctx) -> Statement[list[Item]]:
    text = (
        "select i.id, o.title, o.sold_at from items i left join items o on o.sold_at > i.sold_at where o.id is not null"
    )
    return ctx.db.all(Item, text)


@items.query
def left_of_null(ctx: Ctx) -> Statement[list[Strict]]:
    text = "select i.id, i.sold_at from items i left join items o on o.sold_at > i.sold_at"
    return ctx.db.all(Strict, text)


async def helper(ctx: Ctx) -> int:
    return await ctx.db.one(int, "select count(*) from itmes")


@items.query
async def hidden(ctx: Ctx) -> int:
    return await ctx.db.one(int, sql.trusted("select " + str(1))) + await helper(ctx)


@items.query
def wanted(ctx: Ctx, title: str) -> Statement[list[Item]]:
    return ctx.db.all(Item, f"select id, title, sold_at from items where title = '{title}'")  # pyright: ignore[reportArgumentType] - the mistake


@items.query
def put_together(ctx: Ctx, title: str) -> Statement[list[Item]]:
    text = "select id, title, sold_at from items"
    text += " where title = '%s'" % title  # noqa: UP031 - the mistake
    return ctx.db.all(Item, text)  # pyright: ignore[reportArgumentType] - the mistake


@items.mutation
async def forgotten(ctx: Ctx) -> None:
    ctx.db.run("delete from items")  # pyright: ignore[reportUnusedCoroutine] - the mistake


@items.query
def nowhere(ctx: Ctx) -> Statement[int]:
    return ctx.db.one(int, f"select count(*) from inventions")  # noqa: F541 - an f-string without a value is a constant
