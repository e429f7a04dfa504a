"""Whether a small tenant's requests stay as fast as the others grow: 10, 1,000, 10,000 tenants, one with a million rows, 100 protected tables.

    .venv/bin/python benchmarks/scale.py [--rows 1000000] [--rounds 20] [--calls 40]

A database for each size, an application over each in this process, and blocks of `users.list` and `users.get` by small tenants that take
turns: what else runs on the machine disturbs all alike. The ratio of a block to that of the smallest size in the same round is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tenantry import Tenantry  # noqa: E402
from tests.conftest import Cluster, Database, Person, free_port  # noqa: E402
from tests.harness import Client  # noqa: E402

USERS, CALLERS, TABLES = 20, 10, 100
BIG = "a big one, 100 tables"


def fill(database: Database, tenants: int, rows: int, tables: int) -> list[Person]:
    """Tenants of twenty, one of `rows`, and protected tables; gives a caller of some of the small ones."""
    run = database.admin.execute
    run("set session_replication_role = replica")  # no triggers, no foreign keys: members without people
    run("insert into tenantry.tenants (slug, name) select 'small-' || n, 'Small' from generate_series(1, $1::int) n", (tenants,))
    members = (
        "insert into public.users (tenant_id, identity_id, email, name, role, created_at)"
        " select t.id, gen_random_uuid(), 'u' || n || '@' || t.slug || '.example', 'User ' || n, 'member', timestamptz '2025-01-01' + n * interval '1 second'"
        "   from tenantry.tenants t cross join generate_series(1, $1::int) n where t.slug "
    )
    run(members + "like 'small-%'", (USERS,))
    if rows:
        run("insert into tenantry.tenants (slug, name) values ('big', 'Big')")
        run(members + "= 'big'", (rows,))
    run("set session_replication_role = origin")
    for number in range(tables):
        run(f"create table public.things_{number} (id uuid primary key default gen_random_uuid(), said text)")  # type: ignore[arg-type]
        run(f"alter table public.things_{number} owner to tenantry_owner")  # type: ignore[arg-type]
        run("select tenantry.protect($1)", (f"things_{number}",))
    step = max(1, tenants // CALLERS)
    people = [database.add_member(f"small-{n}", f"caller@small-{n}.example", "owner") for n in range(1, tenants + 1, step)]
    run("vacuum (analyze)")
    return people[:CALLERS]


async def block(app: Tenantry[Any], people: list[Person], calls: int, path: str) -> float:
    """Mean ms of a call, one after another."""
    clients = [(Client(app, person.token), {"id": str(person.user_id)}) for person in people]
    since = time.perf_counter()
    for number in range(calls):
        client, own = clients[number % len(clients)]
        reply = await client.query(path, own if path == "users.get" else ...)
        assert reply.status == 200, reply
    return (time.perf_counter() - since) * 1000 / calls


async def measure(cluster: Cluster, rows: int, rounds: int, calls: int) -> None:
    sizes = {"10 tenants": (10, 0, 0), "1,000": (1000, 0, 0), "10,000": (10_000, 0, 0), BIG: (10_000, rows, TABLES)}
    async with AsyncExitStack() as stack:
        apps: dict[str, tuple[Tenantry[Any], list[Person]]] = {}
        for name, size in sizes.items():
            database = stack.enter_context(cluster.database())
            since = time.perf_counter()
            people = fill(database, *size)
            print(f"{name}: filled in {time.perf_counter() - since:.0f} s", file=sys.stderr)
            app: Tenantry[Any] = Tenantry()
            await app.open(database.settings(pool_size=2, log_level="error", fast_lane="off"))
            stack.push_async_callback(app.close)
            apps[name] = (app, people)
        cluster.admin.execute("checkpoint")
        found: dict[tuple[str, str], list[float]] = {}
        for number in range(rounds + 2):
            for path in ("users.list", "users.get"):
                for name in sorted(apps, reverse=number % 2 == 0):
                    took = await block(*apps[name], calls, path)
                    if number >= 2:  # the first warm
                        found.setdefault((name, path), []).append(took)
        print("| | users.list, ms | over 10 tenants | users.get, ms | over 10 tenants |\n| --- | --- | --- | --- | --- |")
        for name in sizes:
            cells: list[str] = []
            for path in ("users.list", "users.get"):
                own, base = found[name, path], found["10 tenants", path]
                ratio = statistics.median(one / other for one, other in zip(own, base, strict=True))
                cells += [f"{statistics.median(own):.2f}", f"{ratio:.2f}"]
            print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=40)
    a = parser.parse_args()
    from tenantry.db.embedded import Embedded

    home = Path(tempfile.mkdtemp(prefix="tenantry-bench-"))
    home.chmod(0o755)
    cluster = Cluster(Embedded(home / "home", free_port()), home)
    try:
        asyncio.run(measure(cluster, a.rows, a.rounds, a.calls))
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
