"""Backups: made of one snapshot, encrypted, restored into a database that is as safe as the first, and refused when damaged."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.backup import BackupFailed, Proof, Shelf, create, restore, verify
from tenantry.backup.sealed import CHUNK_BYTES, MARK, Sealing, opened
from tenantry.db.migrate import Migration
from tenantry.runbook.model import Facts, NotApplicable, Seen
from tenantry.runbook.probes.backup import BACKUPS
from tenantry.runbook.sections.s11_backup import SECTION
from tenantry.settings import Secret
from tenantry.tenancy import builtin_migrations
from tests.conftest import Database, People

OURS = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
KEY = Secret("correct horse battery staple")


def sealed(plain: bytes, key: Secret = KEY) -> bytes:
    into = io.BytesIO()
    sealing = Sealing(into, key)
    sealing.write(plain)
    sealing.finish()
    return into.getvalue()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_what_was_sealed_is_opened(size: int):
    plain = os.urandom(size)
    assert b"".join(opened(io.BytesIO(sealed(plain)), KEY)) == plain


@pytest.mark.parametrize("size", [CHUNK_BYTES, CHUNK_BYTES + 100])
def test_a_file_that_was_cut_off_or_changed_is_refused(size: int):
    whole = sealed(os.urandom(size))
    cut = len(MARK) + 16 + min(size, CHUNK_BYTES) + 16
    changed = bytearray(whole)
    changed[-1] ^= 1
    for broken in (whole[: cut - 1], whole[:cut] if size > CHUNK_BYTES else whole[:-1], bytes(changed)):
        with pytest.raises(BackupFailed):
            list(opened(io.BytesIO(broken), KEY))


@settings(max_examples=5, deadline=None)
@given(st.text(min_size=1, max_size=20).filter(lambda text: text != KEY.reveal()))
def test_another_passphrase_opens_nothing(text: str):
    with pytest.raises(BackupFailed):
        list(opened(io.BytesIO(sealed(b"rows")), Secret(text)))


def shelf_of(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "backups").made()


@pytest.mark.parametrize("key", [None, KEY])
def test_a_backup_is_restored_with_every_row_and_all_that_restores_lose(
    database: Database, people: People, tmp_path: Path, key: Secret | None
):
    database.add_members("acme", 7)
    shelf = shelf_of(tmp_path)
    made = create(database.superuser, shelf, passphrase=key)
    assert made.counts["public.users"] == 13
    text = shelf.dump(made.name).read_bytes()
    assert text.startswith(b"PGDMP") is (key is None)
    assert shelf.dump(made.name).stat().st_mode & 0o077 == 0
    name = f"{database.superuser.database}_restored"
    try:
        proof = restore(shelf, made, database.superuser, name, urls=None, migrations=OURS, passphrase=key)
        assert proof.rows == made.rows
        assert shelf.proven() == proof
        with psycopg.connect(database.superuser.with_database(name).reveal(), autocommit=True) as there:
            (may,) = there.execute(
                "select has_database_privilege('public', current_database(), 'temp')"
            ).fetchone() or (None,)
            assert may is False
            kept = "select count(*) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where d.datname = %s"
            before = there.execute(kept, (database.superuser.database,)).fetchone()
            assert there.execute(kept, (name,)).fetchone() == before
        # A session of before opens its tenant, and only that one.
        url = database.urls.platform.with_database(name)
        with psycopg.connect(url.reveal()) as there:
            there.execute("select * from tenantry.enter(%b)", (people.acme.owner.token.encode(),), binary=True)
            assert (there.execute("select count(*) from users").fetchone() or (0,))[0] == 10
    finally:
        database.admin.execute(f"drop database if exists {name} with (force)")


def test_verify_leaves_no_database_and_a_damaged_backup_proves_nothing(
    database: Database, people: People, tmp_path: Path
):
    shelf = shelf_of(tmp_path)
    made = create(database.superuser, shelf)
    assert verify(shelf, made, database.superuser, migrations=OURS).rows == made.rows
    path = shelf.dump(made.name)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BackupFailed, match="checksum"):
        verify(shelf, made, database.superuser, migrations=OURS)
    left = "select count(*) from pg_database where datname like 'tenantry_proof_%'"
    assert database.value(left) == 0


def test_a_restore_that_lacks_a_row_is_no_proof(database: Database, people: People, tmp_path: Path):
    shelf = shelf_of(tmp_path)
    made = create(database.superuser, shelf)
    wrong = type(made)(
        **{**{f: getattr(made, f) for f in made.__struct_fields__}, "counts": {**made.counts, "public.users": 99}}
    )
    with pytest.raises(BackupFailed, match=r"public\.users: 6 rows, 99"):
        verify(shelf, wrong, database.superuser, migrations=OURS)
    assert shelf.proven() is None


def test_a_database_that_is_there_is_not_written_into(database: Database, tmp_path: Path):
    shelf = shelf_of(tmp_path)
    made = create(database.superuser, shelf)
    with pytest.raises(BackupFailed, match="already"):
        restore(shelf, made, database.superuser, database.superuser.database, urls=None, migrations=OURS)
    assert database.value("select count(*) from tenantry.migrations") > 0


def test_the_doctor_complains_of_a_restore_that_was_never_proved(database: Database, tmp_path: Path):
    place: Any = SimpleNamespace(home=tmp_path, settings=SimpleNamespace(restore_days=30, backups=None))
    with pytest.raises(NotApplicable):
        asyncio.run(BACKUPS.look(place))
    shelf = shelf_of(tmp_path)
    made = create(database.superuser, shelf)
    judge = SECTION.causes[0].judge
    found = judge(facts(place))
    assert found is not None
    assert found.fields == {"when": "never"}
    shelf.prove(Proof(made.at, made.name, made.at, "there", 1, 1.0))
    assert judge(facts(place)) is None
    shelf.prove(Proof("2020-01-01T00:00:00+00:00", made.name, made.at, "there", 1, 1.0))
    assert judge(facts(place)) is not None


def facts(place: Any) -> Facts:
    looked = asyncio.run(BACKUPS.look(place))
    return Facts({BACKUPS.name: Seen(BACKUPS.name, "ok", looked.values, "", None)})  # type: ignore[arg-type]
