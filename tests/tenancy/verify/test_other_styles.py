"""Five more schemas in others' style: what must be found there and what must not, and each remedy, pasted as it is printed, cures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tenantry.tenancy.verify import Finding, Subject, look
from tests.conftest import Cluster

HERE = Path(__file__).parent / "schemas"
STYLES = {
    "rails": Subject(role="rails", setting="rls.account_id", column="account_id", value_type="bigint"),
    "prisma": Subject(role="prisma", setting="app.current_company_id", column="companyId"),
    "postgrest": Subject(role="web_user", setting="request.jwt.claims", column="org_id"),
    "hasura": Subject(role="hasura", setting="hasura.user"),
    "apart": Subject(role="apart", setting="app.tenant"),
}
WRONG = {
    "rails": {
        ("V01", "public.webhooks"), ("V14", "tasks_project_id_fkey on public.tasks"), ("V15", "public.index_webhooks_on_url"), ("V15", "projects_pkey"),
        ("V15", "tasks_pkey"), ("V15", "webhooks_pkey"), ("V32", "bump on public.projects"), ("V34", "public.accounts"),
    },
    "prisma": {("V04", 'bypass_rls_policy on public."Project"'), ("V14", 'Project_ownerId_fkey on public."Project"')},
    "postgrest": {("V04", "write on api.files")},
    "hasura": {("V10", "public.totals"), ("V14", "order_items_order_id_fkey on public.order_items")},
    "apart": {("V34", "tenant_acme.notes"), ("V34", "tenant_globex.notes")},
}  # fmt: skip
"""Every hole and leak of each, and nothing else."""


@pytest.fixture(params=list(STYLES))
def styled(request: pytest.FixtureRequest, cluster18: Cluster) -> Iterator[tuple[str, Any]]:
    name, role = request.param, STYLES[request.param].role
    cluster18.admin.execute(f"create role {role} nologin")
    cluster18.admin.execute(f"create database style_{name}")
    with psycopg.connect(cluster18.superuser.with_database(f"style_{name}").reveal(), autocommit=True) as admin:
        admin.execute((HERE / f"{name}.sql").read_text("utf-8"))
        yield name, admin
    cluster18.admin.execute(f"drop database style_{name} with (force)")
    cluster18.admin.execute(f"drop role {role}")


def seen(admin: Any, name: str) -> list[Finding]:
    return look(admin, STYLES[name])[1].findings


def test_what_is_wrong_is_found_and_nothing_else(styled: tuple[str, Any]) -> None:
    name, admin = styled
    assert {(one.check, one.object) for one in seen(admin, name) if one.level != "note"} == WRONG[name]


def test_every_remedy_pasted_in_order_cures(styled: tuple[str, Any]) -> None:
    name, admin = styled
    for one in seen(admin, name):
        admin.execute(one.remedy)
    left = seen(admin, name)
    # A table that all may read has a policy now: that nobody's writing is let through stays, as advice.
    assert {one.check for one in left} <= {"V03"}, left
    for one in left:
        admin.execute(one.remedy)
    assert seen(admin, name) == []


def test_claims_that_are_json_are_read_by_the_remedy_as_the_other_policies_read_them(styled: tuple[str, Any]) -> None:
    name, admin = styled
    if name != "postgrest":
        pytest.skip("only there")
    (finding,) = [one for one in seen(admin, name) if one.check == "V04"]
    admin.execute(finding.remedy)
    with admin.transaction():
        admin.execute("set local role web_user")
        admin.execute("""set local request.jwt.claims = '{"org_id": "aaaaaaaa-0000-4000-8000-00000000000a"}'""")
        assert admin.execute("update api.files set name = 'mine' returning name").fetchall() == [("mine",)]
