"""The last look before serving: whoever the URL signs in as, policies must bind them, and no token may reach a log."""

from __future__ import annotations

from typing import Any

from tenantry.errors import DatabaseNotReady, IsolationBroken, LogsBindValues, RoleTooStrong, SettingsFaulty
from tenantry.settings import Settings
from tenantry.tenancy.verify import holes

_WHO = """
select r.rolname, r.rolsuper, r.rolbypassrls,
       exists (select from pg_catalog.pg_class c where c.relowner = r.oid and c.relkind in ('r', 'p')),
       pg_catalog.current_database(),
       pg_catalog.current_setting('log_parameter_max_length'), pg_catalog.current_setting('log_min_duration_statement'),
       pg_catalog.current_setting('log_statement'), pg_catalog.current_setting('max_connections')::integer,
       pg_catalog.to_regprocedure('tenantry.enter(bytea,boolean,text,uuid,integer)') is not null
  from pg_catalog.pg_roles r
 where r.rolname = current_user
"""


def check(settings: Settings) -> None:
    """Look with the very login that requests will use. Raises StartError's kinds, each with its remedy."""
    import psycopg

    url = settings.urls().platform
    try:
        connection: Any = psycopg.connect(url.reveal(), autocommit=True, connect_timeout=10, prepare_threshold=None)
    except psycopg.OperationalError as error:
        why = " ".join(str(error).split())
        raise DatabaseNotReady(
            why=why, cure="Look at DATABASE_URL, and whether the server runs: tenantry db status"
        ) from None
    with connection:
        _check_role(connection, settings)
        _check_entrance(connection)


def _check_role(connection: Any, settings: Settings) -> None:
    row = connection.execute(_WHO).fetchone()
    role, is_super, is_bypassing, is_owner, database, longest, slow, statements, most, has_enter = row
    why = "a superuser" if is_super else "with BYPASSRLS" if is_bypassing else "who owns tables" if is_owner else ""
    if why:
        raise RoleTooStrong(setting="DATABASE_URL", role=role, why=why)
    if not has_enter:
        raise DatabaseNotReady(why="Tenantry's schema is not in it", cure="Run: tenantry db push")
    is_logging = slow != "-1" or statements == "all"
    if longest != "0" and is_logging and not settings.allow_logged_bind_values:
        raise LogsBindValues(setting="log_parameter_max_length", value=longest, database=database)
    wanted = settings.connections_wanted + settings.RESERVED_CONNECTIONS
    if wanted > most:
        fits = max(1, (most - settings.RESERVED_CONNECTIONS) // settings.workers - settings.auth_pool_size - 1)
        lines = (
            f"  TENANTRY_WORKERS x (TENANTRY_POOL_SIZE + TENANTRY_AUTH_POOL_SIZE + 1) + {settings.RESERVED_CONNECTIONS} in reserve"
            f" = {wanted}, and the server has max_connections = {most}\n    Set TENANTRY_POOL_SIZE={fits}, or raise max_connections."
        )
        raise SettingsFaulty(
            count=1, lines=lines, faults=[("TENANTRY_POOL_SIZE", "more connections than the server has", lines)]
        )


def _check_entrance(connection: Any) -> None:
    import psycopg

    try:
        defects = holes(connection)
    except psycopg.errors.LockNotAvailable:
        cure = "Wait for it, or look who holds it: select pid, query from pg_stat_activity where state <> 'idle'; then start again."
        raise DatabaseNotReady(why="a table is locked, and its policies cannot be read", cure=cure) from None
    if defects:
        lines = "\n".join(
            f"  {thing}: {detail}\n    {cure.replace(chr(10), chr(10) + '    ')}" for _, thing, detail, cure in defects
        )
        raise IsolationBroken(lines=lines, defects=defects)
    try:
        connection.execute("select tenantry.enter('\\x00')")
    except psycopg.Error as error:
        if error.sqlstate == "TN401":
            return
        raise DatabaseNotReady(why=f"enter() answers {error.sqlstate}", cure="Run: tenantry db push") from None
    raise IsolationBroken(lines="  enter() lets a credential in that nobody has", defects=[])
