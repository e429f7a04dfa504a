"""The attack kit (`rls/`): SQL that an attacker injects as platform, after entering a tenant of their own. None may leak."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Database

KIT = Path(__file__).parent / "rls"
OWN = Path(__file__).parent / "own"


def attack(database: Database, *files: Path) -> list[str]:
    """The kit's lines: one an attack. Other files of attacks may be run in its place."""
    ids, tokens = {}, {}
    for slug in ("a", "b"):
        ids[slug] = database.add_tenant(slug)
        tokens[slug] = database.add_member(slug, f"x@{slug}.example", "owner").token
        for n in range(30):
            database.admin.execute("insert into notes (tenant_id, body) values ($1, $2)", (ids[slug], f"{slug}{n}"))
    database.admin.execute("analyze")
    environment = {
        **os.environ, "DATABASE_URL": database.urls.platform.reveal(), "ADMIN_URL": database.superuser.reveal(),
        "TENANT_A": str(ids["a"]), "TENANT_B": str(ids["b"]), "TOKEN_A": tokens["a"], "TOKEN_B": tokens["b"],
    }  # fmt: skip
    ran = subprocess.run(
        ["bash", KIT / "run.sh", *files], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return [line for line in ran.stdout.splitlines() if line.split(" ", 1)[0] in ("OK", "LEAK", "FAIL", "INFO")]


def test_no_attack_of_the_kit_leaks(database: Database) -> None:
    lines = attack(database)
    assert len(lines) >= 31
    assert [line for line in lines if not line.startswith("OK")] == []


def test_no_attack_of_our_own_leaks(database: Database) -> None:
    lines = attack(database, OWN / "attacks.sql")
    assert len(lines) >= 24
    assert [line for line in lines if not line.startswith("OK")] == []


def test_the_catalogue_is_whole(database: Database) -> None:
    assert database.admin.execute("select * from tenantry.defects()").fetchall() == []


SETTINGS_OF_PLATFORM = {
    "search_path", "TimeZone", "statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout",
    "client_connection_check_interval", "log_parameter_max_length", "log_parameter_max_length_on_error", "log_min_duration_statement",
}  # fmt: skip


def test_the_kits_catalogue_checks_find_nothing_that_is_not_listed(database: Database) -> None:
    """verify.sql judges by lists of its own in three checks; ours stand in the database (allowed_definer), or above.

    V11: definer functions that platform may run, each with its reason in tenantry.allowed_definer. V12: those whose names are all
    qualified instead of a search_path, since they run at every request. V26: role settings, which a pooler cannot pass on.
    """
    listed = {row[0] for row in database.admin.execute("select function from tenantry.allowed_definer").fetchall()}
    unlisted: list[tuple[str, str]] = []
    for check, thing in database.admin.execute((KIT / "verify.sql").read_text("utf-8").strip().rstrip(";")).fetchall():
        is_listed = (
            (check.startswith("V11") and thing in listed)
            or (check.startswith("V12") and thing in ("tenantry.user_id()", "tenantry.role()"))
            or (check.startswith("V26") and thing.split("=")[0] in SETTINGS_OF_PLATFORM)
        )
        if not is_listed:
            unlisted.append((check, thing))
    assert unlisted == []


@pytest.mark.parametrize(
    "planted",
    [
        "alter table notes no force row level security",
        "alter table notes disable row level security",
        "create policy evil on notes using (true)",
        "drop policy tenantry_select on notes",
        "alter policy tenantry_select on notes using (true)",
        "create table open_to_all (id int)",
        "create view everything as select * from notes",
        "alter table notes owner to platform",
        "alter role platform bypassrls",
        "grant tenantry_owner to platform",
    ],
)
def test_a_planted_hole_is_found(database: Database, planted: str) -> None:
    with database.admin.transaction(force_rollback=True):
        database.admin.execute(planted)
        assert database.admin.execute("select * from tenantry.defects()").fetchall() != []


def test_the_kit_finds_a_planted_hole(database: Database) -> None:
    """A guard's test shows the attack succeeding without the guard."""
    database.admin.execute("alter policy tenantry_select on notes using (true)")
    assert any(line.startswith("LEAK") for line in attack(database))


def test_no_attack_of_the_wider_list_leaks(database: Database) -> None:
    lines = attack(database, OWN / "wider.sql")
    assert len(lines) >= 24
    assert [line for line in lines if not line.startswith("OK")] == []


def test_the_wider_list_finds_a_planted_hole(database: Database) -> None:
    database.admin.execute("alter policy tenantry_select on notes using (true)")
    database.admin.execute("grant update on tenantry.fingerprints to platform")
    database.admin.execute("create policy evil on tenantry.fingerprints using (true)")
    leaks = {line.split()[1] for line in attack(database, OWN / "wider.sql") if line.startswith("LEAK")}
    assert leaks >= {"W01", "W02", "W04", "W15"}
