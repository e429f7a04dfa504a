"""A server of each version and a template with each seal: every attack is tried on all four."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenantry.db.migrate import Migration
from tests.conftest import Cluster, Database

NOTES = """
create table notes (id uuid primary key default gen_random_uuid(), body text not null, created_at timestamptz not null default now());
select tenantry.protect('notes');
"""


@pytest.fixture(scope="session", params=["18 vault", "18 keyed", "15 vault", "15 keyed"])
def attacked(request: pytest.FixtureRequest) -> tuple[Cluster, str]:
    """A server of each version, and a template with each seal."""
    version, seal = request.param.split()
    cluster: Cluster = request.getfixturevalue(f"cluster{version}")
    name = f"attacked_{seal}"
    cluster.admin.execute(f"alter role postgres set tenantry.seal = '{seal}'")
    try:
        return cluster, cluster.make_template(name, [Migration("0001_notes.sql", NOTES)])
    finally:
        cluster.admin.execute("alter role postgres reset tenantry.seal")


@pytest.fixture
def database(attacked: tuple[Cluster, str]) -> Iterator[Database]:
    cluster, template = attacked
    with cluster.database(template) as made:
        yield made
