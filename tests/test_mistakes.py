"""The common mistakes: each with its code, its place and its cure in development; a client in production hears none of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from tenantry import Ctx, Record, Statement, Tenantry, Visitor
from tenantry.db.migrate import Migration, push
from tenantry.errors import BuilderError, NameClash, RoleTooStrong, TableNotProtected, TenantryError, UnknownRole
from tenantry.tenancy import guard
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened

NOTES = """
create table notes (id uuid primary key default gen_random_uuid(), title text not null, created_at timestamptz not null default now());
select tenantry.protect('notes');
"""
app = Tenantry()
notes = app.router("notes")


class Note(Record):
    id: UUID
    title: str
    created_at: datetime


@notes.query
def column(ctx: Ctx) -> Statement[list[Note]]:
    return ctx.db.all(Note, "select id, titel, created_at from notes")


@notes.query
def shape(ctx: Ctx) -> Statement[list[Note]]:
    return ctx.db.all(Note, "select id, title from notes")


@notes.query
def kind(ctx: Ctx, id: str) -> Statement[Note]:
    return ctx.db.one(Note, "select id, title, created_at from notes where id = $1", id)


@notes.query
def table(ctx: Ctx) -> Statement[int]:
    return ctx.db.one(int, "select count(*) from comments")


@notes.mutation
async def forgotten(ctx: Ctx) -> None:
    ctx.db.run("delete from notes")  # pyright: ignore[reportUnusedCoroutine] - the mistake


@notes.query
def built(ctx: Ctx, title: str) -> Statement[list[Note]]:
    return ctx.db.all(Note, f"select id, title, created_at from notes where title = '{title}'")  # pyright: ignore[reportArgumentType] - the mistake


@notes.query
async def blocking(ctx: Ctx) -> None:
    time.sleep(0.4)


@notes.mutation
async def holding(ctx: Ctx) -> None:
    await ctx.db.run("insert into notes (title) values ('x')")
    await asyncio.sleep(0.4)


MISTAKES = [
    (
        "notes.column",
        None,
        "SQL_REFUSED",
        'column "titel" does not exist',
        "Correct the name, or add the column: tenantry db new add_titel",
    ),
    (
        "notes.shape",
        None,
        "ROW_SHAPE",
        "Note needs created_at, the statement gives id, title.",
        "Select created_at, or give Note.created_at a default.",
    ),
    ("notes.kind", {"id": "x"}, "SQL_TYPE", "$1 is uuid in PostgreSQL, id is str.", "Annotate id as UUID."),
    ("notes.table", None, "MIGRATION_MISSING", 'table "comments" does not exist here', "Run: tenantry db push"),
    ("notes.forgotten", None, "STATEMENT_NOT_RUN", "and never ran it", "Write await before it, or return it."),
    (
        "notes.built",
        {"title": "x"},
        "SQL_BUILT_AT_RUN_TIME",
        "ran SQL that is not a constant",
        'sql("… where title = {}", title)',
    ),
]


@pytest.fixture(scope="session")
def with_titles(cluster18: Cluster) -> str:
    return cluster18.make_template("with_titles", [Migration("0001_notes.sql", NOTES)])


@pytest.fixture
def database(cluster: Cluster, with_titles: str) -> Iterator[Database]:
    with cluster.database(with_titles) as made:
        yield made


async def test_a_request_tells_code_words_place_and_cure_in_development_only(
    database: Database, people: People
) -> None:
    for env in ("development", "production"):
        async with opened(app, database, env=env) as open_app:
            ann = Client(open_app, people.acme.member.token)
            for path, given, code, words, cure in MISTAKES:
                send = ann.mutate if path == "notes.forgotten" else ann.query
                reply = await (send(path) if given is None else send(path, given))
                assert reply.error["message"] == "Something went wrong"
                if env == "production":
                    assert set(reply.error["data"]) == {"code", "httpStatus", "path", "requestId"}
                    continue
                said, told = reply.error["data"]["help"].split("\n", 1)
                assert said.startswith(code)
                assert words in said
                assert cure in told
                if code in ("SQL_REFUSED", "SQL_TYPE", "STATEMENT_NOT_RUN", "SQL_BUILT_AT_RUN_TIME"):
                    assert "tests/test_mistakes.py:" in said


async def test_what_holds_the_loop_or_a_transaction_is_told_in_development(
    database: Database, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(app, database, env="development") as open_app:
        ann = Client(open_app, people.acme.member.token)
        with caplog.at_level(logging.WARNING):
            await ann.query("notes.blocking")
            await asyncio.sleep(0.1)
            await ann.mutate("notes.holding")
    said = [record.getMessage() for record in caplog.records]
    blocked = next(one for one in said if one.startswith("LOOP_BLOCKED"))
    assert "notes.blocking held the worker for" in blocked
    assert "in time.sleep (tests/test_mistakes.py:" in blocked
    assert blocked.endswith("await ctx.thread(time.sleep, 0.4)")
    assert any(one.startswith("TRANSACTION_HELD notes.holding has held a transaction idle") for one in said)


def test_what_is_wrong_by_definition_stops_the_start() -> None:
    faulty = Tenantry()
    router = faulty.router("notes")
    with pytest.raises(UnknownRole) as role:

        @router.mutation(role="editor")
        async def add(ctx: Ctx) -> None: ...

    assert str(role.value).startswith(
        'UNKNOWN_ROLE notes.add asks for role "editor"; there are owner, admin, member.\n'
    )
    assert 'app.permission("notes.add", least="member"' in str(role.value)
    with pytest.raises(NameClash, match="NAME_CLASH"):

        @router.query
        async def later(ctx: Ctx, due_at: str, dueAt: str) -> None: ...

    with pytest.raises(NameClash):

        @router.query(name="then", public=True)
        async def promise(ctx: Visitor) -> None: ...


def test_a_table_without_protection_and_a_role_without_policies_are_refused(database: Database) -> None:
    with pytest.raises(TableNotProtected) as table_error:
        push(database.superuser, [Migration("0007_tags.sql", "create table tags (id uuid primary key);")])
    assert str(table_error.value).startswith(
        'TABLE_NOT_PROTECTED 0007_tags.sql:1 makes table "tags", and no policy guards it'
    )
    assert "select tenantry.protect('tags');" in str(table_error.value)
    with pytest.raises(RoleTooStrong, match="ROLE_TOO_STRONG DATABASE_URL signs in as"):
        guard.check(database.settings(database_url=database.superuser))


def test_every_code_has_its_page() -> None:
    folder = Path(__file__).parents[1] / "docs" / "reference" / "errors"

    def kinds(base: type[TenantryError]) -> list[type[TenantryError]]:
        return [kind for one in base.__subclasses__() for kind in (one, *kinds(one))]

    missing = {kind.code for kind in kinds(TenantryError) if kind.__module__ == "tenantry.errors"}
    assert {code for code in missing if not (folder / f"{code}.md").exists()} == set()
    assert BuilderError in kinds(TenantryError)
