"""The crossing, tried: what is whole is blocked, what is open goes through, what cannot be undone is not touched, and nothing stays."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from msgspec import structs

from tenantry.cli.main import main
from tenantry.tenancy.verify import Report, Tried, look
from tenantry.tenancy.verify.probe import probe
from tenantry.tenancy.verify.probe.crossing import judge
from tenantry.tenancy.verify.probe.safety import reaches_out
from tenantry.tenancy.verify.report import Finding
from tests.conftest import Cluster, Database
from tests.tenancy.verify.pitfalls import TABLES


@pytest.fixture(params=["18", "15"])
def whole(request: pytest.FixtureRequest) -> Iterator[Database]:
    cluster: Cluster = request.getfixturevalue(f"cluster{request.param}")
    with cluster.database() as database:
        database.admin.execute(TABLES)
        yield database


def tried(database: Database, admin: psycopg.Connection | None = None) -> list[Tried]:
    with psycopg.connect(database.urls.platform.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor) as login:
        facts, _ = look(login)
        return probe(facts, admin or database.admin, login)


def through(attempts: list[Tried]) -> set[tuple[str, str]]:
    return {(one.object, one.attempt) for one in attempts if one.outcome in ("LEAK", "failed")}


def test_on_a_database_that_is_whole_every_crossing_is_blocked(whole: Database) -> None:
    attempts = tried(whole)
    assert through(attempts) == set()
    by_table = {one.object for one in attempts if one.outcome == "control"}
    assert by_table >= {"public.users", "public.notes", "public.projects", "public.events"}
    assert {"table", "view", "function", "sequence", "partition", "foreign key", "role", "session"} <= {
        one.kind for one in attempts
    }


def test_the_migrating_login_may_probe_without_a_superuser(whole: Database) -> None:
    with psycopg.connect(whole.urls.admin.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor) as migrate:
        attempts = tried(whole, migrate)
    assert through(attempts) == set()
    assert ("public.notes", "see the own row") in {(one.object, one.attempt) for one in attempts}


OPEN = [
    ("alter table public.notes disable row level security", ("public.notes", "select the other's rows")),
    ("alter policy tenantry_select on public.notes using (true)", ("public.notes", "count beyond the own rows")),
    ("alter policy tenantry_insert on public.notes with check (true)", ("public.notes", "insert into the other")),
    (
        "alter policy tenantry_update on public.notes with check (true); alter policy tenantry_select on public.notes using (true)",
        ("public.notes", "move own rows to the other"),
    ),
    (
        "alter policy tenantry_delete on public.notes using (true); alter policy tenantry_select on public.notes using (true)",
        ("public.notes", "delete the other's rows"),
    ),
    (
        "alter table public.notes drop constraint notes_project_id_fkey,"
        " add constraint loose foreign key (project_id) references public.projects (id)",
        ("loose on public.notes", "point at the other's row"),
    ),
    ("alter table public.notes add constraint only_once unique (body)", ("public.only_once", "learn whether a value exists")),
    (
        "create view public.all_notes as select * from public.notes; grant select on public.all_notes to platform",
        ("public.all_notes", "read before and after the other's rows came"),
    ),
    (
        "create function public.total() returns bigint language sql stable security definer set search_path = ''"
        " return (select count(*) from public.notes); grant execute on function public.total() to platform",
        ("public.total()", "read before and after the other's rows came"),
    ),
    ("create sequence public.s; grant select on sequence public.s to platform", ("public.s", "read the last value")),
    ("grant select on public.auth_sessions to platform", ("public.auth_sessions", "select every column")),
    ("grant tenantry_owner to platform", ("tenantry_owner", "become it")),
    ("grant usage on language plpgsql to platform", ("platform", "run a DO block")),
]  # fmt: skip


@pytest.mark.parametrize(("planted", "expected"), OPEN, ids=[one[0][:60] for one in OPEN])
def test_what_is_open_goes_through(cluster18: Cluster, planted: str, expected: tuple[str, str]) -> None:
    """A guard's test shows the attack succeeding without the guard."""
    with cluster18.database() as database:
        database.admin.execute(TABLES)
        try:
            database.admin.execute(planted)
            assert expected in through(tried(database))
        finally:
            database.admin.execute("revoke tenantry_owner from platform")


def test_nothing_is_left_behind(whole: Database) -> None:
    def everything() -> list[tuple[object, ...]]:
        names = whole.admin.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'tenantry') order by 1"
        ).fetchall()
        rows: list[tuple[object, ...]] = [(name, whole.value(f"select count(*) from {name}")) for (name,) in names]
        return rows + whole.admin.execute("select sequencename, last_value from pg_sequences order by 1").fetchall()

    before = everything()
    tried(whole)
    assert everything() == before
    assert whole.value("select count(*) from pg_locks where locktype = 'advisory'") == 0


def test_a_table_whose_trigger_reaches_out_is_not_written_to(whole: Database) -> None:
    whole.admin.execute("""
        create function public.tell_others() returns trigger language plpgsql set search_path = '' as $$
        begin perform public.dblink_exec('host=elsewhere', 'select 1'); return new; end $$;
        create trigger tell_others after insert on public.projects for each row execute function public.tell_others()""")
    attempts = [one for one in tried(whole) if one.object == "public.projects"]
    assert through(attempts) == set()
    assert {(one.attempt, one.outcome) for one in attempts} >= {("write", "skipped")}
    assert "dblink_exec" in next(one.detail for one in attempts if one.attempt == "write")
    assert not any(one.attempt == "insert into the other" for one in attempts)


def test_an_attempt_that_would_wait_is_skipped_not_waited_for(database: Database) -> None:
    database.admin.execute(TABLES)
    facts, _ = look(database.admin)
    with psycopg.connect(database.superuser.reveal()) as holder:
        holder.execute("lock table public.notes in share mode")
        started = time.monotonic()
        attempts = probe(facts, database.admin)
        assert time.monotonic() - started < 60
        holder.rollback()
    notes = {one.attempt: one.outcome for one in attempts if one.object == "public.notes"}
    assert notes["insert into the other"] == "skipped"
    assert notes["select the other's rows"] == "blocked"
    assert through(attempts) == set()


@pytest.mark.parametrize(
    ("meaning", "state", "count", "outcome"),
    [
        ("no rows", "", 0, "blocked"), ("no rows", "", 1, "LEAK"), ("no rows", "42501", 0, "blocked"),
        ("refused", "42501", 0, "blocked"), ("refused", "", 1, "LEAK"), ("refused", "23505", 0, "LEAK"), ("refused", "P0001", 0, "blocked"),
        ("not told", "23505", 0, "LEAK"), ("not told", "", 1, "blocked"), ("not linked", "", 1, "LEAK"), ("not linked", "23503", 0, "blocked"),
        ("own rows", "", 0, "failed"), ("own rows", "", 1, "control"), ("not divided", "22012", 0, "LEAK"), ("no rows", "55P03", 0, "skipped"),
    ],
)  # fmt: skip
def test_outcomes(meaning: str, state: str, count: int, outcome: str) -> None:
    assert judge(meaning, state, "said", count)[0] == outcome  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("source", "language", "is_safe"),
    [
        ("begin perform pg_notify('x', ''); return new; end", "plpgsql", True),
        ("begin perform net.http_post(url := 'x'); return new; end", "plpgsql", False),
        ("copy t to program 'mail'", "plpgsql", False),
        ("select nextval('s')", "sql", False),
        ("import os", "plpython3u", False),
        ("moddatetime", "c", False),
    ],
)
def test_what_a_rollback_would_not_undo_is_known(source: str, language: str, is_safe: bool) -> None:
    assert (reaches_out(source, language) is None) is is_safe


def test_the_command_prints_the_proof_in_every_form(
    whole: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", whole.urls.platform.reveal())
    monkeypatch.setenv("DATABASE_ADMIN_URL", whole.urls.admin.reveal())
    assert main(["verify"]) == 0
    assert "PROVEN by the catalogue" in capsys.readouterr().out
    assert main(["verify", "--probe", "--json", "--junit", "j.xml", "--html", "h.html"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["proven"] is True
    suites = ET.fromstring(Path("j.xml").read_text())
    assert suites.get("failures") == "0"
    assert int(suites.get("tests") or 0) > len(found["tried"])
    page = Path("h.html").read_text()
    assert "PROVEN" in page
    assert "http://" not in page
    assert "<script" not in page
    whole.admin.execute("alter table public.notes disable row level security")
    assert main(["verify", "--long"]) == 1
    assert "alter table public.notes force row level security;" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--url", "postgresql://nobody@127.0.0.1:1/none", "--role", "x", "--setting", "a.b"],
        ["verify", "--url", "postgresql://nobody@127.0.0.1:1/none"],
    ],
)
def test_what_could_not_run_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "VERIFY_IMPOSSIBLE" in capsys.readouterr().err


def test_a_hundred_tables_take_less_than_ten_seconds(cluster18: Cluster) -> None:
    with cluster18.database() as database:
        database.admin.execute("set role tenantry_owner")
        for number in range(100):
            parent = f"project_id uuid references t{number - 1}," if number % 5 else ""
            database.admin.execute(
                f"create table t{number} (id uuid primary key default gen_random_uuid(), {parent} name text unique, n int check (n > 0) not null);"
                f" select tenantry.protect('t{number}')"
            )
        database.admin.execute("reset role")
        started = time.perf_counter()
        attempts = tried(database)
        took = time.perf_counter() - started
    assert through(attempts) == set()
    assert len({one.object for one in attempts if one.outcome == "control"}) == 101
    assert took < 30, f"{took:.1f} s"  # under 3 s on a quiet machine; the bound is 10


def test_a_report_without_a_probe_is_proven_only_without_holes_and_leaks() -> None:
    report = Report(database="d", server="18", role="platform", judged={}, findings=[], accepted=[])
    assert report.is_proven
    for level, is_proven in (("hole", False), ("leak", False), ("note", True)):
        found = Finding(check="V", name="n", level=level, kind="table", object="o", wrong="", gain="", remedy="")  # type: ignore[arg-type]
        assert structs.replace(report, findings=[found]).is_proven is is_proven
    assert not Report(
        database="d", server="18", role="p", judged={}, findings=[], accepted=[], tried=[Tried("t", "o", "a", "LEAK")]
    ).is_proven
