"""A history that lost rows: `db push` finds again what was applied, and puts no older text over a newer one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tenantry.db.migrate import Migration, push
from tenantry.errors import MigrationFailed
from tenantry.tenancy import REPAIRS, builtin_migrations, holes
from tests.conftest import Database

BUILT_IN = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
SNAPSHOT = """
select 'function', p.oid::regprocedure::text, md5(p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '') || coalesce(p.proacl::text, ''))
  from pg_proc p where p.pronamespace in ('tenantry'::regnamespace, 'public'::regnamespace) and p.prokind = 'f'
union all
select 'policy', l.polname || ' on ' || l.polrelid::regclass, concat(pg_get_expr(l.polqual, l.polrelid), pg_get_expr(l.polwithcheck, l.polrelid), l.polroles)
  from pg_policy l
union all
select 'relation', c.oid::regclass::text, c.relacl::text from pg_class c where c.relnamespace in ('tenantry'::regnamespace, 'public'::regnamespace)
union all
select 'history', m.kind || m.name, md5(m.sha256) from tenantry.migrations m
order by 1, 2
"""


def pushed(database: Database, migrations: list[Migration] = BUILT_IN) -> list[str]:
    return push(database.urls.admin, migrations, repairs=REPAIRS, look=holes).repaired


def snapshot(database: Database) -> list[tuple[object, ...]]:
    return database.admin.execute(SNAPSHOT).fetchall()


def test_any_row_that_was_lost_is_put_back_and_nothing_else_changes(database: Database):
    before = snapshot(database)
    for migration in BUILT_IN:
        database.admin.execute(
            "delete from tenantry.migrations where name = $1 and kind = 'built-in'", [migration.name]
        )
        pushed(database)
        assert snapshot(database) == before, migration.name


def test_a_history_that_was_lost_whole(database: Database):
    before = snapshot(database)
    database.admin.execute("delete from tenantry.migrations where kind = 'built-in'")
    lines = pushed(database)
    assert "0001_roles.sql: its row of the history was lost, and is put back" in lines
    assert snapshot(database) == before


def test_of_an_applications_file_it_is_said_what_to_do(database: Database):
    mine = Migration("0001_pads.sql", "create table pads (id int primary key);\nselect tenantry.protect('pads');")
    pushed(database, [*BUILT_IN, mine])
    database.admin.execute("delete from tenantry.migrations where name = $1", [mine.name])
    with pytest.raises(MigrationFailed) as caught:
        pushed(database, [*BUILT_IN, mine])
    assert "tenantry db adopt 0001_pads.sql" in str(caught.value)


def test_it_is_noted_by_its_name_and_only_once(database: Database):
    folder = database.home / "migrations"
    folder.mkdir()
    (folder / "0001_pads.sql").write_text("create table pads (id int primary key);\nselect tenantry.protect('pads');\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TENANTRY_", "DATABASE_"))}
    environment |= {
        "DATABASE_URL": database.urls.platform.reveal(), "DATABASE_ADMIN_URL": database.urls.admin.reveal(),
        "TENANTRY_HOME": str(database.home / "home"),
    }  # fmt: skip

    def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tenantry.cli.main", *arguments]
        return subprocess.run(command, cwd=database.home, env=environment, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip

    assert typed("db", "push").returncode == 0
    database.admin.execute("delete from tenantry.migrations where kind = 'application'")
    failed = typed("db", "push")
    assert failed.returncode != 0
    assert "tenantry db adopt 0001_pads.sql" in failed.stderr
    adopted = typed("db", "adopt", "0001_pads.sql", "--json")
    assert (adopted.returncode, json.loads(adopted.stdout)) == (0, {"adopted": "0001_pads.sql"})
    assert typed("db", "push").returncode == 0
    assert "noted as applied already" in typed("db", "adopt", "0001_pads.sql").stderr
