"""Isolation that is broken is told of: a refused row by name, an open one as an incident of its own kind."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import UUID

import pytest

from tenantry import Ctx, Statement, Tenantry
from tenantry.db.migrate import Migration, push
from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import check_database, question
from tenantry.ops.watch import Watch
from tenantry.settings import Settings
from tests.conftest import Database, People
from tests.harness import Client, opened


async def test_a_role_that_no_policy_binds_is_down(database: Database):
    as_requests, as_superuser = OwnConnection(database.urls.platform), OwnConnection(database.superuser)
    try:
        assert (await check_database(as_requests, question())).status != "down"
        found = await check_database(as_superuser, question())
    finally:
        as_requests.close()
        as_superuser.close()
    assert found.status == "down"
    assert "the role of requests bypasses row level security" in found.details["missing"]


async def test_a_breach_is_one_incident_until_somebody_says_that_it_is_over(tmp_path: Path):
    async def nothing() -> None: ...

    watch = Watch(Settings(home=tmp_path), nothing)
    for _ in range(3):
        watch.breach(["users: forced row level security"])
    (incident,) = watch.desk.incidents.values()
    assert (incident.kind, incident.text) == ("rls_breach", "users: forced row level security")
    watch.breach([])
    assert incident.is_open


async def test_a_refused_row_is_named_in_the_log_and_nowhere_else(
    database: Database, people: People, caplog: pytest.LogCaptureFixture
):
    push(
        database.superuser,
        [
            Migration(
                "0001_things.sql",
                "create table things (id uuid primary key default gen_random_uuid());\nselect tenantry.protect('things');",
            )
        ],
    )
    app = Tenantry()
    things = app.router("things")

    @things.mutation
    def steal(ctx: Ctx, tenant: UUID) -> Statement[int]:
        return ctx.db.run("insert into things (tenant_id) values ($1)", tenant)

    with caplog.at_level(logging.WARNING):
        async with opened(app, database) as served:
            reply = await Client(served, people.acme.member.token).mutate(
                "things.steal", {"tenant": str(people.globex.id)}
            )
    assert reply.code == "FORBIDDEN"
    (line,) = [record.getMessage() for record in caplog.records if "rls_violation" in record.getMessage()]
    assert "things.steal" in line
    assert "insert on things" in line
    assert str(people.acme.id) in line
    assert str(people.globex.id) not in line
    assert str(people.acme.id) not in str(reply.json)
