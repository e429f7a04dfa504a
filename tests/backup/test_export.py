"""A tenant's export: all that is its own and nothing of anybody else's, from one snapshot, counted; and the folder of backups by a setting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tenantry.backup import Shelf, create, verify
from tenantry.cli.main import main
from tenantry.db.migrate import Migration
from tenantry.runbook.probes.backup import BACKUPS
from tenantry.settings import Settings
from tenantry.tenancy import builtin_migrations
from tests.conftest import Cluster, Database, People

BODY = 'a "quoted"\ttab, a \\ backslash, \\n no newline,\na newline, ünïcödé \U0001f600, </script>'
NOTES = """
create table notes (id bigint generated always as identity primary key, "Odd ""name" text, body text not null, n numeric, at timestamptz, raw bytea);
select tenantry.protect('notes');
create table "Weird/Table" (id uuid primary key default gen_random_uuid(), x int);
select tenantry.protect('"Weird/Table"');
create table countries (code text primary key);
select tenantry.share('countries', 'of everybody');
create table parts (id bigint generated always as identity, at date not null, primary key (id, at)) partition by range (at);
create table parts_2026 partition of parts for values from ('2026-01-01') to ('2027-01-01');
select tenantry.protect('parts');
"""


@pytest.fixture(scope="module", params=["cluster18", "cluster15"])
def noted(request: pytest.FixtureRequest) -> tuple[Cluster, str]:
    cluster: Cluster = request.getfixturevalue(request.param)
    return cluster, cluster.make_template("exported", [Migration("notes.sql", NOTES, "application")])


@pytest.fixture
def database(noted: tuple[Cluster, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    cluster, template = noted
    with cluster.database(template) as made:
        urls = made.urls
        for name, url in (("", urls.platform), ("AUTH_", urls.auth), ("OPS_", urls.ops), ("ADMIN_", urls.admin), ("DIRECT_", urls.direct)):  # fmt: skip
            monkeypatch.setenv(f"DATABASE_{name}URL", url.reveal())
        monkeypatch.setenv("TENANTRY_HOME", str(made.home))
        yield made


def filled(database: Database, people: People) -> None:
    for tenant, count in ((people.acme.id, 3), (people.globex.id, 5)):
        for number in range(count):
            database.admin.execute(
                'insert into notes (tenant_id, "Odd ""name", body, n, at, raw) values ($1, $2, $3, $4, $5, $6)',
                (tenant, f"of {tenant}", BODY, "NaN" if number else "12345678901234567890.5", "infinity" if number else None, b"\x00\xff"),
            )  # fmt: skip
        database.admin.execute("insert into parts (tenant_id, at) values ($1, '2026-05-05')", (tenant,))
    database.admin.execute("insert into countries values ('de')")


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_tenant_gets_what_is_its_own_and_nothing_else(
    database: Database, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(database, people)
    sessions = database.value("select count(*) from auth_sessions")
    told = exported(capsys, "tenants", "export", "acme", "--to", str(tmp_path))
    folder = Path(told["folder"])
    assert folder.stat().st_mode & 0o777 == 0o700
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["tenant"] == str(people.acme.id)
    expected = {
        "tenant.jsonl": 1, "public.users.jsonl": 3, "public.notes.jsonl": 3, "public.parts.jsonl": 1, "public.Weird_Table.jsonl": 0,
    }  # fmt: skip
    assert {name: manifest["files"][name]["rows"] for name in expected} == expected
    assert "public.auth_sessions" in manifest["left_out"]
    whole = ""
    for name, one in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (folder / name).stat().st_mode & 0o077 == 0
        assert hashlib.sha256(data).hexdigest() == one["sha256"]
        assert len(data.splitlines()) == one["rows"]
        whole += data.decode()
    assert str(people.globex.id) not in whole
    assert "globex" not in whole
    first = json.loads((folder / "public.notes.jsonl").read_text().splitlines()[0])
    assert first["body"] == BODY
    assert first["raw"] == "\\x00ff"
    assert "countries" not in str(manifest["files"])
    # Secrets are none of it; nothing stays behind; the tenant's trail says it.
    assert people.acme.owner.token not in whole
    assert "token_hash" not in whole
    assert database.value("select count(*) from auth_sessions") == sessions
    assert (
        database.value(
            "select count(*) from audit_log where action = 'operator_export' and tenant_id = $1", people.acme.id
        )
        == 1
    )
    assert not list(tmp_path.glob(".*"))


def test_both_names_of_the_command_do_the_same(
    database: Database, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = exported(capsys, "backup", "export", "--tenant", str(people.globex.id), "--to", str(tmp_path))
    assert told["slug"] == "globex"
    assert told["role"] == "owner"


def test_who_cannot_be_entered_is_not_exported(
    database: Database, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.add_tenant("empty")
    database.admin.execute("update tenantry.tenants set status = 'suspended' where slug = 'globex'")
    for slug, words in (("nobody", "no tenant of this name"), ("empty", "nobody is a member"), ("globex", "suspended"), ("' or true --", "no tenant")):  # fmt: skip
        assert main(["tenants", "export", slug, "--to", str(tmp_path)]) == 1
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_role_of_requests_may_not_visit(database: Database, people: People) -> None:
    import psycopg

    for url in (database.urls.platform, database.urls.auth, database.urls.ops):
        with psycopg.connect(url.reveal()) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "select tenantry.visit_tenant('\\x00', 'acme', 'operator_export', '{}', interval '1 hour')"
            )


async def test_a_setting_names_the_folder_that_the_doctor_reads(
    database: Database,
    people: People,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TENANTRY_BACKUPS", str(tmp_path / "elsewhere"))
    settings = Settings.load()
    shelf = Shelf(tmp_path / "elsewhere").made()
    made = create(database.superuser, shelf)
    ours = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
    verify(shelf, made, database.superuser, migrations=[*ours, Migration("notes.sql", NOTES, "application")])
    look = await BACKUPS.look(SimpleNamespace(settings=settings, home=database.home))  # pyright: ignore[reportArgumentType]
    assert look.values["proven_days"] < 1
    assert main(["backup", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backups"][0]["name"] == made.name
