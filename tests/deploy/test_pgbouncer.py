"""What `tenantry pgbouncer init` writes, in Debian's PgBouncer, with the API before it; and the pooler's restart under load."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import Database, free_port
from tests.processes.place import Place, get_request, placed, under_load

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not here: scripts/test-needs.sh")


class Pooler:
    """PgBouncer with the files that were written for it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.folder / "pooler"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses to run as root
        if account is not None:
            for path in (self.place.folder, self.folder, *self.folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
        self.process = subprocess.Popen(
            [str(PGBOUNCER), str(self.folder / "pgbouncer.ini")], user=account.pw_uid if account else None,
            group=account.pw_gid if account else None, extra_groups=[] if account else None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@pytest.fixture
def pooler(database: Database) -> Iterator[Pooler]:
    with placed(database) as place:
        made = Pooler(place)
        direct = place.environment["DATABASE_URL"]
        place.environment["DATABASE_ADMIN_URL"] = database.superuser.reveal()
        done = place.command("pgbouncer", "init", "--to", str(made.folder), "--listen-port", str(made.port))
        del place.environment["DATABASE_ADMIN_URL"]
        assert done.returncode == 0, done.stderr
        head, _, rest = direct.partition("@")
        _, _, name = rest.partition("/")
        for variable in ("DATABASE_URL", "DATABASE_AUTH_URL"):
            user = place.environment[variable].partition("@")[0]
            place.environment[variable] = f"{user}@127.0.0.1:{made.port}/{name.partition('?')[0]}"
        assert head
        made.start()
        try:
            yield made
        finally:
            made.stop()


async def test_the_written_files_serve_and_the_pooler_may_be_restarted(pooler: Pooler, database: Database) -> None:
    place = pooler.place
    text = (pooler.folder / "pgbouncer.ini").read_text()
    for line in (
        "pool_mode = transaction",
        "default_pool_size = 25",
        "max_client_conn = 100",
        "ignore_startup_parameters",
    ):
        assert line in text
    assert stat.S_IMODE((pooler.folder / "userlist.txt").stat().st_mode) == 0o600
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    place.serve()
    assert place.get("health.check")["status"] != "unhealthy"
    # The runbook's: psql -p 6432 -U postgres pgbouncer -c "SHOW POOLS;"
    password = database.superuser.password
    console = f"postgresql://postgres:{password}@127.0.0.1:{pooler.port}/pgbouncer"
    with psycopg.connect(
        console, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.ClientCursor
    ) as connection:
        pools = connection.execute("SHOW POOLS").fetchall()
        assert any("transaction" in row for row in pools)

    async with under_load(place.port, get_request("test.read", token), clients=6) as load:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(pooler.stop)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(pooler.start)
        until = time.monotonic() + 30
        while place.get("health.check")["status"] == "unhealthy":
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
    assert load.failures == []
    assert set(load.answers) <= {200, 503, 504, 408}
    assert load.answers[200] > 20
