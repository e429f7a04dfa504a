"""users.get and users.update of this checkout beside those of an older one: the same server, load and data, in turns.

    git worktree add /tmp/before 0bee12a
    BENCH=/tmp/bench /tmp/bench/venv/bin/python benchmarks/before.py --before /tmp/before/src [--rounds 6]

Each side has a database of its own, with its own migrations. CPU of server and PostgreSQL per request; the median of the rounds, and the median of
the rounds' ratios. Both sides in production. What setup.sh installs is needed.
"""

import argparse
import os
import statistics
import subprocess
import types
from pathlib import Path

import lane
import run

HERE = Path(__file__).parent
TARGET = HERE / "target.sh"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--before", required=True, help="the src folder of the older checkout")
    ap.add_argument("--rounds", type=int, default=6)
    ap.add_argument("--seconds", type=int, default=4)
    a = ap.parse_args()
    sides = {"before": f"CODE={a.before} BENCH_DATABASE=tenantry_bench_before", "now": f"CODE={HERE.parent / 'src'} BENCH_DATABASE=tenantry_bench"}
    pg = run.Postgres(types.SimpleNamespace(tenants=1000, users=20, tokens=20000, sync=False))
    pg.start()
    found = {}
    try:
        env = dict(os.environ, DATABASE_URL=pg.url, ADMIN_DATABASE_URL=pg.admin, TOKENS_FILE=str(pg.tokens))
        for side in sides.values():
            subprocess.run(f"env {side} {TARGET} init", shell=True, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for number in range(a.rounds):
            for side in sorted(sides, reverse=number % 2 == 0):
                os.environ["TARGET_CMD"] = f"{sides[side]} {TARGET} serve"
                server = run.Server("target", 1, pg, types.SimpleNamespace(pool=10))
                try:
                    for op in ("get", "update"):
                        start = lambda s, op=op: lane.wrk(server, pg, 32, s, "bench.lua", op, pg.tokens, "trpc")  # noqa: B023, E731
                        lane.figures(start(1))
                        found.setdefault((op, side), []).append(lane.measured(server, pg, a.seconds, start))
                finally:
                    server.stop()
    finally:
        pg.stop()
    print("| op | CPU us of the server, before | now | now / before | requests/s, now / before | PostgreSQL's CPU, now / before | bad |\n|---|---|---|---|---|---|---|")
    for op in ("get", "update"):
        pairs = list(zip(found[op, "before"], found[op, "now"], strict=True))
        cpu, rate, pgcpu = (statistics.median(n[k] / b[k] for b, n in pairs) for k in ("cpu", "rps", "pgcpu"))
        was, now = (statistics.median(r["cpu"] for r in found[op, side]) for side in ("before", "now"))
        bad = sum(r["bad"] for pair in pairs for r in pair)
        print(f"| {op} | {was:.0f} | {now:.0f} | {cpu:.2f} | {rate:.2f} | {pgcpu:.2f} | {bad:.0f} |")


if __name__ == "__main__":
    main()
