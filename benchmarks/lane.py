#!/usr/bin/env python
"""The fast lane on and off, side by side: alone, beside slow statements, with a statement that is slow now and then, on few connections.

    $BENCH/venv/bin/python lane.py                 # all, 3 rounds; setup.sh comes first, and `make venv` in the clone
    $BENCH/venv/bin/python lane.py --rounds 1 --cases alone,beside

Each case prints rates, p99 and CPU a request, and what remains of the rate without the disturbance (goal: 0.9).
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import types
import urllib.parse

import run

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE / "target.sh"
LANES = {"on": "auto", "off": "off"}


def path(seconds):
    return "/trpc/bench.sleep?input=" + urllib.parse.quote(json.dumps({"seconds": seconds}), safe="")


def wrk(server, pg, connections, seconds, script, *args):
    """Start wrk; its figures come from `figures`."""
    return subprocess.Popen(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", str(HERE / "wrk" / script), server.url, "--",
         *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip


def figures(process):
    out = process.communicate()[0]
    found = re.search(r"^JSON (.*)$", out, re.M)
    if not found:
        raise SystemExit(out)
    return json.loads(found[1])


def gets(server, pg, seconds):
    return wrk(server, pg, 32, seconds, "bench.lua", "get", pg.tokens, "trpc")


def measured(server, pg, seconds, start):
    """Rate, p99 and CPU of what `start` starts."""
    c0, p0 = run.cpu(server.root), run.cpu(pg.proc.pid)
    r = figures(start(seconds))
    n = max(r["requests"], 1)
    return {"rps": n / (r["us"] / 1e6), "p99": r["p99"] / 1e3, "bad": r["bad"],
            "cpu": (run.cpu(server.root) - c0) / n * 1e6, "pgcpu": (run.cpu(pg.proc.pid) - p0) / n * 1e6}  # fmt: skip


def serve(pg, lane, workers, pool):
    os.environ["TARGET_CMD"] = f"APP=lane_app:app TENANTRY_FAST_LANE={LANES[lane]} {TARGET} serve"
    return run.Server("target", workers, pg, types.SimpleNamespace(pool=pool))


def one_server(pg, lane, seconds, cases):
    """alone, beside, rare: one worker, 10 connections."""
    server = serve(pg, lane, 1, 10)
    try:
        figures(gets(server, pg, 3))
        yield "alone", measured(server, pg, seconds, lambda s: gets(server, pg, s))
        if "beside" in cases:
            slow = wrk(server, pg, 6, seconds + 3, "path.lua", pg.tokens, path(0.05))
            figures(gets(server, pg, 2))
            yield "beside", measured(server, pg, seconds, lambda s: gets(server, pg, s))
            if figures(slow)["bad"]:
                raise SystemExit("the slow statements failed")
        if "rare" in cases:

            def rare(s):
                return wrk(server, pg, 32, s, "path.lua", pg.tokens, path(0), path(0.05), 0.012)

            figures(rare(2))
            yield "rare", measured(server, pg, seconds, rare)
    finally:
        server.stop()


def many_workers(pg, lane, seconds):
    """few, plenty: 8 workers, 4 or 10 connections each."""
    for case, pool in (("few", 4), ("plenty", 10)):
        server = serve(pg, lane, 8, pool)
        try:
            figures(gets(server, pg, 3))
            yield case, measured(server, pg, seconds, lambda s: gets(server, pg, s))
        finally:
            server.stop()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=int, default=4)
    ap.add_argument("--cases", default="alone,beside,rare,few")
    a = ap.parse_args()
    cases = a.cases.split(",")
    pg = run.Postgres(types.SimpleNamespace(tenants=1000, users=20, tokens=20000, sync=False))
    pg.start()
    os.environ["PYTHONPATH"] = str(HERE)
    found = {}
    try:
        env = dict(os.environ, DATABASE_URL=pg.url, ADMIN_DATABASE_URL=pg.admin, TOKENS_FILE=str(pg.tokens))
        subprocess.run([str(TARGET), "init"], check=True, env=env, stdout=subprocess.DEVNULL)
        for number in range(a.rounds):
            for lane in sorted(LANES, reverse=number % 2 == 0):
                if {"alone", "beside", "rare"} & set(cases):
                    for case, r in one_server(pg, lane, a.seconds, cases):
                        found.setdefault((case, lane), []).append(r)
                if "few" in cases:
                    for case, r in many_workers(pg, lane, a.seconds):
                        found.setdefault((case, lane), []).append(r)
    finally:
        pg.stop()
    print(
        "| case | lane | rps | p99 ms | CPU us, server + PostgreSQL | bad | of its undisturbed rate |\n|---|---|---|---|---|---|---|"
    )
    base = {"beside": "alone", "few": "plenty"}
    for (case, lane), rounds in sorted(found.items()):
        m = {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}
        # Round by round: what else ran on the machine disturbed both alike.
        kept = [r["rps"] / b["rps"] for r, b in zip(rounds, found.get((base.get(case), lane), []))]
        share = f"{statistics.median(kept):.2f}" if kept else ""
        print(
            f"| {case} | {lane} | {m['rps']:.0f} | {m['p99']:.1f} | {m['cpu']:.0f} + {m['pgcpu']:.0f} | {m['bad']:.0f} | {share} |"
        )


if __name__ == "__main__":
    main()
