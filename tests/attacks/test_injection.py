"""SQL injection through the API: a procedure runs any text as its statement, over Tenantry's own connection, as a plain member.

Nothing of it may reach another tenant, now or at the next request on the same back end. One connection serves everybody here, so
that whatever an attack leaves behind meets the next tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from tenantry import Ctx, Statement, Tenantry, sql
from tenantry.settings import DatabaseUrl
from tests.conftest import Database, People
from tests.harness import Client, Reply, opened

SECRET = "globex-secret"


def planted() -> Tenantry:
    app = Tenantry()
    hole = app.router("hole")

    @hole.query
    def read(ctx: Ctx, text: str) -> Statement[list[str | None]]:
        return ctx.db.all(str | None, sql.trusted(text))  # type: ignore[arg-type]

    @hole.mutation
    def write(ctx: Ctx, text: str) -> Statement[list[str | None]]:
        return ctx.db.all(str | None, sql.trusted(text))  # type: ignore[arg-type]

    @hole.mutation
    def run(ctx: Ctx, text: str) -> Statement[int]:
        return ctx.db.run(sql.trusted(text))

    @hole.mutation
    async def chain(ctx: Ctx, texts: list[str]) -> list[str | None]:
        found: list[str | None] = []
        for text in texts:
            found += await ctx.db.all(str | None, sql.trusted(text))  # type: ignore[arg-type]
        return found

    return app


class Crime:
    """The scene: two tenants, one connection, and what must not change."""

    def __init__(self, app: Tenantry, database: Database, people: People) -> None:
        self.database = database
        self.people = people
        self.attacker = Client(app, people.acme.member.token)
        self.victim = Client(app, people.globex.owner.token)

    async def attack(self, procedure: str, text: str | list[str]) -> Reply:
        name = "texts" if isinstance(text, list) else "text"
        call = self.attacker.query if procedure == "read" else self.attacker.mutate
        return await call(f"hole.{procedure}", {name: text})

    def state(self) -> list[object]:
        """Everything of the victim's, everybody's sessions and keys, roles, settings."""
        ask = self.database.admin.execute
        texts = (
            "select * from notes where tenant_id <> (select id from tenantry.tenants where slug = 'acme') order by id",
            "select * from users order by id",
            "select * from auth_sessions order by id",
            "select * from auth_identities order by id",
            "select * from tenantry.tenants order by id",
            "select * from tenantry.seal_key",
            "select rolname, rolsuper, rolbypassrls, rolpassword from pg_authid order by 1",
            "select setrole, setconfig from pg_db_role_setting order by setrole, setdatabase",
            "select relname, relrowsecurity, relforcerowsecurity from pg_class where relnamespace = 'public'::regnamespace order by 1",
            "select polname, pg_get_expr(polqual, polrelid) from pg_policy order by 1, 2",
            "select count(*) from pg_largeobject_metadata",
            "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
        )
        return [ask(text).fetchall() for text in texts]


@pytest.fixture
async def crime(request: pytest.FixtureRequest, database: Database, people: People) -> AsyncIterator[Crime]:
    for tenant, mark in ((people.acme.id, "acme-note"), (people.globex.id, SECRET)):
        for number in range(3):
            database.admin.execute("insert into notes (tenant_id, body) values ($1, $2)", (tenant, f"{mark}-{number}"))
    # A transaction of several statements prepares each on another connection first.
    size = 2 if "several" in request.node.name else 1
    async with opened(planted(), database, pool_size=size, auth_pool_size=1) as app:
        yield Crime(app, database, people)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def attacks(people: People) -> list[tuple[str, str | list[str]]]:
    a, b = str(people.acme.id), str(people.globex.id)
    member, owner = str(people.acme.member.user_id), str(people.globex.owner.user_id)
    sealed = f"{b.replace('-', '')},{owner.replace('-', '')},owner"
    forged = f"{sealed},{'0' * 64}"
    single = [
        # the texts of what ran before on the back end: first, since later on they are the attacker's own
        "select statement from pg_prepared_statements",
        # read and count
        "select body from notes",
        f"select body from notes where tenant_id = '{b}'",
        f"select count(*)::text from notes where tenant_id = '{b}' having count(*) > 0",
        "select body from only notes n union all table notes limit 0",
        f"select body from notes where 1 / (case when tenant_id = '{b}' then 0 else 1 end) = 1",
        "select string_agg(email, ',') from auth_identities",
        "select encode(token_hash, 'hex') from auth_sessions",
        "select row_to_json(s)::text from auth_sessions s",
        "select slug from tenantry.tenants",
        "select encode(key, 'hex') from tenantry.seal_key",
        "select most_common_vals::text from pg_stats where tablename in ('notes', 'users') and most_common_vals is not null",
        "select rolpassword from pg_authid",
        "select passwd from pg_shadow",
        "select query_to_xml('select body from notes', true, true, '')::text",
        "select pg_read_file('PG_VERSION')",
        "select pg_ls_dir('.')",
        f"select tenantry.protect('notes')::text where '{b}' <> ''",
        f"select id::text from users where tenant_id = '{b}'",
        "select last_value::text from pg_sequences where last_value is not null",
        "select query from pg_stat_activity where pid <> pg_backend_pid() and query like '%secret%'",
        # forge
        f"select set_config('app.current_tenant_id', '{b}', true)",
        f"select set_config('app.current_tenant_id', '{b}', false)",
        f"select set_config('app.tenant_seal', '{forged}', true)",
        f"select set_config('backtrace_functions', '{sealed}', true)",
        f"select set_config('backtrace_functions', '{sealed}', true), body from notes",
        f"with s as materialized (select set_config('backtrace_functions', '{sealed}', true) as x) select body from notes, s where x <> ''",
        f"update pg_settings set setting = '{sealed}' where name = 'backtrace_functions' returning setting",
        f"update pg_settings set setting = '{b}' where name = 'app.current_tenant_id' returning setting",
        "select tenantry.enter(null)::text",
        f"select (tenantry.enter('\\x{hashed(people.globex.owner.token)}')).tenant_id::text",
        f"select (tenantry.enter(decode('{hashed(people.globex.owner.token)}', 'hex'))).tenant_id::text",
        "select (tenantry.enter('')).tenant_id::text",
        # raise oneself
        "update users set role = 'owner' returning role",
        f"select role from tenantry.set_role('{member}', 'owner')",
        f"select role from tenantry.set_role('{owner}', 'member')",
        f"select tenantry.remove_member('{owner}')::text",
        f"insert into users (tenant_id, identity_id, email, name, role) values ('{a}', gen_random_uuid(), 'x@x.example', 'x', 'owner') returning id::text",
        "select name from tenantry.rename_tenant('stolen')",
        # sessions and keys
        f"insert into auth_sessions (token_hash, identity_id, tenant_id, expires) select sha256('x'), identity_id, '{b}', now() + interval '1 day' from users limit 1 returning id::text",
        "update auth_sessions set expires = now() + interval '1 year' returning 'x'",
        "delete from auth_sessions where expires > now() returning 'x'",
        f"select tenantry.create_session('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'owner@globex.example', '{b}', interval '1 day')::text",
        f"select tenantry.add_member('{b}', 'evil@x.example', 'Evil', 'owner')::text",
        "select tenantry.create_tenant('evil', 'Evil')::text",
        f"select slug from tenantry.tenants_of('{people.globex.owner.token}'::bytea)",
        f"select slug from tenantry.switch_tenant('{people.globex.owner.token}'::bytea, repeat('x', 40)::bytea, 'acme')",
        "update tenantry.seal_key set key = sha256('x') returning 'x'",
        "update tenantry.tenants set status = 'suspended' returning 'x'",
        # write into the other
        f"insert into notes (tenant_id, body) values ('{b}', 'planted') returning body",
        f"update notes set tenant_id = '{b}' returning body",
        f"update notes set body = 'changed' where tenant_id = '{b}' returning body",
        f"delete from notes where tenant_id = '{b}' returning body",
        f"with gone as (delete from notes where tenant_id = '{b}' returning body) select body from gone",
        f"merge into notes n using (select '{b}'::uuid as t) s on n.tenant_id = s.t when matched then delete",
        f"insert into notes (id, tenant_id, body) select id, '{b}', body from notes on conflict (id) do update set body = 'x' returning body",
        # leave something behind
        "select set_config('x.loot', 'kept', false)",
        "select set_config('search_path', 'pg_temp, public', false)",
        "select set_config('row_security', 'off', false)",
        "select set_config('role', 'tenantry_owner', false)",
        "select set_config('session_authorization', 'postgres', false)",
        "select set_config('standard_conforming_strings', 'off', false)",
        "select body into temporary stolen from notes",
        "select body into public.stolen from notes",
        "select pg_advisory_lock(1)::text",
        "select pg_try_advisory_lock(hashtextextended('tenantry.migrate', 0))::text",
        "select lo_create(4242)::text",
        "select lo_from_bytea(0, 'x')::text",
        "select pg_notify('users', 'forged')::text",
        "select pg_export_snapshot()",
        "select pg_logical_emit_message(false, 'x', 'x')::text",
        "select pg_terminate_backend(pid)::text from pg_stat_activity where pid <> pg_backend_pid()",
        "select pg_cancel_backend(pid)::text from pg_stat_activity where pid <> pg_backend_pid()",
        "select pg_reload_conf()::text",
        "select pg_rotate_logfile()::text",
        "select nextval('users_id_seq')::text",
        "select word from ts_stat('select to_tsvector(body) from notes')",
        "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')::text",
        "select pg_restore_relation_stats('relation', 'notes'::regclass, 'reltuples', 0::real)::text",
        "select lo_export(1, '/tmp/x')::text",
        "select pg_switch_wal()::text",
    ]
    # What is no SELECT, INSERT, UPDATE, DELETE, MERGE, WITH, VALUES or TABLE; several statements; comments and brackets in front.
    refused = [
        "commit", "rollback", "begin", "abort", "end", "savepoint a", "release savepoint a", "set role tenantry_owner", "reset role",
        "set session authorization postgres", "set row_security = off", "reset all", "discard all", "discard plans", "deallocate all",
        "deallocate tenantry_enter", "deallocate prepare tenantry_enter",
        "prepare tenantry_enter(bytea, bool, text, uuid, int) as select * from tenantry.enter($1, $2, $3, $4, $5)",
        "execute tenantry_enter('x', false, null, null, 100)", f"set app.current_tenant_id = '{b}'", f"set local app.current_tenant_id = '{b}'",
        f"set backtrace_functions = '{sealed}'", "show all", "do $$ begin commit; end $$", "call x()", "copy notes to stdout", "copy notes to '/tmp/x'",
        "copy notes (body) from stdin", "listen users", "unlisten *", "notify users, 'x'", "lock table notes in access exclusive mode",
        "truncate notes", "create temp table notes (body text)", "create temp view v as select 1", "create function f() returns int language sql as 'select 1'",
        "alter role platform password 'x'", "alter role platform set search_path = evil", "alter table notes disable row level security", "drop table notes",
        "grant all on notes to public", "explain analyze select body from notes", "declare c cursor with hold for select body from notes", "fetch all from c",
        "vacuum notes", "analyze notes", "checkpoint", "load 'x'", "cluster notes", "reindex table notes", "refresh materialized view x", "import foreign schema x from server y into z",
        "select 1; commit", "select 1; set role tenantry_owner; select 1", "values ('x'); rollback", "select 1;;commit",
        "/* select */ commit", "-- select\ncommit", "/* a /* b */ */ discard all", "( commit )", ";commit", "\ufeffcommit", "select 1\x00; commit",
        "", " ", ";", "selectx", "$1",
    ]  # fmt: skip
    return [
        *[(how, text) for text in single for how in ("read", "write")],
        *[(how, text) for text in refused for how in ("write", "run")],
    ]


def chains(people: People) -> list[tuple[str, str | list[str]]]:
    b = str(people.globex.id)
    sealed = f"{b.replace('-', '')},{str(people.globex.owner.user_id).replace('-', '')},owner"
    several = [
        [f"select set_config('app.current_tenant_id', '{b}', true)", "select body from notes"],
        ["select current_setting('backtrace_functions')", "select body from notes"],
        ["select current_setting('app.tenant_seal', true)", "select body from notes"],
        ["select body from notes", "commit", "select body from notes"],
        [
            "select body from notes",
            f"select set_config('backtrace_functions', '{sealed}', true)",
            "select body from notes",
        ],
        ["select body from notes", "rollback", f"set app.current_tenant_id = '{b}'", "select body from notes"],
    ]
    return [("chain", texts) for texts in several]


async def test_no_injected_statement_reaches_another_tenant(crime: Crime) -> None:
    await nothing_leaks(crime, attacks(crime.people))


async def test_several_statements_in_one_transaction_reach_no_other_tenant(crime: Crime) -> None:
    await nothing_leaks(crime, chains(crime.people))


async def nothing_leaks(crime: Crime, tries: list[tuple[str, str | list[str]]]) -> None:
    people = crime.people
    forbidden = [SECRET, hashed(people.globex.owner.token), people.globex.owner.token, "owner@globex.example", "globex"]
    forbidden.append(crime.database.value("select encode(key, 'hex') from tenantry.seal_key"))
    before = crime.state()
    leaks: list[str] = []
    for procedure, text in tries:
        reply = await crime.attack(procedure, text)
        said = repr(reply.json)
        # What the attacker wrote itself may come back; what it did not know may not.
        leaks += [f"{procedure} {text!r} showed {one}" for one in forbidden if one in said and one not in repr(text)]
        if (
            reply.status == 200
            and procedure != "run"
            and str(people.globex.id) in said
            and str(people.globex.id) not in repr(text)
        ):
            leaks.append(f"{procedure} {text!r} showed the other's id")
    assert leaks == []
    after = crime.state()
    assert [one for one in zip(before, after, strict=True) if one[0] != one[1]] == []
    await the_next_tenant_is_itself(crime)


async def the_next_tenant_is_itself(crime: Crime) -> None:
    seen = (await crime.victim.query("hole.read", {"text": "select body from notes order by 1"})).data
    assert seen == [f"{SECRET}-{number}" for number in range(3)]
    settings = (
        "select concat_ws(' ', current_setting('search_path'), current_setting('role'), current_setting('row_security'),"
        " current_setting('x.loot', true), session_user, (select count(*) from pg_prepared_statements where from_sql))"
    )
    assert (await crime.victim.query("hole.read", {"text": settings})).data == ["public none on platform 0"]
    assert (await Client(crime.victim.app).query("hole.read", {"text": "select 1::text"})).code == "UNAUTHORIZED"


async def test_the_planted_hole_works_at_all(crime: Crime) -> None:
    """A guard's test shows that the attack runs: as the member it reads and writes its own tenant's rows."""
    assert (await crime.attack("read", "select body from notes order by 1")).data == [
        f"acme-note-{n}" for n in range(3)
    ]
    assert (await crime.attack("write", "insert into notes (body) values ('mine') returning body")).data == ["mine"]


async def test_the_planted_hole_runs_several_statements(crime: Crime) -> None:
    assert (await crime.attack("chain", ["select 'a'", "select 'b'"])).data == ["a", "b"]


async def test_each_attack_meets_the_next_tenant_on_the_same_back_end(crime: Crime) -> None:
    """The poisoning list, one at a time, with the victim's request after each."""
    poisons = [
        text for procedure, text in attacks(crime.people) if procedure == "write" and isinstance(text, str)
        and any(word in text for word in ("set_config", "prepare", "deallocate", "set ", "temp", "discard", "listen", "lock"))
    ]  # fmt: skip
    assert len(poisons) > 25
    for text in poisons:
        await crime.attack("write", text)
        await the_next_tenant_is_itself(crime)


async def test_the_drivers_enter_cannot_be_replaced(crime: Crime) -> None:
    """rls/poison.py over Tenantry's connection: on raw libpq the attacker reads the victim's token, here it is refused."""
    names = (await crime.attack("read", "select name from pg_prepared_statements where statement like '%enter%'")).data
    assert names  # the attacker does see the name
    steal = "as select * from tenantry.enter($1, $2, $3, $4, $5), (select set_config('x.loot', encode($1, 'escape'), false)) q"
    for text in (
        f'deallocate "{names[0]}"',
        f'prepare "{names[0]}"(bytea, bool, text, uuid, int) {steal}',
        "deallocate all",
    ):
        for how in ("write", "run"):
            assert (await crime.attack(how, text)).status == 500
    assert (await crime.victim.query("hole.read", {"text": "select 1::text"})).data == ["1"]
    loot = (await crime.attack("read", "select current_setting('x.loot', true)")).data
    assert loot in ([None], [""])


async def test_a_back_end_whose_state_was_changed_serves_nobody(crime: Crime) -> None:
    """What the driver lets nobody do, done by force: `enter` refuses the back end, and the pool drops it."""
    import psycopg

    with psycopg.connect(crime.database.urls.platform.reveal(), autocommit=True) as raw:
        for change in (
            "set search_path = pg_temp, public",
            "set row_security = off",
            "set standard_conforming_strings = off",
        ):
            raw.execute(change)
            with pytest.raises(psycopg.Error) as refused:
                raw.execute("select tenantry.enter(%s)", (crime.people.globex.owner.token.encode(),))
            assert refused.value.sqlstate == "TN900"
            raw.execute("reset all")


async def test_a_context_ends_with_its_transaction(crime: Crime) -> None:
    import psycopg

    url: DatabaseUrl = crime.database.urls.platform
    with psycopg.connect(url.reveal()) as raw:
        raw.execute("select tenantry.enter(%s)", (crime.people.acme.member.token.encode(),))
        names = ("backtrace_functions", "app.tenant_seal", "app.current_tenant_id")
        kept = [raw.execute("select current_setting(%s, true)", (name,)).fetchone()[0] or "" for name in names]  # type: ignore[index]
        assert raw.execute("select count(*) from notes").fetchone() == (3,)
        raw.commit()
        assert raw.execute("select count(*) from notes").fetchone() == (0,)
        raw.rollback()
        for level in ("local", "session"):
            for name, value in zip(names, kept, strict=True):
                try:
                    raw.execute(f"set {level} {name} = '{value}'")
                    if level == "session":
                        raw.commit()
                except psycopg.Error:
                    raw.rollback()
            assert raw.execute("select count(*) from notes").fetchone() == (0,)
            raw.rollback()
