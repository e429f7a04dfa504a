"""Migrations: once, in order, whole or not at all; and what a push puts back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tenantry.db.migrate import Migration, push, status
from tenantry.errors import IsolationBroken, MigrationChanged, MigrationFailed, TableNotProtected
from tenantry.tenancy import REPAIRS, builtin_migrations
from tests.conftest import Cluster, Database

OWN = [Migration(name, text, "built-in") for name, text in builtin_migrations()]


@pytest.fixture(params=["18", "15"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    cluster: Cluster = request.getfixturevalue(f"cluster{request.param}")
    with cluster.database() as made:
        yield made


def pushed(database: Database, *files: tuple[str, str], **options: Any) -> Any:
    return push(database.superuser, [*OWN, *(Migration(*file) for file in files)], repairs=REPAIRS, **options)


NOTES = (
    "0001_notes.sql",
    "create table notes (id uuid primary key default gen_random_uuid(), body text);\nselect tenantry.protect('notes');",
)


def test_a_file_is_applied_once(database: Database) -> None:
    assert pushed(database, NOTES).applied == ["0001_notes.sql"]
    assert pushed(database, NOTES).applied == []


def test_a_file_may_have_the_name_of_one_of_tenantrys_own(database: Database) -> None:
    assert pushed(database, (OWN[0].name, NOTES[1])).applied == [OWN[0].name]
    assert pushed(database, (OWN[0].name, NOTES[1])).applied == []


def test_the_migrating_login_can_push_after_the_superuser(database: Database) -> None:
    done = push(database.urls.admin, [*OWN, Migration(*NOTES)], repairs=REPAIRS)
    assert done.applied == ["0001_notes.sql"]


def test_an_edited_file_is_named_with_its_date(database: Database) -> None:
    pushed(database, NOTES)
    with pytest.raises(MigrationChanged, match=r"0001_notes.sql was edited after it was applied on 20\d\d-"):
        pushed(database, (NOTES[0], NOTES[1] + " "))


def test_an_open_table_is_rolled_back_with_its_cure(database: Database) -> None:
    with pytest.raises(TableNotProtected) as raised:
        pushed(database, ("0007_tags.sql", "-- tags\ncreate table tags (id int);"))
    assert str(raised.value) == (
        'TABLE_NOT_PROTECTED 0007_tags.sql:2 makes table "tags", and no policy guards it: every tenant could read every row. Nothing was changed.\n'
        "Add: select tenantry.protect('tags');  If all tenants share it, read-only: select tenantry.share('tags', 'why');"
    )
    assert database.value("select to_regclass('public.tags')") is None
    assert status(database.superuser, [*OWN]).defects == []


@pytest.mark.parametrize(
    "hole",
    ["create policy evil on notes using (true)", "alter table notes no force row level security", "drop policy tenantry_select on notes",
     "create view everything as select * from notes",
     "create function peep() returns bigint language sql security definer as 'select count(*) from public.notes'; grant execute on function peep() to platform"],
)  # fmt: skip
def test_a_hole_of_another_kind_is_rolled_back(database: Database, hole: str) -> None:
    pushed(database, NOTES)
    with pytest.raises(IsolationBroken):
        pushed(database, NOTES, ("0002_hole.sql", hole))
    assert status(database.superuser, OWN).defects == []


def test_a_failing_file_says_line_and_statement_and_leaves_nothing(database: Database) -> None:
    with pytest.raises(MigrationFailed) as raised:
        pushed(database, ("0001_bad.sql", "create table a (id int);\n\nselekt 1;"))
    assert (raised.value.fields["line"], raised.value.fields["statement"]) == (3, "selekt 1;")
    assert database.value("select to_regclass('public.a')") is None


def test_an_index_can_be_built_beside_running_requests(database: Database) -> None:
    text = "-- tenantry: no-transaction\ncreate index concurrently notes_body_idx on notes (body)"
    assert pushed(database, NOTES, ("0002_index.sql", text)).applied[-1] == "0002_index.sql"


@pytest.mark.parametrize(
    "broken",
    ["drop function public.get_current_tenant_id() cascade",
     "create or replace function public.get_current_tenant_id() returns uuid language sql stable as 'select null::uuid'",
     "alter table notes disable row level security", "alter table notes no force row level security",
     "drop policy tenantry_select on notes", "alter policy tenantry_update on notes using (true)",
     "create policy evil on notes using (true)"],
)  # fmt: skip
def test_a_push_repairs_what_was_broken_by_hand(database: Database, broken: str) -> None:
    pushed(database, NOTES)
    before = database.value("select pg_get_functiondef('public.get_current_tenant_id()'::regprocedure)")
    database.admin.execute(broken)
    assert pushed(database, NOTES).repaired != []
    assert status(database.superuser, [*OWN, Migration(*NOTES)]).defects == []
    assert database.value("select pg_get_functiondef('public.get_current_tenant_id()'::regprocedure)") == before
    assert pushed(database, NOTES).repaired == []


def test_permissions_follow_the_application(database: Database) -> None:
    pushed(database, permissions={"notes.close": ("admin", "Close notes"), "notes.read": ("member", "Read")})
    pushed(database, permissions={"notes.close": ("owner", "Close notes")})
    assert database.admin.execute("select name, least from tenantry.permissions").fetchall() == [
        ("notes.close", "owner")
    ]
