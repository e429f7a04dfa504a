"""Faults next to those of the drills: named first, with a remedy; mended where a statement can; and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import psycopg
import pytest

from tenantry.drills.wire import Provider
from tenantry.runbook import chosen, diagnose, sections
from tenantry.runbook.diagnose import think
from tenantry.runbook.model import Seen
from tenantry.runbook.probes.configuration import changes
from tenantry.runbook.probes.rights import FUNCTIONS
from tenantry.settings import Secret
from tests.conftest import Database
from tests.runbook.test_faults import CONNECTION, ELSEWHERE, found, heals, held, looked, place_of

SLUG = "rights-and-settings"
EVERYWHERE = (
    "health-check-failures",
    CONNECTION,
    "rls-policy-violations",
    "connection-pool-exhaustion",
    "performance-degradation",
    "database-upkeep",
    SLUG,
)


def run(database: Database, *statements: str) -> None:
    for statement in statements:
        database.admin.execute(statement.replace("DB", database.urls.platform.database))  # pyright: ignore[reportArgumentType, reportCallIssue] - texts of this file


def first(database: Database, *slugs: str) -> tuple[str, str]:
    finding = next(f for f in looked(place_of(database), *(slugs or EVERYWHERE)).findings if f.cause not in ELSEWHERE)
    assert finding.evidence[0].output
    return finding.cause, "" if finding.remedy is None else finding.remedy.id


IN_THIS_DATABASE = [
    ("revoke usage on schema public from platform, public", "grant-lost", "grant-again"),
    ("revoke usage on schema tenantry from platform", "grant-lost", "grant-again"),
    ("revoke usage on schema tenantry from tenantry_auth", "grant-lost", "grant-again"),
    ("revoke all on public.users from platform", "grant-lost", "grant-again"),
    ("revoke select on tenantry.migrations from platform, public", "grant-lost", "grant-again"),
    ("revoke execute on function tenantry.enter(bytea, boolean, text, uuid, integer) from platform, public", "grant-lost", "grant-again"),
    ("revoke execute on function tenantry.sign_in(text, bytea, bytea, text) from tenantry_auth, public", "grant-lost", "grant-again"),
    ("revoke connect on database DB from platform, public", "role-shut-out", "let-role-in"),
    ("alter function tenantry.enter(bytea, boolean, text, uuid, integer) rename to entered", "function-missing", "push-again"),
    ("alter policy tenantry_select on public.users using (true)", "policy-missing", "push"),
    ("alter policy tenantry_select on public.users to public", "policy-altered", "push-again"),
    ("create policy extra on public.users for select to platform using (true)", "policy-unknown", "push"),
    ("drop policy tenantry_delete on public.users", "policy-missing", "push"),
    ("create policy deny on public.users as restrictive for select to platform using (false)", "policy-closed", "drop-closed"),
    ("alter table public.users owner to postgres", "owner-changed", "own-again"),
    ("alter table public.users disable trigger all", "trigger-disabled", "enable-triggers"),
    ("alter table public.users alter tenant_id drop default", "tenant-default-missing", "push-again"),
    ("drop extension pg_stat_statements", "extension-gone", "make-extension"),
    ("alter role platform in database DB set statement_timeout = '5ms'", "setting-changed", "set-again"),
    ("alter role platform in database DB set search_path = decoy, public", "setting-changed", "set-again"),
    ("alter role platform in database DB reset search_path", "setting-changed", "set-again"),
    ("alter role platform in database DB set lock_timeout = '1ms'", "setting-changed", "set-again"),
    ("alter database DB set idle_session_timeout = '1s'", "setting-changed", "set-again"),
    ("alter database DB set lock_timeout = '1ms'", "setting-changed", "set-again"),
    ("alter database DB set row_security = off", "setting-changed", "set-again"),
    ("alter database DB set enable_indexscan = off", "setting-changed", "set-again"),
    ("alter role platform in database DB set default_transaction_read_only = on", "database-read-only", "make-writable"),
    ("alter database DB connection limit 1", "server-full", "lift-database-limit"),
    ("grant truncate on public.users to platform", "isolation-hole", "close-found-hole"),
    ("alter function tenantry.can(text) volatile", "function-replaced", "push-texts"),
    ("alter table public.users rename to people", "table-gone", "bring-table-back"),
    ("delete from tenantry.event_ring", "events-cannot-be-written", "push-ring"),
    ("create view public.leak as select 1 as n; grant select on public.leak to platform", "isolation-open", "close-isolation"),
    (
        "create function public.opened() returns int language sql security definer as 'select 1'; grant execute on function public.opened() to platform",
        "isolation-open", "close-hole",
    ),
    ("create table public.bare (tenant_id uuid, body text)", "table-unprotected", "protect"),
    ("alter role platform in database DB set work_mem = '8GB'", "setting-changed", "set-again"),
    ("alter database DB set temp_file_limit = '1MB'", "setting-changed", "set-again"),
    ("alter database DB set client_encoding = 'SQL_ASCII'", "setting-changed", "set-again"),
    ("drop schema tenantry cascade", "schema-missing", "look-at-schema"),
    ("delete from tenantry.migrations", "migrations-differ", "push-migrations"),
    ("update tenantry.migrations set sha256 = sha256(name::bytea) where name like '0004%'", "migrations-differ", "push-migrations"),
    ("create sequence public.near as integer; select setval('public.near', 2147480000); alter sequence public.near owner to tenantry_owner", "sequence-near-end", "widen-sequence"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "cause", "remedy"), IN_THIS_DATABASE, ids=[fault[:60] for fault, _, _ in IN_THIS_DATABASE]
)
def test_a_fault_of_the_database_is_named_first(database: Database, fault: str, cause: str, remedy: str):
    run(database, *fault.split("; "))
    assert first(database) == (cause, remedy)


MENDED = [
    ("revoke usage on schema public from platform, public", "grant-again"),
    ("revoke execute on function tenantry.sign_in(text, bytea, bytea, text) from tenantry_auth, public", "grant-again"),
    ("alter table public.users owner to postgres", "own-again"),
    ("alter table public.users disable trigger all", "enable-triggers"),
    ("drop extension pg_stat_statements", "make-extension"),
    ("grant truncate on public.users to platform", "close-found-hole"),
    ("alter role platform in database DB set search_path = decoy, public", "set-again"),
    ("alter database DB set lock_timeout = '1ms'", "set-again"),
    ("create view public.leak as select 1 as n", "close-isolation"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "remedy"), MENDED)
def test_and_is_mended(database: Database, fault: str, remedy: str):
    run(database, fault)
    place = place_of(database)
    heals(place, remedy, SLUG)
    assert found(place, SLUG) == []


SHARED = [
    ("alter role platform nologin", "alter role platform login", "role-shut-out", "let-role-in"),
    ("alter role platform valid until '2020-01-01'", "alter role platform valid until 'infinity'", "role-shut-out", "let-role-in"),
    ("alter role tenantry_auth nologin", "alter role tenantry_auth login", "role-shut-out", "let-role-in"),
    ("alter role tenantry_auth bypassrls", "alter role tenantry_auth nobypassrls", "isolation-open", "close-isolation"),
    ("alter role platform set statement_timeout = '5ms'; alter role platform set lock_timeout = '5ms'", "alter role platform reset all", "setting-changed", "set-again"),
    ("alter role platform createrole", "alter role platform nocreaterole", "isolation-hole", "close-found-hole"),
    ("grant set on parameter backtrace_functions to platform", "revoke set on parameter backtrace_functions from platform", "isolation-hole", "close-found-hole"),
    ("alter system set idle_session_timeout = '30s'; select pg_reload_conf()", "alter system reset idle_session_timeout; select pg_reload_conf()", "server-setting-harmful", "reset-server-setting"),
    ("alter system set temp_file_limit = '64kB'; select pg_reload_conf()", "alter system reset temp_file_limit; select pg_reload_conf()", "server-setting-harmful", "reset-server-setting"),
    ("alter system set work_mem = '8GB'; select pg_reload_conf()", "alter system reset work_mem; select pg_reload_conf()", "server-setting-harmful", "reset-server-setting"),
    ("alter system set default_transaction_isolation = serializable; select pg_reload_conf()", "alter system reset default_transaction_isolation; select pg_reload_conf()", "server-setting-harmful", "reset-server-setting"),
    ("alter system set track_counts = off; select pg_reload_conf()", "alter system reset track_counts; select pg_reload_conf()", "server-setting-harmful", "reset-server-setting"),
    # The tests' servers have both off, which is a server that is meant so.
    ("alter system set fsync = on; select pg_reload_conf()", "alter system set fsync = off; alter system set full_page_writes = off; select pg_reload_conf()", "durability-off", "make-durable"),
    ("alter system set autovacuum = off; select pg_reload_conf()", "alter system reset autovacuum; select pg_reload_conf()", "server-setting-harmful", "reset-server-setting"),
]  # fmt: skip
"""Of the whole server: one after the other, and each taken away whatever comes."""


@pytest.mark.parametrize(("fault", "undo", "cause", "remedy"), SHARED, ids=[fault[:50] for fault, *_ in SHARED])
def test_a_fault_of_the_server_is_named_first_and_mended(
    database: Database, fault: str, undo: str, cause: str, remedy: str
):
    run(database, *fault.split("; "))
    try:
        time.sleep(0.3)  # a reload is heard by every process
        assert first(database) == (cause, remedy)
        heals(place_of(database), remedy, SLUG)
    finally:
        run(database, *undo.split("; "))


class TestPlaces:
    """A URL that leads elsewhere."""

    def test_a_wrong_port_beside_a_server_that_runs(self, database: Database):
        place = place_of(database)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            name = "127.0.0.1:" + str(port)
            wrong = {
                n: type(u)(u.reveal().replace(u.place, name))
                for n in database.urls.__struct_fields__
                for u in [getattr(database.urls, n)]
            }
            place.urls = type(database.urls)(**wrong)
            causes = found(place, CONNECTION)
        assert causes[0] in ("server-elsewhere", "server-not-running"), (
            causes
        )  # whether listeners are seen depends on who runs this
        assert "server-elsewhere" in causes or causes[0] == "server-not-running"

    def test_a_login_of_ours_with_a_wrong_password(self, database: Database):
        place = place_of(database)
        urls = {n: getattr(database.urls, n) for n in database.urls.__struct_fields__}
        place.urls = type(database.urls)(**{**urls, "auth": database.urls.auth.with_user("tenantry_auth", "wrong")})
        finding = looked(place, CONNECTION).findings[0]
        assert finding.cause == "login-refused"
        assert "tenantry_auth (28P01)" in finding.says

    def test_a_database_that_is_not_there(self, database: Database):
        place = place_of(database)
        place.urls = type(database.urls)(
            **{n: getattr(database.urls, n).with_database("no_such") for n in database.urls.__struct_fields__}
        )
        finding = looked(place, CONNECTION).findings[0]
        assert (finding.cause, finding.remedy.id if finding.remedy else "") == ("server-refuses-us", "make-database")

    def test_tls_on_one_side_only(self, database: Database):
        place = place_of(database)
        wrong = {
            n: type(u)(u.reveal() + ("&" if u.query else "?") + "sslmode=require")
            for n in database.urls.__struct_fields__
            for u in [getattr(database.urls, n)]
        }
        place.urls = type(database.urls)(**wrong)
        finding = looked(place, CONNECTION).findings[0]
        assert (finding.cause, finding.remedy.id if finding.remedy else "") == ("server-refuses-us", "correct-tls")


async def test_a_sign_in_provider_that_does_not_know_us_and_one_that_is_gone(database: Database):
    provider = Provider()
    await provider.start()
    secret = {
        name: Secret(text)
        for name, text in (("issuer", f"http://127.0.0.1:{provider.port}"), ("id", "us"), ("secret", "ours"))
    }
    place = place_of(database, oidc_providers={"acme": secret})
    wanted = chosen(sections(), slug="authentication-failures")

    async def causes() -> list[str]:
        return [finding.cause for finding in (await diagnose(place, wanted)).findings]

    try:
        assert await causes() == []
        provider.says = "invalid_client"
        assert await causes() == ["provider-client-wrong"]
    finally:
        await provider.stop()
    assert await causes() == ["provider-down"]


async def test_looking_leaves_nothing_in_a_session(database: Database):
    """A pooler gives the session to somebody else: a setting that stays there would make its writes fail."""
    place = place_of(database)
    try:
        for login in ("ops", "platform"):
            for _ in range(2):
                (row,) = await place.ask(
                    login, "select current_setting('transaction_read_only') as inside, pg_backend_pid() as pid"
                )
                assert row["inside"] == "on"
            (connection,) = place._idle[login]
            cursor = await connection.execute(
                "select current_setting('default_transaction_read_only'), current_setting('statement_timeout')"
            )
            found_there = await cursor.fetchone()
            assert found_there == ("off", "1min" if login == "platform" else "0")
    finally:
        place.rest()


def test_a_function_of_the_seal_that_was_replaced(database: Database):
    """By what the watcher saw last, at the same history of migrations."""
    from tenantry.processes.isolation import Isolation

    place = place_of(database)
    (place.home / "watch").mkdir(exist_ok=True)
    asyncio.run(Isolation(place.settings).look())
    assert found(place, SLUG) == []
    run(
        database,
        "create or replace function public.get_current_tenant_id() returns uuid language sql stable as 'select null::uuid'",
    )
    finding = looked(place, SLUG).findings[0]
    assert (finding.cause, finding.kind, finding.remedy.id if finding.remedy else "") == (
        "function-replaced",
        "rls_breach",
        "push-again",
    )


def test_a_privilege_that_was_taken_is_a_cause_while_calls_fail(database: Database):
    run(database, "set role tenantry_owner", "create table public.jobs (id int primary key)", "select tenantry.protect('jobs')", "reset role",
        "revoke insert on public.jobs from platform")  # fmt: skip
    diagnosis = looked(place_of(database), SLUG)
    assert [f.cause for f in diagnosis.findings if f.cause not in ELSEWHERE] == []
    seen = dict(diagnosis.seen)
    seen["recent-counts"] = Seen(
        "recent-counts", "ok", {"errors": {"jobs.add/INTERNAL_SERVER_ERROR/server": 3.0}}, "", seen["rights"].evidence
    )
    (finding,) = [f for f in think(chosen(sections(), slug=SLUG), seen) if f.cause not in ELSEWHERE]
    assert (finding.cause, finding.says.endswith("insert on jobs.")) == ("privilege-missing", True)


class TestTransactions:
    slug = "connection-pool-exhaustion"

    def test_a_table_that_somebody_has_for_himself_while_nobody_waits(self, database: Database):
        with held(database, "lock table public.auth_sessions in row share mode"):
            other = psycopg.connect(database.superuser.reveal(), autocommit=True)
            with contextlib.closing(other):
                other.execute("begin")
                other.execute("lock table public.users in access exclusive mode")
                time.sleep(10.5)
                finding = looked(place_of(database), self.slug).findings[0]
        assert (finding.cause, finding.remedy.id if finding.remedy else "") == ("lock-blocker", "end-others-blocker")

    def test_another_applications_transaction(self, database: Database):
        url = database.superuser.reveal()
        with contextlib.closing(psycopg.connect(url, autocommit=True, application_name="reporting")) as other:
            other.execute("begin")
            other.execute("select 1")
            time.sleep(20.5)
            finding = looked(place_of(database), self.slug).findings[0]
        assert finding.cause == "others-transaction-open"
        assert "reporting" in finding.says


def test_a_slot_that_nobody_reads(database: Database):
    name = f"left_{database.urls.platform.database}"[:60]
    database.admin.execute("select pg_create_physical_replication_slot($1, true)", [name])
    try:
        assert "slot-unused" in found(place_of(database), "database-upkeep")
    finally:
        database.admin.execute("select pg_drop_replication_slot($1)", [name])


def test_what_every_installation_calls_is_there_and_may_be_called(database: Database):
    rows = database.admin.execute(
        "select f.name from unnest($1::text[], $2::text[]) as f (name, role) where to_regprocedure(f.name) is null"
        " or not has_function_privilege(f.role, to_regprocedure(f.name)::oid, 'execute')",
        [[name for name, _ in FUNCTIONS], [role for _, role in FUNCTIONS]],
    ).fetchall()
    assert rows == []


def row(database: str, role: str, name: str, value: str) -> dict[str, Any]:
    return {"database": database, "role": role, "name": name, "value": value}


MADE = [
    row("app", role, name, value)
    for role, wanted in (("platform", "60s"), ("tenantry_auth", "10s"))
    for name, value in (("search_path", "public"), ("statement_timeout", wanted), ("timezone", "UTC"))
] + [row("app", "tenantry_ops", "search_path", "public")]


@pytest.mark.parametrize(
    ("rows", "cures"),
    [
        ([], []),
        ([row("", "", "lock_timeout", "1ms")], ["alter role all reset lock_timeout"]),
        ([row("app", "", "lock_timeout", "1ms")], ['alter database "app" reset lock_timeout']),
        ([row("", "platform", "lock_timeout", "1ms")], ["alter role platform reset lock_timeout"]),
        ([row("app", "", "search_path", "decoy")], []),
        ([row("app", "", "work_mem", "64MB")], []),
    ],
)  # fmt: skip
def test_settings_that_another_one_goes_before_do_no_harm(rows: list[dict[str, Any]], cures: list[str]):
    assert [one["cure"] for one in changes([*MADE, *rows], "app", 180000)] == cures
