"""pg_stat_statements, read as tenantry_ops: the same columns from 15 to 18, wherever the extension was made."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from tenantry.db.sql import quoted
from tenantry.errors import StartError
from tenantry.settings import DatabaseUrl

Order = Literal["total", "mean", "max", "calls", "blocks"]
LEAST_CALLS = 20
"""By mean, what was called less often says little."""
SECONDS = 10


class StatementsMissing(StartError):
    """The server does not count statements, or does not show them."""

    code = "STATEMENTS_MISSING"
    says = "Statements cannot be read: {why}."
    remedy = "{cure}"


class Counts(Struct, frozen=True):
    """One statement since the last reset. Times in milliseconds; blocks are of 8 kB, found in shared memory (`hit`) or not (`read`)."""

    id: str
    role: str
    text: str
    calls: int
    total_ms: float
    mean_ms: float
    max_ms: float
    rows: int
    hit: int
    read: int
    temp: int
    """Blocks written to temporary files: sorts and hashes that did not fit into work_mem."""
    share: float
    """Of the time of all statements of this database."""


_PLACE = """
select n.nspname::text, e.extversion::text from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
 where e.extname = 'pg_stat_statements'
"""
_COUNTS = """
select s.queryid::text, r.rolname::text, s.query, s.calls::bigint,
       s.total_exec_time::float8, s.mean_exec_time::float8, s.max_exec_time::float8,
       s.rows::bigint, s.shared_blks_hit::bigint, s.shared_blks_read::bigint, s.temp_blks_written::bigint,
       coalesce(s.total_exec_time / nullif(sum(s.total_exec_time) over (), 0), 0)::float8
  from {view} s
  join pg_catalog.pg_roles r on r.oid = s.userid
 where s.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
   and s.toplevel
"""
_RESET = """
select {place}.pg_stat_statements_reset(0, d.oid, 0) from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
"""
_ORDERS: dict[Order, str] = {
    "total": "total_ms", "mean": "mean_ms", "max": "max_ms", "calls": "calls", "blocks": "read",
}  # fmt: skip
NOT_LOADED = (
    "Load it, and start the server anew: alter system set shared_preload_libraries = 'pg_stat_statements'; "
    "then, in the database, as superuser: create extension pg_stat_statements;"
)


def read(ops: DatabaseUrl, *, all_roles: bool = False) -> list[Counts]:
    """The statements of this database, of role platform alone unless all are wanted. Raises StatementsMissing."""
    import psycopg

    try:
        with _connected(ops) as connection:
            view = _view(connection)
            rows: list[Any] = connection.execute(_COUNTS.format(view=view)).fetchall()
    except psycopg.Error as error:
        raise _missing(error) from None
    found = [Counts(*row) for row in rows if all_roles or row[1] == "platform"]
    hidden = [one for one in found if one.text == "<insufficient privilege>"]
    if hidden and len(hidden) == len(found):
        raise StatementsMissing(
            why="this login may not see other roles' statements",
            cure="As superuser: grant pg_read_all_stats to tenantry_ops;",
        )
    return [one for one in found if one.text != "<insufficient privilege>"]


def ordered(found: list[Counts], by: Order, least_calls: int | None = None) -> list[Counts]:
    """The worst first."""
    least = least_calls if least_calls is not None else LEAST_CALLS if by == "mean" else 0
    key = _ORDERS[by]
    chosen = [one for one in found if one.calls >= least]
    return sorted(chosen, key=lambda one: (-(one.hit + one.read if by == "blocks" else getattr(one, key)), one.id))


def reset(admin: DatabaseUrl) -> None:
    """Count anew from now on, this database's statements only. Raises StatementsMissing."""
    import psycopg

    try:
        with _connected(admin) as connection:
            place = _view(connection).rpartition(".")[0]
            connection.execute(_RESET.format(place=place))
    except psycopg.errors.InsufficientPrivilege:
        raise StatementsMissing(
            why="this login may not reset them",
            cure="As superuser: grant execute on function pg_stat_statements_reset to tenantry_migrate;",
        ) from None
    except psycopg.Error as error:
        raise _missing(error) from None


def _connected(url: DatabaseUrl) -> Any:
    import psycopg

    return psycopg.connect(
        url.reveal(), autocommit=True, connect_timeout=5, cursor_factory=psycopg.RawCursor,
        application_name="tenantry slow", prepare_threshold=None,
    )  # fmt: skip


def _view(connection: Any) -> str:
    connection.execute(f"set statement_timeout = '{SECONDS}s'")
    row = connection.execute(_PLACE).fetchone()
    if row is None:
        raise StatementsMissing(why="the extension pg_stat_statements is not made in this database", cure=NOT_LOADED)
    return f"{quoted(row[0])}.pg_stat_statements"


def _missing(error: Any) -> StatementsMissing:
    words = " ".join(str(error).split())
    if error.sqlstate == "55000":
        return StatementsMissing(why="pg_stat_statements is made, but the server has not loaded it", cure=NOT_LOADED)
    if error.sqlstate == "42703":
        return StatementsMissing(
            why="the extension is of an older server", cure="alter extension pg_stat_statements update;"
        )
    return StatementsMissing(why=words, cure="Look at DATABASE_OPS_URL: tenantry doctor")
