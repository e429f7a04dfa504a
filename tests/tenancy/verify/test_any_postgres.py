"""`tenantry verify --url` on three schemas in others' style; what it prints stands, word by word, in docs/guides/verify-any-postgres.md.

To write the page's outputs anew: TENANTRY_WRITE_DOCS=1 pytest tests/tenancy/verify/test_any_postgres.py
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tenantry.cli.main import main
from tests.conftest import Cluster

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "guides" / "verify-any-postgres.md"
ROLES = {"basejump": "authenticated", "django_rls": "django", "t3": "postgres"}
ACME = 'aaaaaaaa-0000-4000-8000-00000000000a={"sub": "aaaaaaaa-0000-4000-8000-000000000001"}'
GLOBEX = 'bbbbbbbb-0000-4000-8000-00000000000b={"sub": "bbbbbbbb-0000-4000-8000-000000000002"}'
OPTIONS = {
    "basejump": ["--setting", "request.jwt.claims", "--column", "account_id", "--tenant", ACME, "--tenant", GLOBEX],
    "django_rls": ["--setting", "rls.tenant_id", "--value-type", "bigint"],
    "t3": ["--setting", "app.tenant_id", "--column", "tenantId", "--value-type", "text"],
}


@pytest.fixture(scope="module", params=list(ROLES))
def other(request: pytest.FixtureRequest, cluster18: Cluster) -> Iterator[tuple[str, str]]:
    """(name, superuser's URL) of a database in another's style."""
    name, role = request.param, ROLES[request.param]
    cluster18.admin.execute(f"create database {name}")
    if role != "postgres":
        cluster18.admin.execute(f"create role {role} nologin")
    if name == "django_rls":
        cluster18.admin.execute("alter database django_rls owner to django")
    url = cluster18.superuser.with_database(name).reveal()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute((HERE / "schemas" / f"{name}.sql").read_text("utf-8"))
    try:
        yield name, url
    finally:
        cluster18.admin.execute(f"drop database {name} with (force)")
        if role != "postgres":
            cluster18.admin.execute(f"drop role {role}")


def said(other: tuple[str, str], capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    name, url = other
    code = main(["verify", "--url", url, "--role", ROLES[name], *OPTIONS[name], *more])
    return code, capsys.readouterr().out


EXPECTED = {
    "basejump": ({"V09", "V11", "V12", "V15", "V16", "V21"}, {("view", "public.account_totals"), ("function", "public.revenue()"), ("unique key", "public.invoices_number_key")}),
    "django_rls": ({"V01", "V06", "V14", "V15"}, {("table", "public.blog_post"), ("table", "public.blog_comment")}),
    "t3": ({"V05"}, {("table", 'public."Post"')}),
}  # fmt: skip


def test_what_is_wrong_there_is_found_and_goes_through(
    other: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = said(other, capsys, "--probe", "--json")
    found = json.loads(out)
    checks, leaks = EXPECTED[other[0]]
    assert code == 1
    assert checks <= {one["check"] for one in found["findings"]}
    went = {(one["kind"], one["object"]) for one in found["tried"] if one["outcome"] == "LEAK"}
    assert leaks <= went
    assert not [one for one in found["tried"] if one["outcome"] == "failed"]


def test_what_was_right_there_is_blocked(other: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    if other[0] != "basejump":
        pytest.skip("nothing binds the role of the other two")
    tried = json.loads(said(other, capsys, "--probe", "--json")[1])["tried"]
    tables = [one for one in tried if one["kind"] == "table"]
    assert {one["object"] for one in tables} >= {"basejump.account_user", "public.invoices"}
    assert {one["outcome"] for one in tables} <= {"blocked", "control", "skipped"}


def everything(admin: psycopg.Connection) -> list[tuple[str, int]]:
    tables = admin.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'basejump', 'auth')"
    ).fetchall()
    counts = [(name, admin.execute(f"select count(*) from {name}").fetchone()[0]) for (name,) in tables]
    return counts + admin.execute("select sequencename, last_value from pg_sequences order by 1").fetchall()


def test_nothing_is_left_behind(other: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(other[1], autocommit=True) as admin:
        before = everything(admin)
        said(other, capsys, "--probe")
        assert everything(admin) == before


def test_the_page_shows_what_is_printed(other: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    out = re.sub(
        r"\(\d+\.\d+ s\)", "(0.05 s)", re.sub(r"PostgreSQL [\d.]+", "PostgreSQL 18", said(other, capsys, "--probe")[1])
    )
    # The server of the tests has a database platform only if another test made it.
    out = out.replace("may connect to postgres,", "may connect to platform, postgres,")
    block = re.compile(rf"(<!-- {other[0]} -->\n```text\n)(.*?)(```)", re.DOTALL)
    page = PAGE.read_text("utf-8")
    if os.environ.get("TENANTRY_WRITE_DOCS"):
        PAGE.write_text(block.sub(lambda match: match.group(1) + out + match.group(3), page), "utf-8")
        return
    match = block.search(page)
    assert match is not None
    assert match.group(2) == out
