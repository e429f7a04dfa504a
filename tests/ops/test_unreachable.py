"""Why the database gives no answer is told apart, without a host, user, path or SQL in it; and an ended idle connection is no outage."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from tenantry.ops.health.check import Check
from tenantry.ops.health.connection import OwnConnection
from tenantry.ops.health.database import check_database, question
from tenantry.settings import DatabaseUrl
from tests.conftest import Database, free_port


async def found(url: DatabaseUrl | str) -> Check:
    connection = OwnConnection(url if isinstance(url, DatabaseUrl) else DatabaseUrl(url))
    try:
        return await check_database(connection, question())
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def peer(act: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> AsyncIterator[str]:
    """A port where connections are accepted, and then this is done with them."""
    kept: list[asyncio.StreamWriter] = []

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)
        act(reader, writer)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"postgresql://somebody:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}/place"
    finally:
        server.close()
        for writer in kept:
            writer.transport.abort()
        await server.wait_closed()


def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Not before something was sent: a reset of what was never written to can look like a close.
    async def after_the_first_byte() -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    kept.append(asyncio.ensure_future(after_the_first_byte()))


def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def after_the_greeting() -> None:
        await reader.read(4096)
        writer.close()

    kept.append(asyncio.ensure_future(after_the_greeting()))


kept: list[asyncio.Future[None]] = []


async def test_refused_reset_closed_and_silent_are_told_apart() -> None:
    said = {"refused": (await found(f"postgresql://somebody:s3cret@127.0.0.1:{free_port()}/place")).message}
    for name, act in (("reset", resets), ("closed", closes), ("silent", lambda *_: None)):
        async with peer(act) as url:
            said[name] = (await found(url)).message
    assert said == {
        "refused": "The database refuses connections: nothing listens there",
        "reset": "The connection to the database was reset",
        "closed": "The database closed the connection without an answer",
        "silent": "No answer within 800 ms",
    }


async def test_a_host_that_nobody_knows() -> None:
    check = await found("postgresql://somebody@nobody-knows.invalid/place")
    assert check.status == "down"
    assert check.message in ("The name of the database's host is not known", "No answer within 800 ms")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("alter role {role} nologin", "The role may not sign in (28000)"),
        ("alter role {role} connection limit 0", "The database has no room for another connection of this role or database (53300)"),
        ("alter database {database} allow_connections false", "The database accepts no connections (55000)"),
        ("revoke connect on database {database} from public, {role}", "The role may not connect to the database (42501)"),
    ],
)  # fmt: skip
async def test_what_the_server_refuses_is_named(database: Database, damage: str, says: str) -> None:
    role = "probe_of_health"
    names = {"role": role, "database": database.urls.platform.database}
    database.admin.execute(f"create role {role} login password 's3cret'".encode())
    elsewhere = psycopg.connect(database.superuser.with_database("postgres").reveal(), autocommit=True)
    try:
        elsewhere.execute(damage.format(**names).encode())
        place = database.urls.platform.place
        check = await found(f"postgresql://{role}:s3cret@{place}/{names['database']}")
    finally:
        elsewhere.execute(f"alter database {names['database']} allow_connections true".encode())
        elsewhere.execute(f"drop role {role}".encode())
        elsewhere.close()
    assert (check.status, check.message) == ("down", says)
    assert role not in check.message
    assert names["database"] not in check.message


async def test_an_idle_connection_that_an_operator_ended_is_no_outage(database: Database) -> None:
    connection = OwnConnection(database.urls.platform)
    try:
        for _ in range(3):
            assert (await check_database(connection, question())).status != "down"
            # As the runbook does: whatever is idle.
            database.admin.execute(
                "select pg_terminate_backend(pid, 2000) from pg_stat_activity where usename = 'platform' and datname = current_database()"
            )
        assert (await check_database(connection, question())).status != "down"
        assert connection.opened == 4
    finally:
        connection.close()
