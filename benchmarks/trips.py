"""What one trip costs PostgreSQL: CPU of the back end for enter, statement, Sync, as a request sends them. Interleaved blocks.

    .venv/bin/python benchmarks/trips.py [--blocks 12] [--trips 1000] [--connections 1]

A server of its own, dropped afterwards; CPU from /proc/<pid>/schedstat (nanoseconds), so Linux only. One connection has one trip in
flight at a time; several take turns, as a pool that is busy. The update is measured as it is, and without the trigger that publishes it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import struct
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from psycopg import pq  # noqa: E402

from tenantry.db.embedded import Embedded  # noqa: E402
from tenantry.db.wire import ENTER, ENTER_FORMATS  # noqa: E402
from tests.conftest import Cluster, Database, free_port  # noqa: E402

GET = "select id, email, name, role, created_at from users where id = $1"
LIST = "select id, email, name, role, created_at from users order by created_at, id limit 21"
# users.update with the guard that db/plan.py puts around it.
UPDATE = """
with r as (update users set name = $2 where id = $1 returning id, email, name, role, created_at)
select r.* from r
 where (select case when bool_or(not isfinite(r."created_at") or r."created_at" < '0001-01-02' or r."created_at" >= '9999-12-31')
                    then tenantry.refuse_value('A value is out of range for the wire')
                    when count(*) <> 1 then tenantry.not_one(count(*)) else true end from r)
"""
STATEMENTS = {
    "enter": "select 1",
    "users.get": GET,
    "users.list": LIST,
    "users.update": UPDATE,
    "update, no event": UPDATE,
}
SYNC = 10


class Trips:
    """A connection, and one statement that goes over it after `enter`."""

    def __init__(self, database: Database, what: str, people: list[tuple[bytes, bytes]]) -> None:
        self.people, self.what = people, what
        self.pg = pq.PGconn.connect(database.urls.platform.reveal().encode())
        assert self.pg.status == 0, self.pg.error_message
        self.pg.prepare(b"e", ENTER)
        prepared = self.pg.prepare(b"s", STATEMENTS[what].encode())
        assert prepared.status == 1, prepared.error_message
        self.pg.enter_pipeline_mode()

    def send(self) -> None:
        token, user = random.choice(self.people)  # noqa: S311 - no secret
        writes = "update" in self.what
        given: list[bytes | None] = {True: [user, b"name %d" % random.randrange(10**6)], False: [user]}[writes]  # noqa: S311
        if self.what in ("enter", "users.list"):
            given = []
        self.pg.send_query_prepared(
            b"e", [token, b"\0" if writes else b"\1", None, None, struct.pack(">i", 10_000)], ENTER_FORMATS, 1
        )
        self.pg.send_query_prepared(b"s", given, [1] * len(given), 1)
        self.pg.pipeline_sync()

    def receive(self) -> None:
        while True:
            result = self.pg.get_result()
            if result is None:
                continue
            if result.status == SYNC:
                return
            assert result.status == 2, result.error_message

    def cpu_us(self) -> float:
        return int(Path(f"/proc/{self.pg.backend_pid}/schedstat").read_text().split()[0]) / 1000


def block(connections: list[Trips], trips: int) -> float:
    before = sum(one.cpu_us() for one in connections)
    for _ in range(trips // len(connections)):
        for one in connections:
            one.send()
        for one in connections:
            one.receive()
    return (sum(one.cpu_us() for one in connections) - before) / (trips // len(connections) * len(connections))


def members(database: Database) -> list[tuple[bytes, bytes]]:
    """Twenty people of each of fifty tenants: token, id."""
    found: list[tuple[bytes, bytes]] = []
    for tenant in range(50):
        database.add_tenant(f"tenant-{tenant}")
        for n in range(20):
            person = database.add_member(f"tenant-{tenant}", f"p{n}@tenant-{tenant}.example", "admin" if n else "owner")
            found.append((person.token.encode(), person.user_id.bytes))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--trips", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=1)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    home.chmod(0o755)
    cluster = Cluster(Embedded(home / "home", free_port()), home)
    try:
        with cluster.database() as database, cluster.database() as quiet:
            quiet.admin.execute("alter table public.users disable trigger users_updated")
            of = {False: members(database), True: members(quiet)}
            for one in (database, quiet):
                one.admin.execute("vacuum analyze")
            all_ = {
                what: [
                    Trips(quiet if what.endswith("event") else database, what, of[what.endswith("event")])
                    for _ in range(arguments.connections)
                ]
                for what in STATEMENTS
            }
            taken: dict[str, list[float]] = {what: [] for what in STATEMENTS}
            for number in range(-1, arguments.blocks):
                for what in random.sample(list(STATEMENTS), len(STATEMENTS)):
                    took = block(all_[what], arguments.trips)
                    if number >= 0:
                        taken[what].append(took)
            for connections in all_.values():
                for one in connections:
                    one.pg.finish()
    finally:
        cluster.stop()
    print(f"{'':18} {'calmest us':>10} {'median us':>10}   {arguments.connections} connections")
    for what, found in taken.items():
        print(f"{what:18} {min(found):10.1f} {statistics.median(found):10.1f}")


if __name__ == "__main__":
    main()
