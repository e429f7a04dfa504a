"""The pages of /_dev over a real database: call as somebody, see the answer, the statements, their plan, and what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tenantry import Ctx, File, Record, Statement, Tenantry, Visitor
from tenantry.db.migrate import Migration
from tests.conftest import Cluster, Database, People
from tests.dev.browser import Browser, person, text_of
from tests.harness import Client, opened

NOTES = """
create table notes (id uuid primary key default gen_random_uuid(), title text not null);
select tenantry.protect('notes');
"""
app = Tenantry(transformer="superjson")
notes = app.router("notes")


class Note(Record):
    """A note of the tenant."""

    id: UUID
    title: str


@notes.query
def all_of(ctx: Ctx) -> Statement[list[Note]]:
    """Every note.

    In the order of their titles.
    """
    return ctx.db.all(Note, "select id, title from notes order by title")


@notes.mutation
def add(ctx: Ctx, title: str) -> Statement[Note]:
    return ctx.db.one(Note, "insert into notes (title) values ($1) returning id, title", title)


@notes.query
async def twice(ctx: Ctx) -> int:
    first = await ctx.db.one(int, "select count(*)::int from notes")
    async with ctx.psycopg() as connection:
        del connection
    return first + await ctx.db.one(int, "select 1 + $1::int", 1)


@notes.mutation
async def blocks(ctx: Ctx) -> int:
    async with ctx.transaction() as tx:
        await tx.run("insert into notes (title) values ($1)", "first")
    async with ctx.transaction() as tx:
        return await tx.run("insert into notes (title) values ($1)", "second")


@notes.query
async def breaks(ctx: Ctx) -> int:
    return 1 // int(await ctx.db.one(int, "select 0"))


@notes.mutation
async def attach(ctx: Ctx, title: str, file: File) -> int:
    size = sum([len(chunk) async for chunk in file])
    await ctx.db.run("insert into notes (title) values ($1)", title)
    return size


@notes.query(public=True)
async def hello(ctx: Visitor, name: str = "you") -> str:
    return f"Hello, {name}"


@pytest.fixture(scope="session")
def with_notes(cluster18: Cluster) -> str:
    return cluster18.make_template("dev_notes", [Migration("0001_notes.sql", NOTES)])


@pytest.fixture
def database(cluster: Cluster, with_notes: str) -> Iterator[Database]:
    with cluster.database(with_notes) as made:
        yield made


@pytest.fixture
async def browser(database: Database, people: People) -> AsyncIterator[Browser]:
    home = database.settings().home
    home.mkdir(parents=True, exist_ok=True)
    tokens = {p.email: p.token for p in (people.acme.owner, people.acme.member, people.globex.member)}
    sessions = [
        {"email": people.globex.owner.email, "token": people.globex.owner.token},
        {"email": "gone@acme.example", "token": "ended"},
    ]
    (home / "serve.json").write_text(json.dumps({"tokens": tokens, "sessions": sessions}))
    async with opened(app, database, env="development") as open_app:
        yield Browser(open_app)


async def test_the_list_has_every_procedure_with_its_type_who_may_and_what_it_does(browser: Browser) -> None:
    page = await browser.get("/_dev")
    said = text_of(page)
    assert "notes.allOf" in said
    assert "Every note." in said
    assert "users.list" in said
    assert page.index("notes.allOf") < page.index("users.list")
    assert "<script src=" in page
    assert "onclick" not in page
    assert "style=" not in page


async def test_a_procedure_is_called_as_whoever_is_chosen_and_no_token_is_on_a_page(
    browser: Browser, people: People
) -> None:
    page = await browser.get("/_dev/p/notes.add")
    assert "gone@acme.example" not in page
    amy, gem = person(page, people.acme.member.email), person(page, people.globex.member.email)
    assert person(page, people.globex.owner.email)
    made = await browser.post("/_dev/p/notes.add", {".as": amy, "title": "<script>alert(1)</script>"})
    assert "<script>alert" not in made
    assert '"title": "<script>alert(1)</script>"' in text_of(made)
    assert "alert(1)" in text_of(await browser.post("/_dev/p/notes.allOf", {".as": amy}))
    assert "alert(1)" not in text_of(await browser.post("/_dev/p/notes.allOf", {".as": gem}))
    assert "UNAUTHORIZED" in text_of(await browser.post("/_dev/p/notes.allOf", {".as": "nobody"}))
    everything = made + await browser.get("/_dev/requests") + await browser.newest()
    for one in (people.acme.owner, people.acme.member, people.globex.member, people.globex.owner):
        assert one.token not in everything


async def test_a_session_that_goes_on_elsewhere_stays_in_the_list(
    browser: Browser, people: People, database: Database
) -> None:
    email = people.acme.member.email
    database.add_member("globex", email, "member")
    amy = person(await browser.get("/_dev/p/tenants.switch"), email)
    assert '"slug": "globex"' in text_of(await browser.post("/_dev/p/tenants.switch", {".as": amy, "tenant": "globex"}))
    page = await browser.get("/_dev/p/notes.allOf")
    assert person(page, email) != amy
    assert "globex" in page.partition(email)[0].rpartition("<optgroup")[2]
    kept = (database.home / "serve.json").read_text()
    assert people.acme.member.token not in kept
    assert (database.home / "serve.json").stat().st_mode & 0o077 == 0


async def test_whom_was_chosen_is_remembered_by_a_cookie_without_a_secret(browser: Browser, people: People) -> None:
    amy = person(await browser.get("/_dev/p/notes.allOf"), people.acme.member.email)
    headers = {"origin": f"http://{browser.host}", "content-type": "application/x-www-form-urlencoded"}
    reply = await browser.send("POST", "/_dev/p/notes.allOf", f".as={amy}".encode(), headers)
    cookie = dict(reply.headers)[b"set-cookie"].decode()
    assert cookie == f"tenantry_dev_as={amy}; Path=/_dev; HttpOnly; SameSite=Strict"
    page = await browser.get("/_dev/p/notes.add", cookie=cookie.partition(";")[0])
    assert f'<option value="{amy}" selected>' in page


async def test_the_last_requests_have_their_statements_whoever_asked(browser: Browser, people: People) -> None:
    front_end = Client(browser.app, people.acme.member.token)
    await front_end.query("notes.twice")
    said = text_of(await browser.newest())
    assert "select count(*)::int from notes" in said
    assert "select 1 + $1::int" in said
    assert "$1 = 1" in said
    assert "dev/test_desk.py:" in said
    assert f"as {people.acme.member.email} in acme" in said
    await front_end.mutate("notes.blocks")
    said = text_of(await browser.newest())
    assert "$1 = 'first'" in said
    assert "$1 = 'second'" in said
    await front_end.query("health.liveness")
    assert "health.liveness" not in (await browser.get("/_dev/requests")).partition("<main")[2]


@notes.query
async def kinds(
    ctx: Ctx, at: datetime, on: date, share: float, is_open: bool, id: UUID, word: str | None = None
) -> int:
    text = "select 1 where $1::timestamptz is null or $2::date is null or $3::float8 is null or $4::bool or $5::uuid is null or $6::text is null"
    return await ctx.db.one(int, text, at, on, share, is_open, id, word)


async def test_values_are_shown_as_they_were_written(browser: Browser, people: People) -> None:
    given = {
        "at": "2026-01-31T12:00:00Z",
        "on": "2026-02-01",
        "share": 0.5,
        "isOpen": True,
        "id": "0f9a1c9e-5d67-4c0b-8f3f-0d6f1a1c2b3d",
    }
    reply = await Client(browser.app, people.acme.member.token).query(
        "notes.kinds", {"json": given, "meta": {"values": {"at": ["Date"]}}}
    )
    assert reply.status == 200, reply.json
    said = text_of(await browser.newest())
    for value in (
        "$1 = '2026-01-31T12:00:00+00:00'",
        "$2 = '2026-02-01'",
        "$3 = 0.5",
        "$4 = true",
        f"$5 = '{given['id']}'",
        "$6 = null",
    ):
        assert value in said


async def test_the_page_is_there_under_a_stock_asgi_server_too(browser: Browser) -> None:
    import httpx

    transport = httpx.ASGITransport(app=browser.app, client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        assert "notes.allOf" in (await http.get("/_dev")).text
        sent = await http.post(
            "/_dev/p/notes.hello", data={".as": "nobody", "name": "Eve"}, headers={"origin": "http://127.0.0.1:8000"}
        )
        assert "Hello, Eve" in sent.text
        assert (await http.post("/_dev/p/notes.hello", data={"name": "Eve"})).status_code == 403
        assert (await http.head("/_dev")).status_code == 200
    transport = httpx.ASGITransport(app=browser.app, client=("10.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        assert (await http.get("/_dev")).status_code == 404


async def test_a_plan_is_asked_for_as_that_person_and_undone(
    browser: Browser, people: People, database: Database
) -> None:
    await Client(browser.app, people.acme.member.token).mutate("notes.add", {"json": {"title": "once"}})
    page = await browser.newest()
    path = page.partition('action="/_dev/requests/')[2].partition("#")[0]
    planned = text_of(await browser.post(f"/_dev/requests/{path}", {"plan": "0"}))
    assert "Insert on notes" in planned
    assert "actual time=" in planned
    assert database.value("select count(*) from notes") == 1
    await Client(browser.app, people.acme.member.token).query("notes.allOf")
    path = (await browser.newest()).partition('action="/_dev/requests/')[2].partition("#")[0]
    planned = text_of(await browser.post(f"/_dev/requests/{path}", {"plan": "0"}))
    assert "tenant_id = " in planned  # the policy is in the plan
    assert "rows=1" in planned
    wrong = await browser.send("POST", f"/_dev/requests/{path}", b"plan=7", {"origin": f"http://{browser.host}"})
    assert wrong.status == 404


async def test_an_exception_shows_its_line_and_its_surroundings(browser: Browser, people: People) -> None:
    amy = person(await browser.get("/_dev/p/notes.breaks"), people.acme.member.email)
    said = text_of(await browser.post("/_dev/p/notes.breaks", {".as": amy}))
    assert "ZeroDivisionError" in said
    assert "return 1 // int(await" in said
    assert "dev/test_desk.py:" in said


async def test_what_the_fields_hold_stays_when_json_is_wrong(browser: Browser) -> None:
    said = text_of(await browser.post("/_dev/p/notes.add", {".as": "nobody", ".json": "{", "title": "kept"}))
    assert "is not valid JSON" in said


async def test_a_public_procedure_needs_nobody_and_a_file_goes_as_a_form(browser: Browser, people: People) -> None:
    assert "Hello, Eve" in text_of(await browser.post("/_dev/p/notes.hello", {".as": "nobody", "name": "Eve"}))
    assert "Hello, you" in text_of(await browser.post("/_dev/p/notes.hello", {".as": "nobody", "name": ""}))
    page = await browser.get("/_dev/p/notes.attach")
    assert 'enctype="multipart/form-data"' in page
    amy = person(page, people.acme.member.email)
    parts = "".join(
        f'--b\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
        for n, v in ((".as", amy), ("title", "scan"))
    )
    parts += '--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\n12345\r\n--b--\r\n'
    headers = {"origin": f"http://{browser.host}", "content-type": "multipart/form-data; boundary=b"}
    reply = await browser.send("POST", "/_dev/p/notes.attach", parts.encode(), headers)
    assert '"data": 5' in text_of(reply.body.decode())


async def test_a_subscription_is_listened_to_for_a_moment(browser: Browser, people: People) -> None:
    amy = person(await browser.get("/_dev/p/users.changed"), people.acme.member.email)
    said = text_of(await browser.post("/_dev/p/users.changed", {".as": amy}))
    assert "event: connected" in said


async def test_what_is_not_there_is_said_and_nothing_but_pages_is_served(browser: Browser) -> None:
    for path in (
        "/_dev/p/no.such",
        "/_dev/requests/99",
        "/_dev/requests/x",
        "/_dev/errors/NO_SUCH",
        "/_dev/..",
        "/_dev/call/notes.allOf",
        "/_dev/static/desk.py",
    ):
        assert (await browser.send("GET", path)).status == 404, path
    assert (await browser.send("GET", "/_developer")).status == 404
    headers = {"origin": f"http://{browser.host}"}
    assert (await browser.send("POST", "/_dev/call/notes.hello", b"{}", headers)).status == 405
    reply = await browser.send("GET", "/_dev")
    policy = dict(reply.headers)[b"content-security-policy"].decode()
    assert "unsafe-inline" not in policy
    assert "default-src 'none'" in policy
    assert not any(name == b"access-control-allow-origin" for name, _ in reply.headers)


async def test_a_strange_host_peer_or_page_is_refused(browser: Browser, people: People, database: Database) -> None:
    assert (await Browser(browser.app, host="evil.example").send("GET", "/_dev")).status == 403
    assert (await Browser(browser.app, peer="10.0.0.7").send("GET", "/_dev")).status == 404
    amy = person(await browser.get("/_dev/p/notes.add"), people.acme.member.email)
    reply = await browser.send(
        "POST", "/_dev/p/notes.add", f".as={amy}&title=x".encode(), {"origin": "http://evil.example"}
    )
    assert reply.status == 403
    assert database.value("select count(*) from notes") == 0


async def test_in_production_there_is_none_of_it(database: Database, people: People) -> None:
    async with opened(app, database, env="production") as open_app:
        browser = Browser(open_app)
        for path in (
            "/_dev",
            "/_dev/",
            "/_dev/requests",
            "/_dev/p/notes.allOf",
            "/_dev/desk.js",
            "/_dev/state",
            "/_dev/call/notes.hello",
        ):
            reply = await browser.send("GET", path)
            assert reply.status == 404
            assert b"Nothing is served at this path" in reply.body
            assert (await browser.send("POST", path, b"", {"origin": f"http://{browser.host}"})).status == 404
        state = open_app._state
        assert state is not None
        assert state.dispatcher.road.developer is None
        assert state.pool.slow_ms != -1.0


async def test_serving_in_production_imports_none_of_it(database: Database, tmp_path: Path) -> None:
    import asyncio

    code = """
import asyncio, os, sys
from tenantry import Tenantry
async def work():
    app = Tenantry()
    await app.open()
    print([name for name in sys.modules if name.startswith("tenantry.dev")])
    await app.close()
asyncio.run(work())
"""
    urls = database.urls
    environment = {
        "PATH": "/usr/bin:/bin", "TENANTRY_ENV": "production", "TENANTRY_HOME": str(tmp_path), "DATABASE_URL": urls.platform.reveal(),
        "DATABASE_AUTH_URL": urls.auth.reveal(), "DATABASE_OPS_URL": urls.ops.reveal(),
    }  # fmt: skip
    ran = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env=environment,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await ran.communicate()
    assert out.decode().strip().splitlines()[-1:] == ["[]"], said.decode()


def test_the_recorder_is_bounded() -> None:
    from tenantry.dev.record import MOST_OPEN, MOST_REQUESTS, Recorder

    recorder = Recorder(None)
    try:
        for number in range(MOST_OPEN * 3):
            recorder.failed(ValueError(), "a.b", str(uuid4()))
            recorder.add("a.b", 500, "INTERNAL_SERVER_ERROR", 0.0, 0.1, None, f"r{number}", [])
        assert len(recorder.requests) == MOST_REQUESTS
        assert len(recorder._faults) <= MOST_OPEN + 1
    finally:
        recorder.close()
