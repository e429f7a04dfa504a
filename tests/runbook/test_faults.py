"""Real faults in a real PostgreSQL: found as the first cause, mended by the remedy, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tenantry.runbook import Diagnosis, Done, Place, chosen, diagnose, fix, sections
from tests.conftest import Cluster, Database

ELSEWHERE = {"api-gone", "api-has-stale-connections"}
"""No API is served here: it is found each time, and is not what these tests are about."""


def place_of(database: Database, **over: Any) -> Place:
    return Place(
        database.settings(**over), database.urls, superuser=database.superuser, env_file=database.home / ".env"
    )


def looked(place: Place, *slugs: str) -> Diagnosis:
    wanted = [one for slug in slugs for one in chosen(sections(), slug=slug)] if slugs else sections()

    async def work() -> Diagnosis:
        return await diagnose(place, wanted)

    return asyncio.run(work())


def found(place: Place, *slugs: str) -> list[str]:
    return [f.cause for f in looked(place, *slugs).findings if f.cause not in ELSEWHERE]


def mended(place: Place, remedy: str, *slugs: str) -> tuple[list[Done], Diagnosis]:
    """Look, then do the one remedy with somebody's approval (and what is safe, if it is)."""
    wanted = [one for slug in slugs for one in chosen(sections(), slug=slug)]

    async def work() -> tuple[list[Done], Diagnosis]:
        diagnosis = await diagnose(place, wanted)
        diagnosis.findings = [f for f in diagnosis.findings if f.remedy is not None and f.remedy.id == remedy]
        assert diagnosis.findings, "its cause was not found"
        return await fix(place, wanted, diagnosis, is_fixing=True, approved={remedy: "ann"}), diagnosis

    return asyncio.run(work())


def heals(place: Place, remedy: str, *slugs: str) -> None:
    done, diagnosis = mended(place, remedy, *slugs)
    assert [(d.remedy, d.outcome) for d in done] == [(remedy, "done")], done
    checked = diagnosis.findings[0].verification
    assert checked is not None
    assert checked.ok


@contextlib.contextmanager
def held(database: Database, *statements: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of platform that began a transaction, ran this, and lies there."""
    with contextlib.closing(psycopg.connect(database.urls.platform.reveal(), autocommit=True)) as connection:
        for statement in ("set idle_in_transaction_session_timeout = 0", "begin", *statements):
            connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue] - texts of this file
        yield connection


RLS = "rls-policy-violations"
CONNECTION = "database-connection-issues"


def test_a_healthy_database_has_no_cause(database: Database):
    diagnosis = looked(place_of(database))
    assert [(f.cause, f.says) for f in diagnosis.findings if f.cause not in ELSEWHERE] == []
    assert [(seen.name, seen.why) for seen in diagnosis.blind] == []


class TestIsolation:
    @pytest.mark.parametrize(
        ("fault", "cause", "remedy"),
        [
            ("drop policy tenantry_select on public.users", "policy-missing", "push"),
            ("alter table public.users no force row level security", "rls-off", "push"),
            ("alter table public.users disable row level security", "rls-off", "push"),
            ("revoke execute on function public.get_current_tenant_id() from public, platform", "tenant-function-grant-lost", "push-function"),
        ],
    )  # fmt: skip
    def test_found(self, database: Database, fault: str, cause: str, remedy: str):
        database.admin.execute(fault)  # pyright: ignore[reportArgumentType, reportCallIssue] - as above
        diagnosis = looked(place_of(database), RLS)
        assert diagnosis.findings[0].cause == cause
        assert diagnosis.findings[0].remedy is not None
        assert diagnosis.findings[0].remedy.id == remedy
        assert diagnosis.findings[0].evidence[0].output

    def test_a_role_that_no_policy_binds(self, database: Database):
        database.admin.execute("alter role platform bypassrls")
        try:
            place = place_of(database)
            first = looked(place, RLS).findings[0]
            assert (first.cause, first.kind, first.confidence) == ("role-bypasses-rls", "rls_breach", "certain")
            heals(place, "bind-role", RLS)
        finally:
            database.admin.execute("alter role platform nobypassrls")

    def test_a_decoy_in_another_schema_hides_nothing(self, database: Database):
        database.admin.execute("alter function public.get_current_tenant_id() rename to gone")
        database.admin.execute(
            "create schema decoy; create function decoy.get_current_tenant_id() returns uuid language sql return null::uuid"
        )
        first = looked(place_of(database), RLS).findings[0]
        assert first.cause == "tenant-function-missing"
        assert "1 of that name elsewhere" in first.says


class TestConnections:
    def test_a_database_that_takes_none(self, database: Database):
        name = database.urls.platform.database
        with psycopg.connect(database.superuser.with_database("postgres").reveal(), autocommit=True) as admin:
            admin.execute(f"alter database {name} allow_connections false")  # pyright: ignore[reportArgumentType, reportCallIssue] - a name of ours
        place = place_of(database)
        assert found(place, CONNECTION)[0] == "server-refuses-us"
        heals(place, "allow-connections", CONNECTION)
        assert found(place, CONNECTION) == []

    def test_a_read_only_database(self, database: Database):
        name = database.urls.platform.database
        database.admin.execute(f"alter database {name} set default_transaction_read_only = on")  # pyright: ignore[reportArgumentType, reportCallIssue] - as above
        place = place_of(database)
        assert found(place, CONNECTION) == ["database-read-only"]
        heals(place, "make-writable", CONNECTION)

    def test_a_server_that_is_read_only_as_a_whole(self, database: Database):
        with psycopg.connect(database.superuser.reveal(), autocommit=True) as admin:
            admin.execute("alter system set default_transaction_read_only = on")
            admin.execute("select pg_reload_conf()")
            try:
                time.sleep(0.3)
                place = place_of(database)
                assert found(place, CONNECTION) == ["database-read-only"]
                heals(place, "make-writable", CONNECTION)
            finally:
                admin.execute("set default_transaction_read_only = off")
                admin.execute("alter system reset default_transaction_read_only")
                admin.execute("select pg_reload_conf()")

    def test_a_limit_of_the_role(self, database: Database):
        place = place_of(database)
        with contextlib.closing(psycopg.connect(database.urls.platform.reveal(), autocommit=True)):
            database.admin.execute("alter role platform connection limit 1")
            try:
                first = looked(place, CONNECTION).findings[0]
                assert (first.cause, first.remedy.id if first.remedy else "") == ("server-full", "lift-role-limit")
                assert "may have 1 connections" in first.says
                heals(place, "lift-role-limit", CONNECTION)
            finally:
                database.admin.execute("alter role platform connection limit -1")

    def test_a_wrong_password(self, database: Database):
        place = place_of(database)
        place.urls = type(database.urls)(
            **{
                **{n: getattr(database.urls, n) for n in database.urls.__struct_fields__},
                "platform": database.urls.platform.with_user("platform", "wrong"),
            }
        )
        first = looked(place, CONNECTION).findings[0]
        assert (first.cause, first.remedy.id if first.remedy else "") == ("server-refuses-us", "correct-password")
        assert "wrong" not in json.dumps([e.output for e in first.evidence])


class TestPool:
    slug = "connection-pool-exhaustion"

    def test_a_lock_that_others_wait_for(self, database: Database):
        with held(database, "lock table public.auth_sessions in row share mode") as holder:
            del holder
            waiter = psycopg.connect(database.superuser.reveal(), autocommit=True)
            with contextlib.closing(waiter):
                waiter.execute("set lock_timeout = '60s'")
                waiter.pgconn.send_query(b"lock table public.auth_sessions in access exclusive mode; commit")
                time.sleep(4)
                place = place_of(database)
                assert found(place, self.slug)[0] == "lock-blocker"
                heals(place, "end-blocker", self.slug)

    def test_transactions_left_open(self, database: Database):
        with held(database, "select 1"):
            time.sleep(10.5)
            place = place_of(database)
            assert found(place, self.slug) == ["transactions-left-open"]
            heals(place, "terminate-idle", self.slug)
            assert found(place, self.slug) == []


class TestUpkeep:
    def test_a_missing_tenant_index_and_an_invalid_one(self, database: Database):
        database.admin.execute(
            "set role tenantry_owner; create table public.notes (id int primary key, body text); select tenantry.protect('notes'); reset role"
        )
        database.admin.execute(
            "do $$ declare i record; begin for i in select indexrelid::regclass as name, conname from pg_index left join pg_constraint on conindid = indexrelid"
            " where indrelid = 'public.notes'::regclass loop if i.conname is null then execute format('drop index %s', i.name);"
            " else execute format('alter table public.notes drop constraint %I cascade', i.conname); end if; end loop; end $$"
        )
        assert found(place_of(database), "performance-degradation")[0] == "tenant-index-missing"
        database.admin.execute("create index notes_tenant on notes (tenant_id)")
        assert found(place_of(database), "performance-degradation") == []
        database.admin.execute(
            "create table public.twice as select 1 as n from generate_series(1, 2); alter table twice enable row level security"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            database.admin.execute("create unique index concurrently twice_key on twice (n)")
        assert found(place_of(database), "performance-degradation") == ["index-invalid"]

    def test_stale_statistics(self, database: Database):
        database.admin.execute(
            "create table public.events2 (id int) with (autovacuum_enabled = off); alter table events2 owner to tenantry_owner;"
            "insert into events2 select generate_series(1, 20000)"
        )
        database.admin.execute("select pg_stat_force_next_flush()")
        place = place_of(database)
        assert "statistics-stale" in found(place, "performance-degradation")
        heals(place, "analyze", "performance-degradation")

    def test_expired_sessions(self, database: Database):
        database.add_tenant("acme")
        person = database.add_member("acme", "ann@acme.example", "owner")
        del person
        database.admin.execute(
            "insert into auth_sessions (token_hash, identity_id, expires) select sha256(n::text::bytea), (select id from auth_identities limit 1),"
            " now() - interval '3 days' from generate_series(1, 2500) n"
        )
        place = place_of(database)
        assert found(place, "authentication-failures") == ["sessions-not-purged"]
        heals(place, "purge-sessions", "authentication-failures")
        assert database.value("select count(*) from auth_sessions") == 1

    def test_a_sequence_near_its_end(self, database: Database):
        database.admin.execute(
            "create sequence public.tickets as smallint; alter sequence tickets owner to tenantry_owner; select setval('tickets', 32000)"
        )
        assert found(place_of(database), "database-upkeep") == ["sequence-near-end"]


class TestSettings:
    def test_a_doubled_secret(self, database: Database):
        (database.home / ".env").write_text("AUTH_SECRET=one\nPORT=1\nAUTH_SECRET=two\n")
        diagnosis = looked(place_of(database), "authentication-failures")
        assert "lines 1, 3, with different values; the last one (line 3) counts" in diagnosis.findings[0].says
        assert "one" not in diagnosis.findings[0].evidence[0].output.split()

    def test_settings_that_cannot_be_used_are_a_finding(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        from tenantry.runbook import open_place

        monkeypatch.chdir(tmp_path)
        (tmp_path / ".env").write_text("PORT=many\nAUTH_GOOGLE_ID=x\n")
        place = open_place(environ={"DATABASE_URL": "postgresql://platform:x@127.0.0.1:1/platform"})
        found_ = looked(place, "health-check-failures").findings[0]
        assert found_.cause == "settings-faulty"
        assert "PORT" in found_.says


class TestDeeds:
    def test_what_is_done_is_written_before_and_after_in_file_and_database(self, database: Database):
        with held(database, "select 1"):
            time.sleep(10.5)
            place = place_of(database)
            heals(place, "terminate-idle", "connection-pool-exhaustion")
        lines = [json.loads(line) for line in (database.home / "watch/remedies.jsonl").read_text().splitlines()]
        assert [(one["what"], one["by"]) for one in lines] == [("begins", "ann"), ("done", "ann"), ("verified", "ann")]
        rows = database.admin.execute("select what, by from tenantry.remedies order by at, what").fetchall()
        assert sorted(rows) == [("begins", "ann"), ("done", "ann"), ("verified", "ann")]

    def test_a_breach_opens_one_incident(self, database: Database):
        database.admin.execute("alter table public.users no force row level security")
        place = place_of(database)
        for _ in range(2):
            wanted = chosen(sections(), slug=RLS)

            async def work(wanted: Any = wanted) -> None:
                await fix(place, wanted, await diagnose(place, wanted), is_fixing=True, approved={})

            asyncio.run(work())
        commands = [json.loads(p.read_text()) for p in (database.home / "watch/inbox").glob("*.json")]
        assert [(one["verb"], one["kind"]) for one in commands] == [("open", "rls_breach")]

    def test_functions_of_the_doctor_reach_nobody_elses_back_end(self, database: Database):
        with (
            psycopg.connect(database.urls.auth.reveal(), autocommit=True) as other,
            psycopg.connect(database.urls.ops.reveal(), autocommit=True) as ops,
        ):
            pid = other.info.backend_pid
            assert ops.execute("select tenantry.terminate(%s), tenantry.cancel(%s)", [pid, pid]).fetchone() == (
                False,
                False,
            )
            assert other.execute("select 1").fetchone() == (1,)
        for login in (database.urls.platform, database.urls.auth):
            with (
                psycopg.connect(login.reveal(), autocommit=True) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute("select tenantry.terminate(1)")


def test_a_stopped_server_is_named_in_five_seconds(cluster18: Cluster, database: Database):
    """SIGSTOP to the postmaster of the tests' own server, and SIGCONT in any case."""
    own = database.settings(database_url=None, home=cluster18.home / "home")
    place = Place(own, database.urls, superuser=database.superuser, env_file=database.home / ".env")
    pid = int((cluster18.embedded.status().data / "postmaster.pid").read_text().split("\n", 1)[0])
    family = [pid, *(child.pid for child in psutil.Process(pid).children())]
    for one in family:
        os.kill(one, signal.SIGSTOP)
    try:
        started = time.monotonic()
        diagnosis = looked(place)
        took = time.monotonic() - started
    finally:
        for one in reversed(family):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)
    assert diagnosis.findings[0].cause == "server-silent", [f.cause for f in diagnosis.findings]
    assert "stopped (T)" in diagnosis.findings[0].says
    assert took < 10  # 5 s by the specification, on a machine of its own
