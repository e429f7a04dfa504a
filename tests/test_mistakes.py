"""The common mistakes: each with its code, its place and its cure in development; a client in production hears none of it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from tenantry import Ctx, Record, Statement, Tenantry, Visitor, sql
from tenantry.db.migrate import Migration, push
from tenantry.dev.error_page import kinds
from tenantry.errors import BuilderError, NameClash, RoleTooStrong, TableNotProtected, TenantryError, UnknownRole
from tenantry.tenancy import guard
from tests.conftest import Cluster, Database, People
from tests.dev.browser import Browser, text_of
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
def built_with_sql(ctx: Ctx, title: str) -> Statement[list[Note]]:
    return ctx.db.all(Note, sql(f"select id, title, created_at from notes where title = '{title}'"))  # pyright: ignore[reportArgumentType] - the mistake


@notes.query
async def blocking(ctx: Ctx) -> None:
    time.sleep(0.4)


@notes.mutation
async def holding(ctx: Ctx) -> None:
    await ctx.db.run("insert into notes (title) values ('x')")
    await asyncio.sleep(0.4)


AT = r"tests/test_mistakes\.py:\d+"
MISTAKES = [
    (
        "notes.column",
        None,
        rf'SQL_REFUSED notes\.column \({AT}\): column "titel" does not exist\. Table notes has "title"\.',
        "Correct the name, or add the column: tenantry db new add_titel",
    ),
    (
        "notes.shape",
        None,
        r"ROW_SHAPE notes\.shape: Note needs created_at, the statement gives id, title\.",
        "Select created_at, or give Note.created_at a default.",
    ),
    (
        "notes.kind",
        {"id": "x"},
        rf"SQL_TYPE notes\.kind \({AT}\): \$1 is uuid in PostgreSQL, id is str\.",
        "Annotate id as UUID.",
    ),
    (
        "notes.table",
        None,
        r'MIGRATION_MISSING table "comments" does not exist here; migrations/0003_comments\.sql makes it and is not applied\.',
        "Run: tenantry db push",
    ),
    (
        "notes.forgotten",
        None,
        rf"STATEMENT_NOT_RUN notes\.forgotten made a statement \({AT}\) and never ran it\. All of the request was rolled back\.",
        "Write await before it, or return it.",
    ),
    (
        "notes.built",
        {"title": "x"},
        rf"SQL_BUILT_AT_RUN_TIME notes\.built \({AT}\) ran SQL that is not a constant: input could become SQL\. It was not sent\.",
        'Use $1, or: sql("… where title = {}", title)',
    ),
    (
        "notes.builtWithSql",
        {"title": "x"},
        rf"SQL_BUILT_AT_RUN_TIME notes\.builtWithSql \({AT}\) ran SQL that is not a constant: input could become SQL\. It was not sent\.",
        'Use $1, or: sql("… where title = {}", title)',
    ),
]
"""Procedure, input, the first line as it must be, the cure."""


@pytest.fixture(scope="session")
def with_titles(cluster18: Cluster) -> str:
    return cluster18.make_template("with_titles", [Migration("0001_notes.sql", NOTES)])


@pytest.fixture
def database(cluster: Cluster, with_titles: str) -> Iterator[Database]:
    with cluster.database(with_titles) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An application's migrations, one of them not applied."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0003_comments.sql").write_text(
        "-- the comments\ncreate table comments (id uuid primary key);\n"
    )
    return tmp_path / "migrations"


@pytest.mark.parametrize(("path", "given", "words", "cure"), MISTAKES, ids=[one[0] for one in MISTAKES])
async def test_a_request_tells_code_words_place_and_cure_in_terminal_and_browser(
    database: Database, people: People, folder: Path, caplog: pytest.LogCaptureFixture, path: str, given: object, words: str, cure: str
) -> None:  # fmt: skip
    async with opened(app, database, env="development", migrations=folder) as open_app:
        ann = Client(open_app, people.acme.member.token)
        send = ann.mutate if path == "notes.forgotten" else ann.query
        reply = await (send(path) if given is None else send(path, given))
        assert reply.error["message"] == "Something went wrong"
        help_said = reply.error["data"]["help"]
        page = text_of(await Browser(open_app).newest())
    first, told = help_said.split("\n", 1)
    assert re.fullmatch(words, first)
    assert told.splitlines()[0] == cure
    assert re.search(AT, help_said)
    logged = next(r.getMessage() for r in caplog.records if r.levelno == logging.ERROR)
    assert help_said in logged
    code, _, rest = first.partition(" ")
    for said in (code, rest, cure):
        assert said in page
    assert re.search(AT, page)
    if path != "notes.builtWithSql":
        assert f"def {path.partition('.')[2]}(" in page or "ctx.db." in page  # the source around the line


async def test_a_client_in_production_hears_the_request_id_and_nothing_else(
    database: Database, people: People, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(app, database, env="production", migrations=folder) as open_app:
        ann = Client(open_app, people.acme.member.token)
        for path, given, words, cure in MISTAKES:
            caplog.clear()
            send = ann.mutate if path == "notes.forgotten" else ann.query
            reply = await (send(path) if given is None else send(path, given))
            assert reply.error["message"] == "Something went wrong"
            assert set(reply.error["data"]) == {"code", "httpStatus", "path", "requestId"}
            logged = next(r.getMessage() for r in caplog.records if r.levelno == logging.ERROR)
            assert re.search(words, logged)
            assert cure in logged
            assert reply.error["data"]["requestId"] in logged
        caplog.clear()
        assert (await ann.query("notes.blocking")).status == 200
        await asyncio.sleep(0.1)
        assert not any("LOOP_BLOCKED" in record.getMessage() for record in caplog.records)


async def test_what_holds_the_loop_or_a_transaction_is_told_in_terminal_and_browser(
    database: Database, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(app, database, env="development") as open_app:
        ann = Client(open_app, people.acme.member.token)
        with caplog.at_level(logging.WARNING):
            await ann.query("notes.blocking")
            await asyncio.sleep(0.1)
            blocked_page = text_of(await Browser(open_app).newest())
            await ann.mutate("notes.holding")
            held_page = text_of(await Browser(open_app).newest())
    said = [record.getMessage() for record in caplog.records]
    blocked = next(one for one in said if one.startswith("LOOP_BLOCKED"))
    assert re.fullmatch(
        rf"LOOP_BLOCKED notes\.blocking held the worker for \d+ ms in time\.sleep \({AT}\); every other request waited\.\n"
        r"Use an async client, or: await ctx\.thread\(time\.sleep, 0\.4\)",
        blocked,
    )
    assert blocked in blocked_page
    held = next(one for one in said if one.startswith("TRANSACTION_HELD notes.holding has held a transaction idle"))
    assert held in held_page


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


SECTION = {
    "TABLE_NOT_PROTECTED": (
        'TABLE_NOT_PROTECTED 0007_tags.sql:1 makes table "tags", and no policy guards it: every tenant could read every row. Nothing was changed.',
        "Add: select tenantry.protect('tags');  If all tenants share it, read-only: select tenantry.share('tags', 'why');",
    ),
    "SQL_REFUSED": (
        'SQL_REFUSED notes.search (desk/notes.py:41): column "titel" does not exist. Table notes has "title".',
        "Correct the name, or add the column: tenantry db new add_titel",
    ),
    "ROW_SHAPE": (
        "ROW_SHAPE notes.search: Note needs created_at, the statement gives id, body.",
        "Select created_at, or give Note.created_at a default.",
    ),
    "SQL_TYPE": (
        "SQL_TYPE notes.search (desk/notes.py:41): $1 is uuid in PostgreSQL, project_id is str.",
        "Annotate project_id as UUID.",
    ),
    "MIGRATION_MISSING": (
        'MIGRATION_MISSING table "comments" does not exist here; migrations/0003_comments.sql makes it and is not applied.',
        "Run: tenantry db push",
    ),
    "UNKNOWN_ROLE": (
        'UNKNOWN_ROLE notes.add asks for role "editor"; there are owner, admin, member.',
        'For finer rights: app.permission("notes.add", least="member", says="…"), then can="notes.add"',
    ),
    "ROLE_TOO_STRONG": (
        'ROLE_TOO_STRONG DATABASE_URL signs in as "postgres", a superuser, whom no policy binds. Not serving.',
        "Use platform: tenantry db url",
    ),
    "STATEMENT_NOT_RUN": (
        "STATEMENT_NOT_RUN notes.add made a statement (desk/notes.py:58) and never ran it. All of the request was rolled back.",
        "Write await before it, or return it.",
    ),
    "LOOP_BLOCKED": (
        "LOOP_BLOCKED notes.escalate held the worker for 412 ms in requests.get (desk/notes.py:63); every other request waited.",
        "Use an async client, or: await ctx.thread(requests.get, url)",
    ),
    "NAME_CLASH": (
        "NAME_CLASH notes.add is defined at desk/notes.py:52 and desk/extra.py:9.",
        'Rename one, or give it name="…".',
    ),
    "SQL_BUILT_AT_RUN_TIME": (
        "SQL_BUILT_AT_RUN_TIME notes.find (desk/notes.py:33) ran SQL that is not a constant: input could become SQL. It was not sent.",
        'Use $1, or: sql("… where title = {}", title)',
    ),
}
"""The words that were promised, first line and second."""
PAGES = Path(__file__).parents[1] / "docs" / "reference" / "errors"


@pytest.mark.parametrize("code", SECTION)
async def test_the_docs_page_has_the_words_and_so_has_the_page_in_the_browser(code: str, database: Database) -> None:
    kind = kinds()[code]
    assert str(kind(**kind.example)).splitlines()[:2] == list(SECTION[code])
    page = (PAGES / f"{code}.md").read_text("utf-8")
    async with opened(app, database, env="development") as open_app:
        shown = text_of(await Browser(open_app).get(f"/_dev/errors/{code}"))
    for line in SECTION[code]:
        assert line in page
        assert line in shown


def test_a_row_of_another_tenant_has_its_page() -> None:
    page = (PAGES / "NOT_FOUND.md").read_text("utf-8")
    assert "The row exists, in tenant globex; you called as ann@acme.example, in acme." in page
    assert "pytest.raises(NotFound)." in page


def test_a_clash_names_both_places() -> None:
    router = Tenantry().router("notes")

    @router.query
    async def add(ctx: Ctx) -> None: ...

    with pytest.raises(NameClash) as clash:

        @router.mutation(name="add")
        async def other(ctx: Ctx) -> None: ...

    assert re.fullmatch(
        rf"NAME_CLASH notes\.add is defined at {AT} and {AT}\.\nRename one, or give it name=\"…\"\.", str(clash.value)
    )


def test_production_does_not_start_over_a_table_that_is_not_there(database: Database, tmp_path: Path) -> None:
    from tests.processes.place import placed

    with placed(database, DATABASE_ADMIN_URL=database.superuser.reveal()) as place:
        (place.folder / "migrations" / "0003_comments.sql").write_text("create table comments (id uuid primary key);")
        refused = place.command("serve")
    assert refused.returncode == 1
    assert SECTION["MIGRATION_MISSING"][0] in refused.stderr
    assert SECTION["MIGRATION_MISSING"][1] in refused.stderr


def test_every_code_has_its_page() -> None:
    def every(base: type[TenantryError]) -> list[type[TenantryError]]:
        return [kind for one in base.__subclasses__() for kind in (one, *every(one))]

    missing = {kind.code for kind in every(TenantryError) if kind.__module__ == "tenantry.errors"}
    assert {code for code in missing if not (PAGES / f"{code}.md").exists()} == set()
    assert BuilderError in every(TenantryError)
