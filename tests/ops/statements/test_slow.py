"""`tenantry slow` on PostgreSQL 15 and 18: whose statement it is, its plan inside a tenant, the index that it wants and the ones it cannot have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tenantry import Ctx, Page, Record, Statement, Tenantry
from tenantry.cli.main import main
from tenantry.db.migrate import Migration
from tests.conftest import Cluster, Database, People
from tests.harness import Client, opened

SHOP = """
create table orders (
    id bigint generated always as identity, status text not null, email text not null, extra jsonb not null default '{}',
    paid_at timestamptz, created_at timestamptz not null default now(), primary key (id));
select tenantry.protect('orders');
create table countries (code text primary key, name text not null);
select tenantry.share('countries', 'everybody''s');
"""


class Order(Record):
    id: int
    status: str


@pytest.fixture(scope="module", params=["cluster18", "cluster15"])
def shop(request: pytest.FixtureRequest) -> tuple[Cluster, str]:
    cluster: Cluster = request.getfixturevalue(request.param)
    return cluster, cluster.make_template("orders", [Migration("shop.sql", SHOP, "application")])


@pytest.fixture
def database(shop: tuple[Cluster, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    cluster, template = shop
    with cluster.database(template) as made:
        urls = made.urls
        for name, url in (
            ("", urls.platform),
            ("AUTH_", urls.auth),
            ("OPS_", urls.ops),
            ("ADMIN_", urls.admin),
            ("DIRECT_", urls.direct),
        ):
            monkeypatch.setenv(f"DATABASE_{name}URL", url.reveal())
        monkeypatch.setenv("TENANTRY_HOME", str(made.home))
        yield made


def app_of_orders() -> Tenantry:
    app = Tenantry()
    orders = app.router("orders")

    @orders.query
    def open_ones(ctx: Ctx) -> Statement[list[Order]]:
        return ctx.db.all(
            Order,
            "select id, status from orders where status = 'open' and id > 0 order by id limit 20 -- the desk's list",
        )

    @orders.query
    def newest(ctx: Ctx, after: str | None = None) -> Statement[Page[Order]]:
        return ctx.db.page(
            Order, "select id, status, created_at from orders", by="created_at desc, id desc", after=after, limit=10
        )

    @orders.query
    def search(ctx: Ctx, text: str) -> Statement[int]:
        return ctx.db.one(
            int, "select count(*) from orders where email ilike '%' || $1 || '%' and extra @> '{\"a\": 1}'", text
        )

    @orders.query
    def of_address(ctx: Ctx, email: str) -> Statement[int]:
        return ctx.db.one(int, "select count(*) from orders where lower(email) = $1", email)

    @orders.query
    def unpaid(ctx: Ctx) -> Statement[int]:
        return ctx.db.one(
            int, "select count(*) from orders where paid_at is null and status in ('open', 'late', 'lost')"
        )

    @orders.query
    def one(ctx: Ctx, id: int) -> Statement[Order]:
        return ctx.db.one(Order, "select id, status from orders where id = $1", id)

    @orders.mutation
    def close(ctx: Ctx, id: int) -> Statement[Order]:
        return ctx.db.one(Order, "update orders set status = 'closed' where id = $1 returning id, status", id)

    return app


@pytest.fixture
async def used(database: Database, people: People) -> Database:
    """Both tenants have orders, and everything was called a few times."""
    database.admin.execute(
        "insert into orders (tenant_id, status, email, paid_at) select t, case when n % 500 = 0 then 'open' else 'closed' end,"
        " n || '@shop.example', now() from generate_series(1, 6000) n, unnest($1::uuid[]) t", ([people.acme.id, people.globex.id],)
    )  # fmt: skip
    database.admin.execute("analyze orders")
    database.admin.execute("select pg_stat_statements_reset()")
    async with opened(app_of_orders(), database) as app:
        client = Client(app, people.acme.owner.token)
        for _ in range(3):
            for path, given in (("openOnes", None), ("newest", {}), ("search", {"text": "7"}), ("ofAddress", {"email": "7@shop.example"}),
                                ("unpaid", None), ("one", {"id": 1})):  # fmt: skip
                answer = await client.query(f"orders.{path}", given)
                assert answer.status == 200, answer
        assert (await client.mutate("orders.close", {"id": 1})).status == 200
    return database


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["slow", *arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def planned(capsys: pytest.CaptureFixture[str], procedure: str, tenant: str = "acme") -> Any:
    return said(capsys, "--procedure", f"orders.{procedure}", "--by", "calls", "--plan", "1", "--tenant", tenant)


async def test_each_statement_has_its_procedure(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    rows = said(capsys, "--top", "50")
    names = {row["procedure"] for row in rows}
    assert {
        f"orders.{name}" for name in ("openOnes", "newest", "search", "ofAddress", "unpaid", "one", "close")
    } <= names, names
    assert "(entering the tenant)" in names
    row = next(row for row in rows if row["procedure"] == "orders.openOnes")
    assert row["calls"] == 3
    assert row["rows"] == 36
    assert row["role"] == "platform"
    assert row["hit"] + row["read"] > 0
    assert "test_slow.py:" in row["where"][0]
    assert 0.99 < sum(row["share"] for row in said(capsys, "--all", "--top", "200")) <= 1.0001
    assert main(["slow"]) == 0
    assert "orders.openOnes" in capsys.readouterr().out


async def test_a_plan_is_the_tenants_own_and_says_which_index_is_wanted(
    used: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(capsys, "openOnes")
    assert found["tenant"] == "acme"
    assert "tenant_id" in found["plan"]
    (sql,) = found["advice"]["sql"]
    assert sql == "create index concurrently on public.orders (tenant_id, status, id);"
    # It is true: with it the plan changes, and it is advised no more.
    used.admin.execute(sql)
    after = planned(capsys, "openOnes")
    assert "orders_tenant_id_status_id_idx" in after["plan"]
    assert after["advice"]["sql"] == []


async def test_a_page_wants_its_order_behind_the_tenant(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    (sql,) = planned(capsys, "newest")["advice"]["sql"]
    assert sql == "create index concurrently on public.orders (tenant_id, created_at desc, id desc);"
    used.admin.execute(sql)
    after = planned(capsys, "newest")
    assert "Sort" not in after["plan"]
    assert after["advice"]["sql"] == []


async def test_what_row_security_keeps_from_an_index_is_not_advised(
    used: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    used.admin.execute("create index orders_tenant_idx2 on orders (tenant_id)")
    for procedure, words in (
        ("search", ("ILIKE is not leakproof", "@> is not leakproof")),
        ("ofAddress", ("lower() is not leakproof",)),
    ):
        advice = planned(capsys, procedure)["advice"]
        assert advice["sql"] == [], advice
        assert sorted(kept["why"] for kept in advice["kept"]) == sorted(words)
    # And it is so: an index that would serve it for the owner of the table is of no use to a tenant.
    used.admin.execute("create index orders_lower on orders (tenant_id, lower(email))")
    assert (
        "orders_lower" not in planned(capsys, "ofAddress")["plan"].partition("Filter")[0]
        or "lower" in planned(capsys, "ofAddress")["plan"].partition("Filter")[2]
    )


async def test_null_and_lists_get_a_partial_index(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    (sql,) = planned(capsys, "unpaid")["advice"]["sql"]
    assert sql == "create index concurrently on public.orders (tenant_id, status) where paid_at is null;"


async def test_one_row_by_its_key_wants_nothing(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    for procedure in ("one", "close"):
        assert planned(capsys, procedure)["advice"] == {"sql": [], "why": [], "kept": []}


async def test_catalogues_want_nothing(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(used.urls.platform.reveal()) as platform:
        platform.execute(
            "select count(*) from pg_catalog.pg_depend d, pg_catalog.pg_proc p where d.deptype = 'n' and p.prosecdef"
        )
    (row,) = [row for row in said(capsys, "--top", "200") if "pg_depend d, pg_catalog.pg_proc p" in row["text"]]
    assert row["hit"] + row["read"] >= 32
    assert said(capsys, "--plan", row["id"], "--tenant", "acme")["advice"]["sql"] == []


async def test_nothing_is_run_or_left_behind(
    used: Database, people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    before = used.value("select md5(string_agg(o::text, ',' order by id)) from orders o")
    sessions = used.value("select count(*) from auth_sessions")
    assert "Update" in planned(capsys, "close")["plan"]
    assert used.value("select md5(string_agg(o::text, ',' order by id)) from orders o") == before
    assert used.value("select count(*) from auth_sessions") == sessions
    line = used.admin.execute("select tenant_id, detail from audit_log where action = 'operator_plan'").fetchone()
    assert line is not None
    assert line[0] == people.acme.id
    assert line[1]["by"]


async def test_what_cannot_be_is_said_with_a_remedy(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--plan", "1"], "Name it, by slug or id"),
        (["--plan", "1", "--tenant", "nobody"], "there is no tenant of this name"),
        (["--plan", "99999", "--tenant", "acme"], "there is no statement '99999'"),
        (["--plan", "x'; drop table orders", "--tenant", "acme"], "there is no statement"),
    ):
        assert main(["slow", *arguments]) == 1
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["slow", "--by", "luck"])
    used.admin.execute("drop extension pg_stat_statements")
    assert main(["slow"]) == 1
    error = capsys.readouterr().err
    assert "create extension pg_stat_statements" in error
    assert "shared_preload_libraries" in error


async def test_reset_counts_this_database_anew(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slow", "--reset"]) == 1  # tenantry_migrate may not, and is told what to grant
    assert "grant execute on function pg_stat_statements_reset" in capsys.readouterr().err
    used.admin.execute(
        "do $$ declare f regprocedure; begin for f in select oid from pg_proc where proname = 'pg_stat_statements_reset' loop"
        " execute format('grant execute on function %s to tenantry_migrate', f); end loop; end $$"
    )
    assert said(capsys, "--reset") == {"reset": True}
    assert not [row for row in said(capsys) if row["procedure"].startswith("orders.")]


async def test_an_extension_in_another_schema_is_found(used: Database, capsys: pytest.CaptureFixture[str]) -> None:
    used.admin.execute('create schema "Ex t"')
    used.admin.execute('grant usage on schema "Ex t" to public')
    used.admin.execute('alter extension pg_stat_statements set schema "Ex t"')
    assert said(capsys)


def test_two_statements_are_not_one(database: Database, people: People) -> None:
    from tenantry.ops.statements import PlanFailed, plan_as
    from tenantry.tenancy.visiting import visiting

    with visiting(database.urls.admin, database.urls.auth, "acme", "operator_plan") as visit:
        for text in (
            "select 1; delete from orders",
            "select 1; commit; delete from orders",
            "drop table orders",
            "explain analyze delete from orders",
        ):
            with pytest.raises(PlanFailed):
                plan_as(database.urls, visit, text)
        assert "Delete on orders" in plan_as(database.urls, visit, "delete from orders").text
        with psycopg.connect(database.urls.platform.reveal()) as mine:
            assert mine.execute("select count(*) from orders").fetchone() == (0,)
    assert Path(database.home).exists()
