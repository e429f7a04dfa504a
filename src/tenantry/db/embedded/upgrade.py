"""The embedded server's next major version: dumped from the old, restored into the new, counted on both sides.

Dump and restore, not pg_upgrade: the new cluster gets the new version's checksums and locale provider, which pg_upgrade would have to
carry over. The old data are renamed, never written, and are put back whatever fails; `remove_old` removes them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from tenantry.db.embedded import binaries as programs
from tenantry.db.embedded import cluster, folders, running
from tenantry.db.embedded.account import clean_environment
from tenantry.db.embedded.folders import Folders
from tenantry.db.embedded.server import Embedded
from tenantry.errors import DatabaseNotReady
from tenantry.settings import DatabaseUrl

SECONDS = 6 * 3600.0
_TABLES = """
select pg_catalog.format('%I.%I', n.nspname, c.relname)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relpersistence = 'p'
"""
Say = Callable[[str], None]


class Upgraded(Struct, frozen=True):
    """What was done. `old` is where the old data lie."""

    from_major: int
    to_major: int
    rows: int
    old: Path | None


def upgrade(
    server: Embedded,
    *,
    finish: Callable[[DatabaseUrl], None],
    programs_in: Path | None = None,
    say: Say = lambda _: None,
) -> Upgraded:
    """Move the data to the newest version whose programs are here. Raises DatabaseNotReady; then the old data serve as before.

    `finish` sets in the new database what belongs to a version: rights on PostgreSQL's own functions.
    """
    chosen, where, account = server.located()
    old_major = cluster.major_of(where)
    if old_major is None:
        raise DatabaseNotReady(why="there are no data yet", cure="tenantry db start makes them, of the newest version.")
    newest = programs.find(account, folders.SHELF, folder=programs_in)
    if newest.major <= old_major:
        return Upgraded(old_major, old_major, 0, None)
    _has_room(where)
    kept = where.base / f"data.old-{old_major}"
    if kept.exists():
        raise DatabaseNotReady(why=f"{kept} is there from an earlier upgrade", cure="tenantry db upgrade --remove-old")
    server.ensure()
    dump = where.home / f"upgrade-{old_major}-{newest.major}"
    shutil.rmtree(dump, ignore_errors=True)
    dump.mkdir(mode=0o700)
    try:
        say(f"dumping the data of version {old_major}")
        databases, before = _dumped(server, newest.folder, dump)
        server.stop()
        where.data.rename(kept)
        try:
            say(f"making a cluster of version {newest.major}")
            cluster.make(newest, where, account, chosen.passwords["postgres"])
            running.start(chosen, where, account, newest, wanted_port=server.wanted_port, slow_ms=server.slow_ms)
            _filled(server, newest.folder, dump, databases)
            finish(server.superuser_url("socket"))
            say("counting")
            after = {name: _counts(server, name) for name in databases}
            if after != before:
                raise DatabaseNotReady(
                    why="the new server has other counts than the old one", cure="The old data serve on; report this."
                )
        except BaseException:
            say("it failed: the old data are put back")
            running.stop(where)
            shutil.rmtree(where.data, ignore_errors=True)
            kept.rename(where.data)
            raise
    finally:
        shutil.rmtree(dump, ignore_errors=True)
    rows = sum(sum(counts.values()) for counts in before.values())
    return Upgraded(old_major, newest.major, rows, kept)


def remove_old(server: Embedded) -> list[Path]:
    """Remove what earlier upgrades kept."""
    _, where, _ = server.located()
    found = sorted(where.base.glob("data.old-*"))
    for path in found:
        shutil.rmtree(path)
    return found


def _has_room(where: Folders) -> None:
    size = sum(path.stat().st_size for path in where.data.rglob("*") if path.is_file())
    free = shutil.disk_usage(where.base).free
    if free < 2 * size:
        raise DatabaseNotReady(
            why=f"the data take {size // 1_000_000} MB, and only {free // 1_000_000} MB are free",
            cure="Make room for twice the data, for the time of the upgrade.",
        )


def _connect(server: Embedded, database: str) -> Any:
    import psycopg

    return psycopg.connect(server.superuser_url("socket").with_database(database).reveal(), autocommit=True)


def _counts(server: Embedded, database: str) -> dict[str, int]:
    with _connect(server, database) as connection:
        tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
        return {name: connection.execute(f"select count(*) from {name}").fetchone()[0] for name in sorted(tables)}


def _dumped(server: Embedded, bin_: Path, dump: Path) -> tuple[list[str], dict[str, dict[str, int]]]:
    with _connect(server, "postgres") as connection:
        text = "select datname from pg_catalog.pg_database where not datistemplate and datname <> 'postgres' and datallowconn order by 1"
        databases = [name for (name,) in connection.execute(text).fetchall()]
    roles = _run(server, bin_ / "pg_dumpall", "--globals-only", "--no-password")
    # The new cluster has its superuser; all else of it is set again by `alter role`.
    (dump / "globals.sql").write_text(roles.replace("CREATE ROLE postgres;\n", ""))
    for number, name in enumerate(databases):
        _run(
            server,
            bin_ / "pg_dump",
            "--format=custom",
            "--no-password",
            f"--file={dump / f'{number}.dump'}",
            f"--dbname={name}",
        )
    return databases, {name: _counts(server, name) for name in databases}


def _filled(server: Embedded, bin_: Path, dump: Path, databases: list[str]) -> None:
    _run(
        server,
        bin_ / "psql",
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--file={dump / 'globals.sql'}",
        "--dbname=postgres",
    )
    with _connect(server, "postgres") as connection:
        connection.execute("create extension if not exists pg_stat_statements")
    for number, _ in enumerate(databases):
        file, wanted = dump / f"{number}.dump", dump / f"{number}.list"
        listed = _run(server, bin_ / "pg_restore", "--list", str(file))
        # Rights on PostgreSQL's own functions: the next version has other functions. `finish` sets them.
        wanted.write_text("".join(line for line in listed.splitlines(keepends=True) if " ACL pg_catalog " not in line))
        _run(
            server,
            bin_ / "pg_restore",
            "--create",
            "--exit-on-error",
            "--no-password",
            f"--use-list={wanted}",
            "--dbname=postgres",
            str(file),
        )


def _run(server: Embedded, program: Path, *arguments: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(server.superuser_url("socket").reveal())
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    address = {names[key]: str(value) for key, value in parts.items() if key in names}
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
        env={**clean_environment(), **address, "HOME": os.environ.get("HOME", "/")},
    )  # fmt: skip
    if done.returncode != 0:
        raise DatabaseNotReady(
            why=f"{program.name}: {' '.join(done.stderr.split())[-500:]}", cure="The old data serve on as before."
        )
    return done.stdout
