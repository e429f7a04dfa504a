"""An Auth.js database is taken over, and nobody has to sign in again."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tenantry.cli.main import main
from tests.auth.browser import Browser, signing_in
from tests.conftest import Database

ADAPTER = """
create table users (id serial primary key, name text, email text, "emailVerified" timestamptz, image text);
create table accounts (id serial primary key, "userId" integer not null, type text, provider text, "providerAccountId" text, access_token text);
create table sessions (id serial primary key, "userId" integer not null, expires timestamptz not null, "sessionToken" text not null);
insert into users (name, email, "emailVerified") values ('Ann', 'Ann@Acme.example', now()), (null, 'bob@acme.example', null), ('X', 'no address', null);
insert into accounts ("userId", type, provider, "providerAccountId", access_token) values (1, 'oidc', 'google', 'g-ann', 'never copied');
insert into sessions ("userId", expires, "sessionToken") values
    (1, now() + interval '10 days', 'ann-token-0123456789'), (2, now() + interval '1 day', 'bob-token-0123456789'), (1, now() - interval '1 day', 'old');
"""


@pytest.mark.parametrize("prisma", [False, True])
async def test_people_stay_signed_in(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prisma: bool,
) -> None:
    text = ADAPTER
    if prisma:
        for ours, theirs in (("users", '"User"'), ("accounts", '"Account"'), ("sessions", '"Session"')):
            text = text.replace(f"table {ours} ", f"table {theirs} ").replace(f"into {ours} ", f"into {theirs} ")
    name = database.superuser.database + "_old"
    database.admin.execute(f"create database {name}")
    source = database.superuser.with_database(name).reveal()
    try:
        with psycopg.connect(source) as old:
            old.execute(text.encode())
        database.add_tenant("acme")
        monkeypatch.setenv("DATABASE_URL", database.urls.platform.reveal())
        monkeypatch.setenv("DATABASE_ADMIN_URL", database.superuser.reveal())
        monkeypatch.setenv("TENANTRY_ENV", "development")
        counts = {"people": 2, "accounts": 1, "sessions": 2}
        assert main(["auth", "import", source, "--dry-run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {**counts, "written": False}
        for _ in range(2):  # a second time changes nothing
            assert main(["auth", "import", source, "--tenant", "acme", "--json"]) == 0
            assert json.loads(capsys.readouterr().out) == {**counts, "written": True}
    finally:
        database.admin.execute(f"drop database {name} with (force)")
    async with signing_in(database, tmp_path) as app:
        ann = Browser(app)
        ann.jar["authjs.session-token"] = "ann-token-0123456789"
        session = await ann.session()
        assert (session["user"]["email"], session["user"]["role"], session["tenant"]["slug"]) == (
            "ann@acme.example",
            "member",
            "acme",
        )
        assert sorted(u["email"] for u in (await ann.call("users.list"))["items"]) == [
            "ann@acme.example",
            "bob@acme.example",
        ]
    assert database.value("select count(*) from auth_sessions where token_hash = sha256('old')") == 0
    assert database.value("select count(*) from auth_accounts where tokens is not null") == 0


def test_another_database_is_refused_in_words(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.urls.platform.reveal())
    assert main(["auth", "import", database.superuser.with_database("postgres").reveal()]) == 1
    assert "IMPORT_REFUSED" in capsys.readouterr().err
