"""What a small tenant's requests cost does not grow with the others: their plans are index scans, on a small version of benchmarks/scale.py."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tenantry import Ctx, Record, Statement, Tenantry
from tests.conftest import Database
from tests.harness import Client, opened

COLUMNS = "id, email, name, role, created_at"
LIST = f"select {COLUMNS} from users order by created_at, id limit 21"
NEXT = f"select {COLUMNS} from users where (created_at, id) > ($1, $2) order by created_at, id limit 21"
GET = f"select {COLUMNS} from users where id = $1"

FILL = """
set session_replication_role = replica;  -- no triggers, no foreign keys: a million members need no million people
insert into tenantry.tenants (slug, name) select 'small-' || n, 'Small' from generate_series(1, 60) n;
insert into tenantry.tenants (slug, name) values ('big', 'Big');
insert into public.users (tenant_id, identity_id, email, name, role, created_at)
select t.id, gen_random_uuid(), 'u' || n || '@example.com', 'User ' || n, 'member', now() - n * interval '1 second'
  from tenantry.tenants t cross join lateral generate_series(1, case t.slug when 'big' then 20000 else 5 end) n;
set session_replication_role = origin;
"""


@pytest.fixture
def filled(database: Database) -> Database:
    for statement in FILL.split(";\n"):
        if statement.strip():
            database.admin.execute(statement)
    for number in range(10):
        database.admin.execute(
            f"create table public.things_{number} (id uuid primary key default gen_random_uuid(), said text)"
        )  # type: ignore[arg-type] - a number
        database.admin.execute(f"alter table public.things_{number} owner to tenantry_owner")  # type: ignore[arg-type] - a number
        database.admin.execute("select tenantry.protect($1)", (f"things_{number}",))
    database.admin.execute("analyze")
    return database


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def plan_of(database: Database, token: str, text: str, *, is_generic: bool) -> list[dict[str, Any]]:
    """The nodes of a statement's plan, as the API's role inside the tenant."""
    with psycopg.connect(database.urls.platform.reveal(), cursor_factory=psycopg.RawCursor) as connection:
        connection.execute("select tenant_id from tenantry.enter($1, true)", (token.encode(),))
        options = "generic_plan, format json" if is_generic else "format json"
        row = connection.execute(f"explain ({options}) {text}").fetchone()  # type: ignore[arg-type] - texts of ours
        assert row is not None
        found = row[0]
        return nodes((found if isinstance(found, list) else json.loads(found))[0]["Plan"])


@pytest.mark.parametrize(("text", "index"), [(LIST, {"users_tenant_created_idx"}), (NEXT, {"users_tenant_created_idx"}), (GET, {"users_pkey", "users_tenant_key"})])  # fmt: skip
def test_a_small_tenants_statements_are_index_scans_beside_a_big_one(
    filled: Database, text: str, index: set[str]
) -> None:
    person = filled.add_member("small-7", "p@small.example", "owner")
    given = text.replace("$1, $2", "now()::timestamptz, gen_random_uuid()").replace(
        "$1", "'00000000-0000-4000-8000-000000000001'"
    )
    for plan in (
        plan_of(filled, person.token, given, is_generic=False),
        plan_of(filled, person.token, text, is_generic=True),
    ):
        scans = [node for node in plan if node.get("Relation Name") == "users"]
        assert [node["Node Type"] for node in plan if node["Node Type"] == "Seq Scan"] == []
        assert scans
        assert {node["Index Name"] for node in scans} <= index
        # The tenant is looked for in the index, not among all rows of it.
        if text != GET:
            assert all("tenant_id" in node.get("Index Cond", "tenant_id") for node in scans)


class Planned(Record):
    """How often the list's statement was run, by the kind of its plan; of the connection that the pool has."""

    generic: int
    custom: int


async def test_a_list_is_not_planned_anew_for_each_call(filled: Database) -> None:
    """Beside a big tenant PostgreSQL thinks little of a plan for any `limit $1`, and would plan each call for its limit."""
    app: Tenantry[Any] = Tenantry()
    seen = app.router("seen")

    @seen.query
    def plans(ctx: Ctx[Any]) -> Statement[Planned]:
        text = (
            "select generic_plans::int as generic, custom_plans::int as custom from pg_prepared_statements"
            " where statement like '%from users%limit%' and statement not like '%prepared%'"
        )
        return ctx.db.one(Planned, text)

    person = filled.add_member("small-7", "p@small.example", "owner")
    async with opened(app, filled, pool_size=1, fast_lane="off"):
        client = Client(app, person.token)
        for _ in range(12):
            assert (await client.query("users.list")).status == 200
        found = (await client.query("seen.plans")).data
    assert found["generic"] >= 7, found
    assert found["custom"] <= 5, found  # PostgreSQL plans the first five anew whatever comes of it


def test_a_protected_table_has_an_index_that_begins_with_the_tenant(filled: Database) -> None:
    without = filled.value(
        "select count(*) from pg_class c where c.relname like 'things\\_%' and c.relkind = 'r' and not exists ("
        "  select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]"
        "   where i.indrelid = c.oid and a.attname = 'tenant_id')"
    )
    assert without == 0
