"""A table with rows, readers and writers is protected while they go on; killed anywhere, it goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tenantry.cli.main import main
from tenantry.tenancy.live import look, run, steps
from tenantry.tenancy.verify import look as verify
from tests.conftest import Cluster, Database, People

LIVE = """
set role tenantry_owner;
create table public.authors (id uuid primary key default gen_random_uuid(), tenant uuid not null, email text not null unique);
create table public.comments (
    id bigint generated always as identity primary key,
    author_id uuid references public.authors on delete set null,
    number int not null,
    body text not null,
    constraint comments_number_key unique (number, body)
);
create index comments_author on public.comments (author_id);
create unique index comments_lower on public.comments (lower(body), number);
reset role;
"""


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


def fill(database: Database, people: People, rows: int) -> None:
    database.admin.execute(LIVE)
    for tenant in (people.acme, people.globex):
        database.admin.execute(
            "insert into public.authors (tenant, email) select $1, $2 || i from generate_series(1, 10) i",
            (tenant.id, str(tenant.id)),
        )
    database.admin.execute(
        "insert into public.comments (author_id, number, body) select (array(select id from public.authors order by id))[1 + i % 20], i, 'body ' || i"
        f" from generate_series(1, {rows}) i"
    )
    database.admin.execute("analyze")


OF_AUTHOR = "(select a.tenant from public.authors a where a.id = author_id)"


@contextmanager
def migrating(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.urls.admin.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor) as admin:
        yield admin


def findings(database: Database, table: str) -> list[str]:
    return [f"{one.check} {one.object}" for one in verify(database.admin)[1].findings if table in one.object]


def test_rows_go_to_the_tenant_that_the_expression_names(database: Database, people: People) -> None:
    fill(database, people, 2000)
    with migrating(database) as admin:
        run(admin, "authors", "tenant", None, report=lambda _: None)
        run(admin, "comments", OF_AUTHOR, None, report=lambda _: None)
        assert steps(look(admin, "comments"), OF_AUTHOR, None) == []
    assert findings(database, "comments") == []
    wrong = "select count(*) from comments c join authors a on a.id = c.author_id where c.tenant_id <> a.tenant_id or a.tenant_id <> a.tenant"
    assert database.value(wrong) == 0
    definition = database.value(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'comments_author_id_fkey'"
    )
    assert "(tenant_id, author_id)" in definition
    assert "ON DELETE SET NULL (author_id)" in definition
    assert (
        database.value("select pg_get_constraintdef(oid) from pg_constraint where conname = 'comments_pkey'")
        == "PRIMARY KEY (tenant_id, id)"
    )
    assert database.value("select count(*) from pg_trigger where tgname = 'tenantry_fill'") == 0
    assert database.value("select count(*) from tenantry.live_protections") == 0
    assert database.value("select count(*) from pg_proc where proname = 'comments_fill'") == 0
    with psycopg.connect(database.urls.platform.reveal()) as platform:
        platform.execute("select tenantry.enter(%s)", (people.acme.member.token.encode(),))
        assert platform.execute("select count(*) from comments").fetchone() == (1000,)
        assert platform.execute("select count(*) from authors").fetchone() == (10,)


def test_readers_and_writers_go_on(database: Database, people: People) -> None:
    """The longest stall is short; what is written meanwhile has its tenant as well."""
    fill(database, people, 20_000)
    is_over = threading.Event()
    stalls: list[float] = []
    failures: dict[int, list[str]] = {1: [], 2: []}
    context = f"{people.acme.id.hex},{people.acme.owner.user_id.hex},owner"

    def work(number: int) -> None:
        with psycopg.connect(database.superuser.reveal(), autocommit=True) as writer:
            if number == 1:
                writer.execute("select set_config('backtrace_functions', %s, false)", (context,))
            author = writer.execute(
                "select id from public.authors where tenant = %s limit 1", (people.acme.id,)
            ).fetchone()[0]  # type: ignore[index]
            turn = 0
            while not is_over.is_set():
                turn += 1
                began = time.monotonic()
                try:
                    writer.execute(
                        "insert into public.comments (author_id, number, body) values (%s, %s, 'new')",
                        (author, -turn * 10 - number),
                    )
                    writer.execute("update public.comments set body = body || '.' where number = %s", (turn * 7,))
                    writer.execute("select count(*) from public.comments where number between 5 and 9").fetchone()
                except psycopg.Error as error:
                    failures[number].append(error.sqlstate or "")
                stalls.append(time.monotonic() - began)

    writers = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    with migrating(database) as admin:
        run(admin, "authors", "tenant", None, report=lambda _: None)
        for writer in writers:
            writer.start()
        try:
            run(admin, "comments", OF_AUTHOR, None, report=lambda _: None)
        finally:
            is_over.set()
            for writer in writers:
                writer.join()
    # Who has a tenant never notices; who has none is refused from the last step on, and not before.
    assert failures[1] == []
    assert set(failures[2]) <= {"23502"}
    assert len(stalls) > 50
    assert database.value("select count(*) from comments where tenant_id is null") == 0
    assert database.value("select count(*) from comments where number < 0") > 50
    assert findings(database, "comments") == []
    print(f"longest stall {max(stalls):.3f} s of {len(stalls)}")
    assert max(stalls) < 5


def test_killed_anywhere_it_goes_on(database: Database, people: People) -> None:
    fill(database, people, 15_000)
    environment = {
        **os.environ,
        "DATABASE_URL": database.urls.platform.reveal(),
        "DATABASE_ADMIN_URL": database.urls.admin.reveal(),
    }
    with migrating(database) as admin:
        run(admin, "authors", "tenant", None, report=lambda _: None)
    command = [sys.executable, "-m", "tenantry.cli.main", "db", "protect", "comments", "--from", OF_AUTHOR]
    for wait in (0.6, 0.8, 1.0, 1.2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    # Without --from: whose the rows are was kept.
    ran = subprocess.run(
        command[:-2] if database.value("select count(*) from tenantry.live_protections") else command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert findings(database, "comments") == []
    assert database.value("select count(*) from comments where tenant_id is null") == 0
    assert database.value("select count(*) from pg_index where not indisvalid") == 0


def test_rows_without_a_tenant_are_counted_and_nothing_is_lost(
    database: Database, people: People, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, people, 100)
    database.admin.execute("update public.comments set author_id = null where number <= 3")
    for name, url in (("DATABASE_URL", database.urls.platform), ("DATABASE_ADMIN_URL", database.urls.admin)):
        monkeypatch.setenv(name, url.reveal())
    assert main(["db", "protect", "authors", "--from", "tenant"]) == 0
    assert main(["db", "protect", "comments", "--from", OF_AUTHOR]) == 1
    assert "3 rows have no tenant" in capsys.readouterr().err
    database.admin.execute("update public.comments set tenant_id = $1 where tenant_id is null", (people.acme.id,))
    assert main(["db", "protect", "comments"]) == 0
    assert main(["db", "protect", "comments", "--tenant", "acme"]) == 0
    assert "protected already" in capsys.readouterr().out


def test_the_plan_says_steps_locks_and_times_and_does_nothing(
    database: Database, people: People, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, people, 100)
    for name, url in (("DATABASE_URL", database.urls.platform), ("DATABASE_ADMIN_URL", database.urls.admin)):
        monkeypatch.setenv(name, url.reveal())
    assert main(["db", "protect", "authors", "--tenant", "acme", "--plan", "--sql"]) == 0
    out = capsys.readouterr().out
    assert "fill tenant_id of the rows that are there, in batches" in out
    assert "waits: nobody" in out
    assert "create unique index concurrently" in out
    assert (
        database.value(
            "select count(*) from pg_attribute where attrelid = 'public.authors'::regclass and attname = 'tenant_id'"
        )
        == 0
    )
    assert main(["db", "protect", "authors"]) == 1
    assert "nothing says whose its rows are" in capsys.readouterr().err
    assert main(["db", "protect", "nowhere", "--tenant", "acme"]) == 1


def test_owner_by_column(database: Database, people: People) -> None:
    database.admin.execute(
        "set role tenantry_owner; create table public.posts (id uuid primary key default gen_random_uuid(), body text, author_id uuid default tenantry.user_id()); reset role"
    )
    for tenant in (people.acme,):
        for person in (tenant.member, tenant.admin):
            database.admin.execute("insert into public.posts (body, author_id) values ('x', $1)", (person.user_id,))
    with migrating(database) as admin:
        run(admin, "posts", f"'{people.acme.id}'::uuid", "author_id", report=lambda _: None)
    with psycopg.connect(database.urls.platform.reveal()) as platform:
        platform.execute("select tenantry.enter(%s)", (people.acme.member.token.encode(),))
        assert platform.execute("update posts set body = 'y'").rowcount == 1
        assert platform.execute("select count(*) from posts").fetchone() == (2,)
        platform.rollback()
        platform.execute("select tenantry.enter(%s)", (people.acme.admin.token.encode(),))
        assert platform.execute("delete from posts").rowcount == 2
        platform.rollback()


def test_a_key_between_protected_tables_is_checked_against_every_tenants_rows(
    database: Database, people: People
) -> None:
    """PostgreSQL checks a new foreign key as the owner, to whom forced row security shows nothing: it must not pass by that."""
    database.admin.execute(
        "set role tenantry_owner; create table public.a (id uuid primary key, tenant_id uuid); create table public.b (id uuid primary key, a_id uuid, tenant_id uuid); reset role"
    )
    database.admin.execute("insert into public.a values (gen_random_uuid(), $1)", (people.acme.id,))
    database.admin.execute("insert into public.b select gen_random_uuid(), id, $1 from public.a", (people.globex.id,))
    database.admin.execute("alter table public.b add constraint b_a_fk foreign key (a_id) references public.a")
    with migrating(database) as admin, admin.transaction():
        admin.execute("set local role tenantry_owner")
        admin.execute(
            "select tenantry.protect('public.a')"
        )  # its rows' tenants are found, though row security hides tenants
        with pytest.raises(psycopg.errors.ForeignKeyViolation), admin.transaction():
            admin.execute("select tenantry.protect('public.b')")


def test_protect_may_be_run_again(database: Database) -> None:
    database.admin.execute(
        "set role tenantry_owner; create table public.a (id uuid primary key default gen_random_uuid(), name text unique); "
        "select tenantry.protect('public.a'); select tenantry.protect('public.a'); select tenantry.unprotect('public.a');"
    )
    assert database.value("select has_table_privilege('platform', 'public.a', 'select')") is False
    assert database.value("select relrowsecurity and relforcerowsecurity from pg_class where relname = 'a'") is True
    database.admin.execute("select tenantry.protect('public.a'); reset role")
    assert findings(database, "public.a") == []
