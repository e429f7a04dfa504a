"""A server that may be hurt: PostgreSQL of its own, the fault proxy before it, and the API with clients in a loop."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tenantry.db.migrate import Migration
from tests.bad_days.day import Day
from tests.conftest import Database, _cluster, free_port
from tests.processes.place import NOTES, placed

PROXY = Path(__file__).with_name("proxy.py")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    clusters = _cluster(None)
    cluster = next(clusters)
    template = cluster.make_template("served", [Migration("notes.sql", NOTES, "application")])
    database_of = cluster.database(template)
    database: Database = database_of.__enter__()
    database.add_tenant("acme")
    owner = database.add_member("acme", "owner@acme.example", "owner")
    mode, port = tmp_path_factory.mktemp("proxy") / "mode", free_port()
    mode.write_text("pass")
    server_port = cluster.embedded.status().port
    proxy = subprocess.Popen([sys.executable, str(PROXY), str(port), "127.0.0.1", str(server_port), str(mode)])
    urls = {
        "DATABASE_URL": database.urls.platform, "DATABASE_AUTH_URL": database.urls.auth,
    }  # fmt: skip
    through = {
        name: url.with_database(url.database).reveal().partition("@")[0] + f"@127.0.0.1:{port}/{url.database}"
        for name, url in urls.items()
    }
    settings = {"TENANTRY_DEADLINE_MS": "2000", "TENANTRY_POOL_WAIT_MS": "1500", "TENANTRY_TICK": "1"}
    with placed(database, **{**through, **settings}) as place:
        place.serve()
        made = Day(cluster, database, place, owner.token, mode)
        made.until_healthy()
        yield made
        made.mend()
    proxy.kill()
    proxy.wait(10)
    # Both have lost their connections to the server, more than once.
    for open_ in (database_of, clusters):
        with contextlib.suppress(psycopg.Error):
            database_of.__exit__(None, None, None) if open_ is database_of else next(clusters, None)
    cluster.stop()
