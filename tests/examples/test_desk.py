"""The whole API, as the example uses it, and the connection that is lent to ordinary psycopg and to SQLAlchemy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

from tenantry import Ctx, Message, Meta, Record, Secret, Tenantry
from tenantry.errors import ConnectionLent, NotBuiltYet
from tests.conftest import Cluster, Database, People
from tests.examples.desk_place import desk, migrations
from tests.harness import Client, opened


@pytest.fixture(scope="session")
def desk_template(cluster18: Cluster) -> str:
    return cluster18.make_template("desk", migrations())


@pytest.fixture
def database(cluster: Cluster, desk_template: str) -> Iterator[Database]:
    with cluster.database(desk_template) as made:
        made.admin.execute(
            "insert into tenantry.permissions (name, least, says) values ('projects.close', 'admin', 'Close projects')"
        )
        yield made


@pytest.fixture
async def app(database: Database, people: People) -> AsyncIterator[Tenantry[Any]]:
    app = desk().app
    assert app.settings_type is desk().Settings  # by the annotation of the factory
    given = database.settings()
    own = {name: getattr(given, name) for name in given.__struct_fields__}
    await app.open(desk().Settings(**own, tracker_token=Secret("t"), bucket=str(database.home / "files")))
    try:
        yield app
    finally:
        await app.close()


async def test_the_whole_of_desk(app: Tenantry[Any], people: People) -> None:
    admin, member = Client(app, people.acme.admin.token), Client(app, people.acme.member.token)
    project = (await admin.mutate("projects.create", {"name": "Launch"})).data
    note = (await member.mutate("notes.add", {"projectId": project["id"], "body": "Book the hall"})).data
    assert note["status"] == "open" and note["dueAt"] is None and note["projectId"] == project["id"]
    found = (await member.query("notes.search", {"projectId": project["id"], "status": "open"})).data
    assert [one["id"] for one in found["items"]] == [note["id"]] and found["nextCursor"] is None

    patched = (await member.mutate("notes.update", {"id": note["id"], "patch": {"status": "done"}})).data
    assert patched["status"] == "done" and patched["body"] == "Book the hall"
    nothing = await member.mutate("notes.update", {"id": note["id"], "patch": {}})
    assert nothing.code == "BAD_REQUEST" and nothing.error["message"] == "Nothing to change"

    assert (await member.mutate("projects.close", {"id": project["id"]})).code == "FORBIDDEN"
    assert (await admin.mutate("projects.close", {"id": project["id"]})).data["name"] == "Launch"
    assert (await member.mutate("notes.escalate", {"id": note["id"]})).data == "DESK-1"
    assert (await admin.query("notes.asCsv")).data == f"{note['id']},Book the hall\n"
    assert (await member.query("notes.asCsv")).code == "FORBIDDEN"
    eve = Client(app, people.globex.owner.token)
    assert (await eve.mutate("notes.update", {"id": note["id"], "patch": {"body": "x"}})).error[
        "message"
    ] == "No such note"
    assert (await eve.query("notes.asCsv")).data == ""


async def test_the_plan_of_twenty_projects_is_a_typed_problem(
    app: Tenantry[Any], people: People, database: Database
) -> None:
    admin = Client(app, people.acme.admin.token)
    made = await asyncio.gather(*(admin.mutate("projects.create", {"name": f"P{n}"}) for n in range(24)))
    refused = [one for one in made if one.status != 200]
    assert len(refused) == 4 and database.value("select count(*) from projects") == 20
    assert refused[0].error["data"]["reason"] == "TooManyProjects" and refused[0].error["data"]["limit"] == 20


async def test_every_fault_of_a_nested_input_is_told_at_once(app: Tenantry[Any], people: People) -> None:
    member = Client(app, people.acme.member.token)
    reply = await member.mutate("notes.update", {"id": "no", "patch": {"body": "", "status": "gone", "dueAt": None}})
    assert [issue["path"] for issue in reply.error["data"]["issues"]] == [
        ["id"],
        ["patch", "body"],
        ["patch", "status"],
    ]


# ------------------------------------------------------------------ lent connections

lending = Tenantry()
raw = lending.router("raw")


class Wish(Record):
    name: Annotated[str, Meta(max_length=3), Message("Pick a shorter name")]


@raw.mutation
async def wish(
    ctx: Ctx, wishes: list[Wish], name: Annotated[str, Meta(min_length=2), Message("Two letters at least")]
) -> int:
    return await ctx.db.one(int, "select 1")


@raw.mutation
async def poison(ctx: Ctx) -> int:
    async with ctx.psycopg() as conn:
        await conn.execute("set search_path = pg_temp; listen others; set app.behind = 'behind'")
        async with conn.transaction():
            await conn.execute("insert into public.projects (name) values ('by psycopg')")
        found = await (await conn.execute("select count(*) from public.projects")).fetchone()
    assert found is not None
    return found[0]


@raw.query
async def left(ctx: Ctx) -> list[str | None]:
    return list(
        await ctx.db.one(
            tuple,
            "select current_setting('search_path'), coalesce(current_setting('app.behind', true), ''),"
            " (select count(*)::text from pg_listening_channels())",
        )
    )


@raw.mutation
async def failing(ctx: Ctx, how: str) -> None:
    await ctx.db.run("insert into projects (name) values ('before')")
    async with ctx.psycopg() as conn:
        await conn.execute("insert into projects (name) values ('inside')")
        if how == "commit":
            await conn.commit()
        elif how == "sql":
            await conn.execute("commit")
        elif how == "error":
            try:
                await conn.execute("select 1 / 0")
            except Exception:
                pass
        elif how == "db":
            await ctx.db.run("select 1")
        else:
            message = "the handler"
            raise RuntimeError(message)


@raw.mutation
async def by_orm(ctx: Ctx, fail: bool = False) -> int:
    from sqlalchemy import text

    async with ctx.sqlalchemy() as session:
        await session.execute(text("insert into projects (name) values (:name)"), {"name": "by SQLAlchemy"})
        await session.commit()
        found = await session.execute(text("select count(*) from projects"))
        if fail:
            message = "the handler"
            raise RuntimeError(message)
        return found.scalar_one()


async def test_a_lent_connection_is_cleaned_and_used_again(database: Database, people: People) -> None:
    async with opened(lending, database, pool_size=1, fast_lane=False) as app:
        acme, globex = Client(app, people.acme.member.token), Client(app, people.globex.member.token)
        before = database.value("select string_agg(pid::text, ',') from pg_stat_activity where usename = 'platform'")
        assert (await acme.mutate("raw.poison")).data == 1
        assert (await globex.query("raw.left")).data == ["public", "", "0"]
        assert (await acme.mutate("raw.poison")).data == 2
        assert database.value("select count(*) from projects") == 2
        after = database.value("select string_agg(pid::text, ',') from pg_stat_activity where usename = 'platform'")
        assert set(before.split(",")) & set(after.split(","))  # health has connections of its own, which come and go


@pytest.mark.parametrize("how", ["commit", "sql", "error", "db", "raise"])
async def test_a_failure_with_a_lent_connection_changes_nothing(how: str, database: Database, people: People) -> None:
    async with opened(lending, database, pool_size=1) as app:
        acme = Client(app, people.acme.member.token)
        assert (await acme.mutate("raw.failing", {"how": how})).code == "INTERNAL_SERVER_ERROR"
        # A COMMIT in the builder's own SQL is PostgreSQL's to obey: it is told, and cannot be undone.
        assert database.value("select count(*) from projects") == (2 if how == "sql" else 0)
        assert (await acme.query("raw.left")).data == ["public", "", "0"]


async def test_sqlalchemy_works_in_the_tenant_s_transaction(database: Database, people: People) -> None:
    pytest.importorskip("sqlalchemy")
    async with opened(lending, database, pool_size=2) as app:
        acme, globex = Client(app, people.acme.member.token), Client(app, people.globex.member.token)
        assert (await acme.mutate("raw.byOrm")).data == 1
        assert (await globex.mutate("raw.byOrm")).data == 1
        assert (await acme.mutate("raw.byOrm", {"fail": True})).code == "INTERNAL_SERVER_ERROR"
        assert (await acme.mutate("raw.byOrm")).data == 2


async def test_a_message_speaks_instead_of_the_library(database: Database, people: People) -> None:
    async with opened(lending, database) as app:
        acme = Client(app, people.acme.member.token)
        reply = await acme.mutate("raw.wish", {"wishes": [{"name": "abc"}, {"name": "abcd"}, {}], "name": "x"})
        assert [(i["path"], i["message"]) for i in reply.error["data"]["issues"]] == [
            (["wishes", 1, "name"], "Pick a shorter name"),
            (["wishes", 2, "name"], "Pick a shorter name"),
            (["name"], "Two letters at least"),
        ]


def test_the_names_of_jobs_are_kept() -> None:
    with pytest.raises(NotBuiltYet):
        lending.job(print)
    with pytest.raises(NotBuiltYet):
        lending.every(1)
    assert ConnectionLent.remedy
