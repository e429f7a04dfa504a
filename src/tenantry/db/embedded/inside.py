"""What has to be inside the running server: the superuser's password, the database `platform`, the roles' passwords.

Asked at every `ensure`, over one connection; on a server that is whole already nothing is changed.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from tenantry.db.logins import fits, set_password
from tenantry.errors import DatabaseNotReady
from tenantry.settings import DatabaseUrl

if TYPE_CHECKING:
    import psycopg

DATABASE = "platform"
LOGINS = ("platform", "tenantry_auth", "tenantry_ops", "tenantry_migrate")
_CONNECT_SECONDS = 10.0


def prepare(superuser: DatabaseUrl, passwords: dict[str, str]) -> bool:
    """Make what is missing; False if the superuser's password is refused. Raises DatabaseNotReady if nobody answers.

    The roles themselves are made by the first migration; those that exist by now get their passwords.
    """
    connection = _connect(superuser.with_database("postgres"))
    if connection is None:
        return False
    with contextlib.closing(connection):
        is_made = connection.execute("select from pg_database where datname = $1", (DATABASE,)).fetchone()
        if is_made is None:
            connection.execute("create database platform")
            connection.execute("create extension if not exists pg_stat_statements")
            own = _connect(superuser.with_database(DATABASE))
            if own is not None:
                with contextlib.closing(own):
                    own.execute("create extension if not exists pg_stat_statements")
        rows = connection.execute("select rolname, rolpassword from pg_authid where rolname = any($1)", (list(LOGINS),))
        for role, verifier in rows.fetchall():
            if not fits(passwords[role], verifier):
                set_password(connection, role, passwords[role])
    return True


def _connect(url: DatabaseUrl) -> psycopg.Connection[Any] | None:
    import psycopg

    until = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return psycopg.connect(url.reveal(), autocommit=True, connect_timeout=5, cursor_factory=psycopg.RawCursor)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            if "password authentication failed" in said:
                return None
            if time.monotonic() > until:
                raise DatabaseNotReady(
                    why=f"the embedded server does not answer: {said}", cure="Stop it and try again: tenantry db stop"
                ) from error
            time.sleep(0.05)
