"""Behind PgBouncer: reads go through it, the one listening connection goes to the server itself."""

from __future__ import annotations

import pytest

from tenantry.settings import DatabaseUrl
from tests.conftest import Cluster, Database, People
from tests.db import test_postgres_kinds
from tests.events.conftest import listen, make, say
from tests.harness import Client, opened

pooled = test_postgres_kinds.pooled


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


@pytest.mark.parametrize("listens", ["direct", "pooled"])
async def test_two_workers_hear_of_each_other(
    database: Database, people: People, pooled: DatabaseUrl, listens: str
) -> None:
    """Should the direct URL be a pooler as well, events come by polling: later, and all."""
    urls = {
        "database_url": pooled,
        "database_auth_url": pooled.with_user("tenantry_auth", database.urls.auth.password),
        "database_direct_url": pooled if listens == "pooled" else database.urls.direct,
    }
    async with opened(make(), database, **urls) as one, opened(make(), database, **urls) as other:
        ear = await listen(other, people.acme.member.token)
        foreign = await listen(other, people.globex.member.token)
        await say(Client(one, people.acme.owner.token), *map(str, range(10)))
        assert await ear.until(10) == [str(n) for n in range(10)]
        resumed = await listen(one, people.acme.member.token, after=ear.heard[3].id)
        assert await resumed.until(6) == [str(n) for n in range(4, 10)]
        assert foreign.heard == []
        for one_ear in (ear, foreign, resumed):
            await one_ear.stop()
