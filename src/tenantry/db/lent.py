"""A connection lent to ordinary psycopg, or to SQLAlchemy, inside a tenant's open transaction; and its cleaning afterwards.

psycopg has cursors, COPY, and whatever is written over them; RLS, deadline and READ ONLY hold for it as for any statement.
What is lent may leave session state behind, so the connection is cleaned by DISCARD ALL before anybody else gets it. Behind
a pooler the transaction's end gives the server to others before it could be cleaned: there it is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, tuple_row

from tenantry.db.wire import IDLE, INERROR, INTRANS
from tenantry.errors import ConnectionLent, ConnectionPooled, TransactionFailed, TransactionMixed

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from tenantry.db.connection import Connection
    from tenantry.db.session import Session


class Lent(AsyncConnection[TupleRow]):
    """psycopg's connection, without its transaction's end: that is the handler's. `transaction()` makes savepoints."""

    is_joined = False
    """Whether a library over it says commit and rollback by itself, and means savepoints."""

    async def commit(self) -> None:
        """Refused: the transaction is the handler's."""
        if not self.is_joined:
            raise ConnectionLent(why="it called commit() on the connection that ctx.psycopg() lent")

    async def rollback(self) -> None:
        """Refused, see `commit`."""
        if not self.is_joined:
            raise ConnectionLent(why="it called rollback() on the connection that ctx.psycopg() lent")

    async def set_autocommit(self, value: bool) -> None:
        """Refused, see `commit`."""
        if not self.is_joined or value:
            raise ConnectionLent(why="it set autocommit on the connection that ctx.psycopg() lent")

    async def close(self) -> None:
        """Nothing: whoever lent it takes it back."""


@asynccontextmanager
async def lend(session: Session, *, is_joined: bool = False) -> AsyncGenerator[Lent]:
    """The session's own connection, in its own transaction. Raises ConnectionPooled, ConnectionLent, TransactionMixed."""
    procedure = session.entry.procedure
    if session.blocks or session.is_loose:
        raise TransactionMixed(procedure=procedure)
    if session.is_lent:
        raise ConnectionLent(why=f"{procedure} called ctx.psycopg() inside ctx.psycopg()")
    if session.broken is not None:
        raise TransactionFailed(procedure=procedure, first=type(session.broken).__name__)
    connection = await session.hold()
    if connection.is_pooled:
        session.abandon()
        raise ConnectionPooled(procedure=procedure)
    session.is_lent = True
    connection.lend()
    lent = Lent(connection.pg, row_factory=tuple_row)  # pyright: ignore[reportArgumentType] - an abc.PGconn that is one
    lent.prepare_threshold = None
    lent.is_joined = is_joined
    try:
        yield lent
    except BaseException as error:
        session.broken = ConnectionLent(why=f"{procedure} failed with the lent connection ({type(error).__name__})")
        raise
    finally:
        session.is_lent = False
        del lent.pgconn  # whoever kept it keeps nothing
        _take_back(session, connection)


def _take_back(session: Session, connection: Connection) -> None:
    status = int(connection.pg.transaction_status) if not connection.is_dead else -1
    if status != INTRANS and session.broken is None:
        session.broken = ConnectionLent(
            why=f"{session.entry.procedure} ended the transaction, or failed in it, by SQL of its own"
        )
    if status in (INTRANS, INERROR, IDLE):
        connection.taken_back(is_open=status != IDLE)
        if status == IDLE:
            session.connection = None
    else:
        session.connection = None
        connection.die("lent, and not given back whole")


# ------------------------------------------------------------------ SQLAlchemy

_lent: ContextVar[Lent] = ContextVar("lent")
_engines: dict[asyncio.AbstractEventLoop, AsyncEngine] = {}


def _engine() -> AsyncEngine:
    """One engine a loop: its dialect asks the server what it is only once. It holds no connection."""
    loop = asyncio.get_running_loop()
    found = _engines.get(loop)
    if found is None:
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        async def lent() -> Any:
            return _lent.get()

        found = create_async_engine(
            "postgresql+psycopg://",
            async_creator=lent,
            poolclass=NullPool,
            pool_reset_on_return=None,
            use_native_hstore=False,
        )
        _engines.clear()  # of loops that are gone
        _engines[loop] = found
    return found


@asynccontextmanager
async def alchemy(session: Session) -> AsyncGenerator[AsyncSession]:
    """SQLAlchemy's AsyncSession in the session's own transaction; its commit and rollback are savepoints. Flushed at the end."""
    from sqlalchemy.ext.asyncio import AsyncSession

    async with lend(session, is_joined=True) as lent:
        token = _lent.set(lent)
        try:
            async with (
                _engine().connect() as connection,
                AsyncSession(bind=connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as made,
            ):
                yield made
                await made.flush()
                await made.commit()
        finally:
            _lent.reset(token)


__all__ = ["Lent", "alchemy", "lend"]
