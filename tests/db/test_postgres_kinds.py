"""The same requests on PostgreSQL 15, and through Debian's PgBouncer in transaction mode, which keeps no prepared statements."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tenantry import Tenantry
from tenantry.settings import DatabaseUrl
from tests.conftest import Cluster, Database, People, free_port
from tests.harness import Client, opened

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"


@pytest.fixture(params=["18", "15"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return request.getfixturevalue(f"cluster{request.param}")


async def go_round(client: Client, people: People) -> None:
    own, foreign = str(people.acme.owner.user_id), str(people.globex.owner.user_id)
    for _ in range(3):
        assert (await client.query("users.get", {"id": own})).data["id"] == own
        assert len((await client.query("users.list", {"limit": 2})).data["items"]) == 2
        assert (await client.mutate("users.update", {"id": own, "name": "Ann"})).data["name"] == "Ann"
        assert (await client.query("users.get", {"id": foreign})).code == "NOT_FOUND"
        assert (await client.query("tenants.current")).data["slug"] == "acme"
        assert (await client.query("health.readiness")).data["ready"] is True


async def test_the_built_in_procedures_answer(database: Database, people: People) -> None:
    async with opened(Tenantry(), database) as app:
        await go_round(Client(app, people.acme.owner.token), people)


@pytest.fixture
def pooled(database: Database) -> Iterator[DatabaseUrl]:
    """PgBouncer with two servers, as an account of its own."""
    if not Path(PGBOUNCER).exists():
        pytest.skip("PgBouncer is not here")
    folder, port = Path(tempfile.mkdtemp(prefix="tenantry-pgbouncer-")), free_port()
    host, server_port = database.urls.platform.place.split(":")
    users = (database.urls.platform, database.urls.auth)
    (folder / "users.txt").write_text("".join(f'"{u.user}" "{u.password}"\n' for u in users))
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = plain\nauth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = 2\n"
        "max_client_conn = 100\nignore_startup_parameters = extra_float_digits\n"
    )
    account = []
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        account = ["-u", "nobody"]
    process = subprocess.Popen(
        [PGBOUNCER, *account, folder / "pgbouncer.ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = DatabaseUrl(database.urls.platform.reveal().replace(database.urls.platform.place, f"127.0.0.1:{port}"))
    try:
        for _ in range(100):
            try:
                psycopg.connect(url.reveal(), connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


async def test_through_pgbouncer_tenants_stay_apart(database: Database, people: People, pooled: DatabaseUrl) -> None:
    auth = pooled.with_user("tenantry_auth", database.urls.auth.password)
    async with opened(Tenantry(), database, database_url=pooled, database_auth_url=auth, pool_size=6) as app:
        assert not any(c.is_named for c in app._state.pool.connections)  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        acme, globex = (Client(app, t.owner.token) for t in (people.acme, people.globex))
        await go_round(acme, people)

        async def look(client: Client, slug: str) -> None:
            emails = [u["email"] for u in (await client.query("users.list")).data["items"]]
            assert all(email.endswith(f"@{slug}.example") for email in emails)
            assert len(emails) == 3

        await asyncio.gather(*(look(*one) for _ in range(100) for one in ((acme, "acme"), (globex, "globex"))))
        assert {t["slug"] for t in (await acme.query("tenants.list")).data} == {"acme"}


async def test_after_a_restart_of_the_server_requests_are_answered_again(
    cluster: Cluster, database: Database, people: People
) -> None:
    async with opened(Tenantry(), database) as app:
        client = Client(app, people.acme.owner.token)
        assert (await client.query("users.list")).status == 200
        database.admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'platform' and datname = current_database()"
        )
        async with asyncio.timeout(15):
            while (await client.query("users.list")).status != 200:
                await asyncio.sleep(0.05)
