"""How long `tenantry check` takes: the whole command, as typed, over a generated application.

    .venv/bin/python benchmarks/check.py [--procedures 100] [--runs 5]

Each ten procedures are a file with a table of its own: points, lists, pages with an if, inserts, updates by changes(), several statements in
a transaction. An embedded server of its own, dropped afterwards. Wall clock, and the CPU of the command alone (what else runs disturbs it less).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILE = '''
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from tenantry import UNSET, Ctx, Meta, Page, Record, Router, Statement, Unset, changes, sql

things{n}: Router[Ctx] = Router("things{n}")
Title = Annotated[str, Meta(min_length=1, max_length=80)]
COLUMNS = sql("id, title, status, owner, due_at, created_at")


class Thing(Record):
    id: UUID
    title: str
    status: Literal["open", "done"]
    owner: UUID | None
    due_at: datetime | None
    created_at: datetime


class Patch(Record):
    title: Title | Unset = UNSET
    due_at: datetime | None | Unset = UNSET
'''
KINDS = (
    '''
@things{n}.query
def one_{i}(ctx: Ctx, id: UUID) -> Statement[Thing]:
    return ctx.db.one(Thing, "select id, title, status, owner, due_at, created_at from things{n} where id = $1 and {i} = {i}", id)
''',
    '''
@things{n}.query
def listed_{i}(ctx: Ctx, status: Literal["open", "done"], after: str | None = None, owner: UUID | None = None) -> Statement[Page[Thing]]:
    q = sql("select {{}} from things{n} where status = {{}}", COLUMNS, status)
    if owner is not None:
        q += sql(" and owner = {{}}", owner)
    return ctx.db.page(Thing, q, by="created_at desc, id desc", after=after, limit=20)
''',
    '''
@things{n}.mutation
def add_{i}(ctx: Ctx, title: Title) -> Statement[Thing]:
    return ctx.db.one(Thing, sql("insert into things{n} (title) values ({{}}) returning {{}}", title, COLUMNS))
''',
    '''
@things{n}.mutation
def change_{i}(ctx: Ctx, id: UUID, patch: Patch) -> Statement[Thing]:
    return ctx.db.one(Thing, sql("update things{n} set {{}} where id = {{}} returning {{}}", changes(patch), id, COLUMNS))
''',
    '''
@things{n}.mutation(role="admin")
async def finish_{i}(ctx: Ctx, id: UUID, owner: UUID) -> int:
    async with ctx.transaction() as tx:
        count = await tx.one(int, "select count(*) from things{n} where owner = $1", owner)
        await tx.run("update things{n} set status = 'done', owner = $2 where id = $1", id, owner)
        return count
''',
)
TABLE = """
create table things{n} (id uuid primary key default gen_random_uuid(), title text not null, status text not null default 'open' check (status in ('open', 'done')),
                        owner uuid, due_at timestamptz, created_at timestamptz not null default now());
select tenantry.protect('things{n}');
"""


def write(folder: Path, procedures: int) -> None:
    (folder / "migrations").mkdir()
    (folder / "big").mkdir()
    files = -(-procedures // 10)
    for n in range(files):
        count = min(10, procedures - 10 * n)
        text = FILE.format(n=n) + "".join(KINDS[i % len(KINDS)].format(n=n, i=i) for i in range(count))
        (folder / "big" / f"things{n}.py").write_text(text)
        (folder / "migrations" / f"{n + 1:04d}_things{n}.sql").write_text(TABLE.format(n=n))
    names = ", ".join(f"things{n}" for n in range(files))
    (folder / "big" / "__init__.py").write_text("")
    (folder / "big" / "main.py").write_text(f"from big import {names}\nfrom tenantry import Tenantry\n\napp = Tenantry()\napp.include({names})\n")
    (folder / ".env").write_text("TENANTRY_APP=big.main:app\n")


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--procedures", type=int, default=100)
    wanted.add_argument("--runs", type=int, default=5)
    given = wanted.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tenantry-check-"))
    folder.chmod(0o755)
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def tenantry(*arguments: str) -> str:
        command = [sys.executable, "-m", "tenantry.cli.main", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        return done.stdout

    try:
        write(folder, given.procedures)
        tenantry("db", "push")
        wall: list[float] = []
        cpu: list[float] = []
        said = {}
        for _ in range(given.runs):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            said = json.loads(tenantry("check", "--json"))
            wall.append(time.perf_counter() - begun)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        print("| procedures | statements | findings | wall s, median (least) | CPU s |\n| --- | --- | --- | --- | --- |")
        print(
            f"| {given.procedures} | {said['statements']} | {len(said['findings'])} | {statistics.median(wall):.2f} ({min(wall):.2f}) "
            f"| {statistics.median(cpu):.2f} |"
        )
    finally:
        tenantry("db", "stop")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
