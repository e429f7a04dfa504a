"""Contexts of a router's own, middleware, admission, and what answers carry besides: around the call, in the order of declaration."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry import (
    Call,
    Ctx,
    Forbidden,
    Next,
    NotFound,
    Record,
    ResponseInfo,
    ResponseMeta,
    Statement,
    Tenantry,
    Visitor,
)
from tests.conftest import Database, People
from tests.harness import Client, opened


class Planned(Ctx[Any]):
    plan: str


async def planned(ctx: Ctx[Any]) -> Planned:
    return ctx.extend(Planned, plan=await ctx.db.one(str, "select tenantry.role()"))


def application(trail: list[str]) -> Tenantry:
    app = Tenantry()

    @app.middleware
    async def outer(ctx: Visitor[Any], call: Call, next: Next) -> object:
        trail.append(f"outer {call.type} {call.path}")
        try:
            return await next()
        finally:
            trail.append("outer done")

    own = app.router("own", ctx=planned)

    @own.middleware
    async def inner(ctx: Planned, call: Call, next: Next) -> object:
        if ctx.plan == "member":
            raise Forbidden("not on your plan")
        value = await next()
        trail.append(f"inner saw {value}")
        return value

    @own.query
    async def plan(ctx: Planned) -> str:
        return ctx.plan

    plain = app.router("plain")

    @plain.query
    def tenant(ctx: Ctx[Any]) -> Statement[str]:
        return ctx.db.one(str, "select tenantry.role()")

    @plain.query(max_age=60)
    def cacheable(ctx: Ctx[Any]) -> Statement[int]:
        return ctx.db.one(int, "select 1")

    @app.admission
    async def admit(visitor: Visitor[Any]) -> None:
        trail.append("admitted")
        if visitor.header("x-evil"):
            raise NotFound("gone away")

    class More(Record):
        help_url: str

    @app.error_data
    def more(error: Exception, path: str | None) -> More:
        return More(help_url=f"/help/{path}")

    @app.response_meta
    def meta(info: ResponseInfo) -> ResponseMeta | None:
        return ResponseMeta(status=202, headers=[("x-a", "1"), ("x-a", "2")]) if "plain.tenant" in info.paths else None

    return app


async def test_around_the_call_in_the_order_of_declaration(database: Database, people: People) -> None:
    trail: list[str] = []
    async with opened(application(trail), database) as app:
        reply = await Client(app, people.acme.owner.token).query("own.plan")
    assert reply.data == "owner"
    assert trail == ["admitted", "outer query own.plan", "inner saw owner", "outer done"]


async def test_what_a_middleware_raises_is_the_answer(database: Database, people: People) -> None:
    trail: list[str] = []
    async with opened(application(trail), database) as app:
        reply = await Client(app, people.acme.member.token).query("own.plan")
    assert (reply.status, reply.error["message"], trail[-1]) == (403, "not on your plan", "outer done")


async def test_a_statement_with_middleware_around_it_gives_its_rows(database: Database, people: People) -> None:
    async with opened(application([]), database) as app:
        reply = await Client(app, people.acme.admin.token).query("plain.tenant")
    assert (reply.status, reply.data) == (202, "admin")
    assert [value for name, value in reply.headers if name == b"x-a"] == [b"1", b"2"]


async def test_admission_is_asked_once_a_request_and_fails_all_of_its_calls(database: Database, people: People) -> None:
    trail: list[str] = []
    async with opened(application(trail), database) as app:
        client = Client(app, people.acme.admin.token, {"x-evil": "1"})
        reply = await client.send("GET", "/trpc/plain.tenant,own.plan,no.such", "batch=1")
    assert [item["error"]["message"] for item in reply.json[:2]] == ["gone away", "gone away"]
    assert trail == ["admitted"]


async def test_errors_carry_what_the_application_adds(database: Database) -> None:
    async with opened(application([]), database, env="production") as app:
        reply = await Client(app).query("no.such")
    assert reply.error["data"] == {
        "helpUrl": "/help/no.such",
        "code": "NOT_FOUND",
        "httpStatus": 404,
        "path": "no.such",
    }


@pytest.mark.parametrize(("path", "caching"), [("plain.cacheable", "private, max-age=60"), ("own.plan", "no-store")])
async def test_answers_are_private_unless_said(database: Database, people: People, path: str, caching: str) -> None:
    async with opened(application([]), database) as app:
        reply = await Client(app, people.acme.owner.token).query(path)
    assert reply.header("cache-control") == caching
