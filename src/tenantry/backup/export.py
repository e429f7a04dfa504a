"""Everything that is one tenant's, as that tenant sees it: JSON lines, a file a table, from one snapshot, with a manifest.

Read as role platform under row security and the seal, so that a fault here could leave rows out, never let another tenant's in. What
platform may not read (sessions, keys, accounts: secrets) is not in it, and the manifest names it.
"""

from __future__ import annotations

import hashlib
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tenantry.backup.manifest import BackupFailed
from tenantry.backup.shelf import now
from tenantry.db.sql import quoted
from tenantry.settings import DatabaseUrl, Urls
from tenantry.tenancy.visiting import Visit, visiting

_TABLES = """
select n.nspname::text, c.relname::text,
       array(select pg_catalog.quote_ident(a.attname)
               from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
              order by a.attnum),
       array(select pg_catalog.quote_ident(a.attname)
               from pg_catalog.pg_index i
              cross join lateral pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (number, place)
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
              where i.indrelid = c.oid and i.indisprimary
              order by k.place),
       array(select a.attname::text
               from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and not pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
              order by a.attnum)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and pg_catalog.has_schema_privilege(n.oid, 'usage')
   and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
   and c.relrowsecurity
 order by 1, 2
"""
_WHO = "select tenantry.role(), public.get_current_tenant_id()::text, pg_catalog.current_setting('server_version')"


class Exported(Struct, frozen=True):
    """`manifest.json`. `files` by name: table, rows, bytes, SHA-256. `left_out`: of the tenant too, but not for role platform to read."""

    tenant: str
    slug: str
    at: str
    role: str
    server: str
    tenantry: str
    files: dict[str, dict[str, Any]]
    rows: int
    left_out: list[str]
    seconds: float


def export(admin: DatabaseUrl, urls: Urls, tenant: str, to: Path) -> tuple[Path, Exported]:
    """Write a new folder beneath `to`; half an export is removed. Raises VisitRefused, BackupFailed."""
    import psycopg

    started = time.monotonic()
    with visiting(admin, urls.auth, tenant, "operator_export") as visit:
        name = f"{visit.slug}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        folder, part = to / name, to / f".{name}.part"
        if folder.exists():
            raise BackupFailed(what=f"The export {folder}", why="it is there already", cure="Give another folder: --to")
        part.mkdir(mode=0o700, parents=True)
        try:
            manifest = _written(urls.platform, visit, part, started)
        except psycopg.Error as error:
            _remove(part)
            raise BackupFailed(
                what=f"The export of {visit.slug}",
                why=" ".join(str(error).split()),
                cure="Nothing was kept; tenantry doctor",
            ) from None
        except BaseException:
            _remove(part)
            raise
        _put(part / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
        part.rename(folder)
    return folder, manifest


def _written(platform: DatabaseUrl, visit: Visit, part: Path, started: float) -> Exported:
    import psycopg

    files: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    with psycopg.connect(
        platform.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor, prepare_threshold=None
    ) as connection:
        if connection.info.server_version >= 170_000:
            connection.execute("set transaction_timeout = 0")  # the backstop of requests: this is none
        connection.execute("begin isolation level repeatable read read only")
        connection.execute("select tenantry.enter($1::bytea, true)", (visit.token,))
        connection.execute("set local statement_timeout = 0")
        who: Any = connection.execute(_WHO).fetchone()
        if who[1] != visit.tenant_id:
            raise BackupFailed(
                what=f"The export of {visit.slug}", why="another tenant was entered", cure="tenantry verify"
            )
        files["tenant.jsonl"] = _copied(connection, part / "tenant.jsonl", "tenantry.current_tenant()", ["*"], "1")
        tables: list[Any] = connection.execute(_TABLES).fetchall()
        for schema, table, columns, key, hidden in tables:
            if not columns or not set(key) <= set(columns):
                left_out.append(f"{schema}.{table}")
                continue
            left_out += [f"{schema}.{table}.{column}" for column in hidden]
            file = f"{schema}.{table}.jsonl".replace("/", "_")
            files[file] = _copied(
                connection, part / file, f"{quoted(schema)}.{quoted(table)}", columns, ", ".join(key) or "1"
            )
        connection.execute("rollback")
        if connection.info.server_version >= 170_000:
            connection.execute("reset transaction_timeout")
    rows = sum(one["rows"] for one in files.values())
    return Exported(
        visit.tenant_id, visit.slug, now(), who[0], who[2], version("tenantry"), files, rows, left_out,
        round(time.monotonic() - started, 2),
    )  # fmt: skip


def _copied(connection: Any, path: Path, source: str, columns: list[str], order: str) -> dict[str, Any]:
    """One table. PostgreSQL makes the JSON; what it counts in the same snapshot must have come."""
    digest = hashlib.sha256()
    rows = size = 0
    # Names come from the catalogue, quoted.
    inner = f"select {', '.join(columns)} from {source} order by {order}"
    query = f"copy (select pg_catalog.row_to_json(q) from ({inner}) q) to stdout".encode()
    with (
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        connection.cursor().copy(query) as copy,
    ):
        for (line,) in copy.rows():
            data = line.encode() + b"\n"
            file.write(data)
            digest.update(data)
            rows += 1
            size += len(data)
    counted = connection.execute(f"select count(*) from {source}".encode()).fetchone()[0]
    if counted != rows:
        raise BackupFailed(what=f"The export of {source}", why=f"{rows} of {counted} rows came", cure="Try again.")
    return {"table": source, "rows": rows, "bytes": size, "sha256": digest.hexdigest()}


def _put(path: Path, text: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)


def _remove(part: Path) -> None:
    import shutil

    shutil.rmtree(part, ignore_errors=True)
