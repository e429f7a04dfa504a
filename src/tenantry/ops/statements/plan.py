"""The plan of a statement as role platform inside a tenant, sealed: never run, and rolled back.

The text is prepared over the extended protocol (which takes one statement only), in a READ ONLY transaction that has entered the tenant,
and EXPLAINed without ANALYZE with the generic plan that the fast path uses. So row security's own condition stands in it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tenantry.db.scan import ALLOWED, first_keyword
from tenantry.db.wire import COMMAND_OK
from tenantry.errors import StartError
from tenantry.settings import Urls
from tenantry.tenancy.visiting import Visit

_PRIMARY = ord("M")
"""PG_DIAG_MESSAGE_PRIMARY."""


class PlanFailed(StartError):
    """A statement has no plan here."""

    code = "PLAN_FAILED"
    says = "No plan: {why}."
    remedy = "{cure}"


class Plan(Struct, frozen=True):
    """As text for people, and as PostgreSQL's JSON."""

    text: str
    root: dict[str, Any]


def plan_as(urls: Urls, visit: Visit, text: str) -> Plan:
    """The generic plan of one statement. Raises PlanFailed."""
    import psycopg

    if first_keyword(text) not in ALLOWED:
        raise PlanFailed(why="only statements of handlers have one", cure="Take another: tenantry slow")
    with psycopg.connect(
        urls.platform.reveal(), autocommit=True, cursor_factory=psycopg.RawCursor, prepare_threshold=None
    ) as connection:
        try:
            connection.execute("begin read only")
            connection.execute("select tenantry.enter($1::bytea, true, null, null, 10000)", (visit.token,))
            _prepare(connection, text)
            row = connection.execute(
                "select pg_catalog.cardinality(parameter_types) from pg_catalog.pg_prepared_statements where name = 'tenantry_plan'"
            ).fetchone()
            nulls = ", ".join(["null"] * (row[0] if row else 0))
            call = f"execute tenantry_plan{f'({nulls})' if nulls else ''}"
            connection.execute("set local plan_cache_mode = force_generic_plan")
            lines = connection.execute(f"explain (costs on) {call}".encode(), ()).fetchall()
            whole = connection.execute(f"explain (format json, verbose) {call}".encode(), ()).fetchone()
        except psycopg.Error as error:
            raise PlanFailed(
                why=" ".join((error.diag.message_primary or str(error)).split()),
                cure="The server keeps $1 where a constant stood, which is not always SQL; the text of a running worker is.",
            ) from None
        finally:
            _leave(connection)
    assert whole is not None  # EXPLAIN gives a row
    root: Any = whole[0]  # psycopg reads json
    return Plan("\n".join(line for (line,) in lines), root[0]["Plan"])


def _prepare(connection: Any, text: str) -> None:
    """By the extended protocol, whatever psycopg would choose: it takes one statement, so that `…; commit; delete …` is a syntax error."""
    from psycopg import errors

    told = connection.pgconn.exec_params(f"prepare tenantry_plan as {text}".encode(), [])
    if told.status != COMMAND_OK:
        words = (told.error_field(_PRIMARY) or b"it was refused").decode("utf-8", "replace")
        raise errors.SyntaxError(words)


def _leave(connection: Any) -> None:
    """Nothing stays on a connection that a pooler may give to the next one."""
    import contextlib

    import psycopg

    with contextlib.suppress(psycopg.Error):
        connection.execute("rollback")
    with contextlib.suppress(psycopg.Error):
        connection.execute("deallocate tenantry_plan")
