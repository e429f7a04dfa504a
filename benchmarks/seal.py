"""What the seal costs: PostgreSQL's own CPU for enter, statement, Sync, against a plain setting that anybody could forge.

    .venv/bin/python benchmarks/seal.py [--blocks 200]

An embedded server of its own, dropped afterwards. Interleaved blocks, each on its own back end; CPU of the back end from
/proc/<pid>/schedstat (nanoseconds); the median of the blocks' ratios to the plain setting of the same round. Linux only.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import socket
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import pq

from tenantry.db.embedded import Embedded
from tenantry.db.migrate import Migration, push
from tenantry.tenancy import REPAIRS, builtin_migrations

ITEMS = """
create table items (id uuid primary key default gen_random_uuid(), body text not null, n bigint not null, created_at timestamptz not null default now());
select tenantry.protect('items');
create index items_tenant_created_idx on items (tenant_id, created_at, id);
"""
# The same by a setting that platform may set: policies by the setting; `enter` is ours, less the seal and the checks of the session's state.
PLAIN = """
create schema plain; grant usage on schema plain to platform;
create function plain.tenant() returns uuid language sql stable parallel safe
    return nullif(current_setting('app.current_tenant_id', true), '')::uuid;
grant execute on function plain.tenant to platform;
create table plain.items (like public.items including all);
alter table plain.items enable row level security, force row level security;
grant select, insert, update, delete on plain.items to platform;
create policy s on plain.items for select to platform using (tenant_id = (select plain.tenant()));
"""
FILL = """
insert into items (tenant_id, body, n, created_at)
select t.id, 'body ' || i, i, now() - i * interval '1 minute' from tenantry.tenants t, generate_series(1, case when t.slug = 'big' then 100000 else 300 end) i;
"""
STATEMENTS = {
    "point read": ("select id, body, n from {} where id = $1", 100),
    "20-row list": ("select id, body, n from {} order by created_at desc, id desc limit 20", 60),
    "100k-row aggregate": ("select count(*), sum(n) from {}", 1),
}


class Way:
    """One back end with `enter` and the statements prepared."""

    def __init__(self, url: str, enter: str, table: str, tokens: dict[str, bytes], rows: dict[str, list[UUID]]) -> None:
        self.pg = pq.PGconn.connect(url.encode())
        self.tokens, self.rows = tokens, rows
        self.pg.prepare(b"enter", f"select * from {enter}($1::bytea, $2::boolean, null, null, $3::integer)".encode())
        for name, (text, _) in STATEMENTS.items():
            assert self.pg.prepare(name.encode(), text.format(table).encode()).status == pq.ExecStatus.COMMAND_OK
        self.pg.enter_pipeline_mode()

    def cpu(self) -> int:
        """Nanoseconds that the back end has run."""
        return int(Path(f"/proc/{self.pg.backend_pid}/schedstat").read_text().split()[0])

    def block(self, name: str, count: int, turn: int) -> int:
        """CPU of `count` transactions."""
        slugs = ["big"] if name.startswith("100k") else [f"t{(turn * count + i) % 50}" for i in range(count)]
        before = self.cpu()
        for slug in slugs:
            params: list[bytes | None] = []
            if name == "point read":
                params.append(str(self.rows[slug][turn % len(self.rows[slug])]).encode())
            self.pg.send_query_prepared(b"enter", [self.tokens[slug], b"t", b"10000"])
            self.pg.send_query_prepared(name.encode(), params)
            self.pg.pipeline_sync()
            done = 0
            while done < 2:
                result = self.pg.get_result()
                if result is None:
                    done += 1
                elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                    break
                else:
                    assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
                    assert result.ntuples
            while True:
                result = self.pg.get_result()
                if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                    break
        return self.cpu() - before


def without_seal(definition: str) -> str:
    """Our own `enter`, as it would be without what the seal needs."""
    text = definition.replace("tenantry.enter(", "plain.enter(", 1)
    text, checks = re.subn(r"if pg_catalog.current_setting\('search_path'\).*?end if;", "", text, count=1, flags=re.DOTALL)
    text, seals = re.subn(r"pg_catalog.set_config\('backtrace_functions', c.context, true\)", "null::text", text)
    text, keyed = re.subn(r"pg_catalog.set_config\(\s*'app.tenant_seal'.*?'hex'\),\s*true\)", "null::text", text, flags=re.DOTALL)
    assert checks, "the checks of the session's state are not where they were"
    assert seals or keyed, "the seal is not where it was"
    return text


def prepared(embedded: Embedded, seal: str) -> tuple[str, dict[str, bytes], dict[str, list[UUID]]]:
    superuser = embedded.superuser_url()
    with psycopg.connect(superuser.with_database("postgres").reveal(), autocommit=True) as admin:
        admin.execute(f"create database {seal}")
        admin.execute(f"alter role postgres set tenantry.seal = '{seal}'")
    url = superuser.with_database(seal)
    files = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
    push(url, [*files, Migration("0001_items.sql", ITEMS)], urls=embedded.urls(), repairs=REPAIRS)
    tokens: dict[str, bytes] = {}
    ids: dict[str, UUID] = {}
    with psycopg.connect(url.reveal(), autocommit=True) as admin:
        for slug in ["big", *(f"t{n}" for n in range(50))]:
            ids[slug] = admin.execute("select tenantry.create_tenant(%s, %s)", (slug, slug)).fetchone()[0]  # type: ignore[index]
            admin.execute("select tenantry.add_member(%s, %s, 'x', 'owner')", (ids[slug], f"x@{slug}.example"))
            tokens[slug] = secrets.token_urlsafe(32).encode()
            admin.execute(
                "select tenantry.create_session(%s, %s, %s, '1 day')", (tokens[slug], f"x@{slug}.example", ids[slug])
            )
        admin.execute(PLAIN)
        admin.execute(without_seal(admin.execute("select pg_get_functiondef('tenantry.enter(bytea,boolean,text,uuid,integer)'::regprocedure)").fetchone()[0]))  # type: ignore[index]
        admin.execute("alter function plain.enter owner to tenantry_gate; grant execute on function plain.enter to platform")
        admin.execute(FILL)
        admin.execute("insert into plain.items select * from items")
        for table in ("items", "plain.items", "users", "auth_sessions"):
            admin.execute(f"vacuum analyze {table}")
        rows = {
            slug: [r[0] for r in admin.execute("select id from items where tenant_id = %s limit 50", (id_,)).fetchall()]
            for slug, id_ in ids.items()
        }
    return embedded.urls().platform.with_database(seal).reveal(), tokens, rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=200)
    blocks = parser.parse_args().blocks
    home = Path(tempfile.mkdtemp(prefix="tenantry-seal-"))
    home.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    embedded = Embedded(home / "home", port)
    embedded.ensure()
    try:
        measure(embedded, blocks)
    finally:
        place = embedded.status().data.parent
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def measure(embedded: Embedded, blocks: int) -> None:
    vault, keyed = prepared(embedded, "vault"), prepared(embedded, "keyed")
    used = {
        "plain setting": Way(vault[0], "plain.enter", "plain.items", *vault[1:]),
        "vault": Way(vault[0], "tenantry.enter", "items", *vault[1:]),
        "keyed seal": Way(keyed[0], "tenantry.enter", "items", *keyed[1:]),
    }
    names = [name for name in used if name != "plain setting"]
    print(f"| PostgreSQL's CPU, plain setting = 1.00 | {' | '.join(names)} | plain setting, us |")
    print("| --- |" + " --- |" * (len(names) + 1))
    for statement, (_, count) in STATEMENTS.items():
        ratios: dict[str, list[float]] = {name: [] for name in names}
        plain: list[float] = []
        run: Callable[[str, int], int] = lambda name, turn, s=statement, c=count: used[name].block(s, c, turn)  # noqa: E731
        for turn in range(3):
            for name in used:
                run(name, turn)  # plans become generic, caches warm
        for turn in range(blocks):
            order = list(used) if turn % 2 else list(reversed(used))
            took = {name: run(name, turn) for name in order}
            plain.append(took["plain setting"] / count)
            for name in names:
                ratios[name].append(took[name] / took["plain setting"])
        cells = " | ".join(f"{statistics.median(ratios[name]):.2f}" for name in names)
        print(f"| {statement} | {cells} | {statistics.median(plain) / 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main()
