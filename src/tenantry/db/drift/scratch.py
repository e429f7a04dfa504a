"""A throw-away database on the same server, with the migrations applied: what the files make, told by PostgreSQL itself."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Generator, Sequence
from typing import Any

from tenantry.db.migrate import Look, Migration, push
from tenantry.errors import StartError
from tenantry.settings import DatabaseUrl


class ScratchRefused(StartError):
    """Where the login may not create a database, there is nothing to compare with."""

    code = "SCRATCH_REFUSED"
    says = "The throw-away database of the comparison could not be made: {why}."
    remedy = "Give the URL of a role that may: --superuser-url, or: alter role … createdb"


@contextlib.contextmanager
def scratch(
    superuser: DatabaseUrl, migrations: Sequence[Migration], *, repairs: Sequence[str], look: Look | None
) -> Generator[Any]:
    """A connection to it, dropped afterwards. Raises ScratchRefused, and what a push raises for files that do not apply."""
    import psycopg

    name = f"tenantry_diff_{secrets.token_hex(6)}"
    try:
        server = psycopg.connect(superuser.with_database("postgres").reveal(), autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise ScratchRefused(why=" ".join(str(error).split())) from None
    with server:
        try:
            server.execute(f"create database {name} template template0 encoding 'UTF8'".encode())
        except psycopg.Error as error:
            raise ScratchRefused(why=" ".join(str(error).split())) from None
        try:
            target = superuser.with_database(name)
            push(target, migrations, repairs=repairs, look=look)
            with psycopg.connect(target.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
                yield connection
        finally:
            server.execute(f"drop database if exists {name} with (force)".encode())
