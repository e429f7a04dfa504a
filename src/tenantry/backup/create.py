"""Make a backup: one snapshot, counted and dumped by `tenantry_system`, whom no policy binds (row security would leave rows out)."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from tenantry.backup import programs
from tenantry.backup.manifest import BackupFailed, Manifest
from tenantry.backup.sealed import Sealing
from tenantry.backup.shelf import Shelf, now
from tenantry.settings import DatabaseUrl, Secret

ROLE = "tenantry_system"
CURE = (
    "DATABASE_ADMIN_URL must be a superuser, or tenantry_migrate with: "
    "grant execute on function pg_catalog.pg_export_snapshot() to tenantry_migrate;"
)
TABLES = """
select pg_catalog.format('%I.%I', n.nspname, c.relname)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relpersistence = 'p'
   and not exists (select from pg_catalog.pg_depend d where d.objid = c.oid and d.deptype = 'e')
 order by 1
"""


def counts(connection: Any) -> dict[str, int]:
    """Rows by table. Whoever asks must not be bound by policies."""
    tables = [name for (name,) in connection.execute(TABLES).fetchall()]
    return {name: connection.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}


def create(admin: DatabaseUrl, shelf: Shelf, *, passphrase: Secret | None = None) -> Manifest:
    """Write NAME.dump and NAME.json. `admin` may act as tenantry_system. Raises BackupFailed; half a backup is removed."""
    import psycopg

    shelf.made()
    started = time.monotonic()
    name = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    path = shelf.dump(name)
    try:
        with psycopg.connect(admin.reveal(), autocommit=True) as connection:
            connection.execute("begin isolation level repeatable read read only")
            facts = _facts(connection)
            connection.execute("set local role tenantry_system")
            digest = _dump(admin, path, facts["snapshot"], facts["major"], passphrase)
            found = counts(connection)
            migrations = [one for (one,) in connection.execute("select name from tenantry.migrations order by 1")]
    except psycopg.Error as error:
        path.with_suffix(".new").unlink(missing_ok=True)
        words = " ".join(str(error).split())
        raise BackupFailed(what="The backup", why=words, cure=CURE) from None
    manifest = Manifest(
        name, now(), facts["database"], facts["server"], facts["major"], version("tenantry"), found, migrations, path.stat().st_size,
        digest, passphrase is not None, round(time.monotonic() - started, 1),
    )  # fmt: skip
    shelf.keep(manifest)
    return manifest


def _facts(connection: Any) -> dict[str, Any]:
    row = connection.execute(
        "select pg_export_snapshot(), current_database(), current_setting('server_version'), current_setting('server_version_num')::int / 10000"
    ).fetchone()
    return dict(zip(("snapshot", "database", "server", "major"), row, strict=True))


def _dump(admin: DatabaseUrl, path: Path, snapshot: str, major: int, passphrase: Secret | None) -> str:
    fresh = path.with_suffix(".new")
    command: list[str | Path] = [
        programs.folder(major) / "pg_dump",
        "--format=custom",
        "--no-password",
        f"--role={ROLE}",
        f"--snapshot={snapshot}",
    ]
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        into = Sealing(file, passphrase) if passphrase is not None else None
        with programs.start(command, admin, is_reading=False) as process:
            said = Words(process.stderr)
            assert process.stdout is not None
            while data := process.stdout.read(1 << 20):
                (file if into is None else into).write(data)
            if into is not None:
                into.finish()
            code = process.wait(programs.SECONDS)
            why = said.text()
        file.flush()
        os.fsync(file.fileno())
    if code != 0:
        fresh.unlink()
        raise BackupFailed(what="pg_dump", why=why, cure="Look at the words above; nothing was kept.")
    digest = sha256(fresh)
    fresh.replace(path)
    return digest


class Words:
    """What a program says on standard error, read while it runs, so that it never waits for a reader."""

    def __init__(self, stream: Any) -> None:
        self._stream: BinaryIO = stream
        self._got = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self._got = self._stream.read()

    def whole(self) -> str:
        """All that came."""
        self._thread.join(60.0)
        return self._got.decode("utf-8", "replace")

    def text(self) -> str:
        """Its last words, in a line."""
        self._thread.join(10.0)
        return " ".join(self._got.decode("utf-8", "replace").split())[-500:] or "it said nothing"


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
