"""Settings of the server, the database and its roles: those that Tenantry made, and those that do harm, wherever they were put."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tenantry.db.sql import quoted
from tenantry.runbook.model import Look, Probe
from tenantry.runbook.place import Place

MADE: Mapping[str, Mapping[str, str]] = {
    "platform": {"search_path": "public", "statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s", "transaction_timeout": "120s", "timezone": "UTC"},
    "tenantry_auth": {"search_path": "public", "statement_timeout": "10s", "idle_in_transaction_session_timeout": "10s", "transaction_timeout": "20s", "timezone": "UTC"},
    "tenantry_ops": {"search_path": "public"},
}  # fmt: skip
"""By the first migration, in this database; a session's own goes before them."""

HARMFUL = (
    "statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "search_path", "row_security",
    "session_replication_role", "default_transaction_isolation", "default_transaction_deferrable", "role", "standard_conforming_strings", "client_encoding",
    "timezone", "datestyle", "intervalstyle", "bytea_output", "enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan", "enable_hashjoin",
    "enable_nestloop", "enable_sort", "plan_cache_mode", "session_preload_libraries", "local_preload_libraries", "check_function_bodies", "tcp_user_timeout",
)  # fmt: skip
"""Names that change what every statement does when somebody sets them for a role or a database."""

SERVER: Mapping[str, tuple[str, str]] = {
    "track_counts": ("off", "autovacuum does not see what changed, and statistics stand still"),
    "track_activities": ("off", "nobody sees what runs, or who waits"),
    "autovacuum": ("off", "nothing is cleaned or analyzed by itself; transaction ids run out"),
    "row_security": ("off", "every statement that a policy would filter fails"),
    "zero_damaged_pages": ("on", "damaged pages are emptied without a word"),
    "ignore_checksum_failure": ("on", "damaged pages are used"),
    "ignore_system_indexes": ("on", "the catalogue is read without its indexes"),
    "session_replication_role": ("replica", "no trigger and no foreign key works"),
    "enable_indexscan": ("off", "the planner avoids indexes"),
    "enable_indexonlyscan": ("off", "the planner avoids indexes"),
    "enable_bitmapscan": ("off", "the planner avoids indexes"),
    "enable_nestloop": ("off", "the planner reads whole tables to join a few rows"),
    "enable_hashjoin": ("off", "the planner sorts, or loops, to join many rows"),
    "standard_conforming_strings": ("off", "a backslash in a text is no backslash any more"),
    "default_transaction_isolation": ("serializable", "statements fail for others that run beside them (40001)"),
    "default_transaction_deferrable": ("on", "transactions wait for a safe moment"),
}
BOUNDS: Mapping[str, tuple[int, int, str]] = {
    "idle_session_timeout": (1, 600_000, "connections of the pools are ended while they wait for work"),
    "lock_timeout": (1, 1000, "statements fail as soon as they wait for another (55P03)"),
    "deadlock_timeout": (60_000, 2**31, "two that wait for each other do so for a minute and more"),
    "temp_file_limit": (0, 102_400, "statements that sort or hash more than memory holds fail (53400)"),
    "work_mem": (
        2_097_152,
        2**31,
        "each sort and hash of each connection may take so much memory: the kernel ends the server",
    ),
    "max_parallel_workers_per_gather": (9, 1025, "one statement takes all the cores"),
}
"""From, to (in the setting's own unit), and what it does: what nobody means, and a server does not tell of."""
RISKY: Mapping[str, tuple[str, str]] = {
    "fsync": ("off", "a crash of the machine breaks the database"),
    "full_page_writes": ("off", "a crash of the machine breaks pages"),
}
"""One of them off is a mistake. PostgreSQL's manual switches off both where nothing has to last ("Non-Durable Settings")."""
ROLES_SQL = """
select coalesce(d.datname, '')::text as database, coalesce(r.rolname, '')::text as role,
       pg_catalog.lower(pg_catalog.split_part(c.text, '=', 1)) as name, pg_catalog.substr(c.text, pg_catalog.strpos(c.text, '=') + 1) as value
  from pg_catalog.pg_db_role_setting s
  left join pg_catalog.pg_database d on d.oid = s.setdatabase
  left join pg_catalog.pg_roles r on r.oid = s.setrole
 cross join lateral pg_catalog.unnest(s.setconfig) as c (text)
 where (s.setdatabase = 0 or d.datname = pg_catalog.current_database())
   and (s.setrole = 0 or r.rolname in ('platform', 'tenantry_auth', 'tenantry_ops'))
 order by 1, 2, 3 limit 500
"""
SERVER_SQL = """
select s.name::text as name, s.setting, s.reset_val as value, s.source::text as source, s.context::text as context, s.pending_restart,
       pg_catalog.current_setting('server_version_num')::int as version, pg_catalog.current_database()::text as database
  from pg_catalog.pg_settings s
 where s.name = any ($1)
"""

WAITS_SQL = """
select (select s.setting from pg_catalog.pg_settings s where s.name = 'synchronous_standby_names') as standbys,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_replication r where r.sync_state in ('sync', 'quorum')) as listening,
       a.failed_count as failed, a.last_failed_wal as failed_wal,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) as is_failing
  from pg_catalog.pg_stat_archiver a
"""
"""What a commit, or the write-ahead log, waits for outside of the server."""


async def _configuration(place: Place) -> Look:
    names = [*SERVER, *BOUNDS, *RISKY, "max_connections", "superuser_reserved_connections"]
    login, server = await place.ask_as_ops_or_superuser(SERVER_SQL, [names])
    rows = await place.ask(login, ROLES_SQL)
    (outside,) = await place.ask(login, WAITS_SQL)
    wrong = [
        {"name": row["name"], "value": row["value"], "why": _why(row["name"]), "wants_restart": row["context"] == "postmaster"}
        for row in server
        if _does_harm(row["name"], row["value"])
        and row["source"] not in ("user", "database", "database user", "session", "client")
    ]  # fmt: skip
    version, database = (server[0]["version"], server[0]["database"]) if server else (0, "")
    limits = {row["name"]: int(row["setting"]) for row in server if row["name"].endswith("connections")}
    changed = changes(rows, database, version)
    lines = [f"{row['name']} = {row['value']}: {row['why']}" for row in wrong]
    lines += [
        f"{one['whose']}: {one['name']} = {one['value']}{' (was made as ' + one['made'] + ')' if one['made'] else ''}"
        for one in changed
    ]
    risky = [
        {"name": row["name"], "value": row["value"], "why": RISKY[row["name"]][1]}
        for row in server
        if row["name"] in RISKY and row["value"] == RISKY[row["name"]][0]
    ]
    # Both, or by the command line: a server whose data may be lost, and somebody means it (tests, a trial).
    if len(risky) == len(RISKY) or any(row["source"] == "command line" for row in server if row["name"] in RISKY):
        risky = []
    lines += [f"{row['name']} = {row['value']}: {row['why']}" for row in risky]
    values = {"server": wrong, "risky": risky, "changed": changed, "most": limits.get("max_connections"), "reserved": limits.get("superuser_reserved_connections"),
              "wanted": place.settings.connections_wanted, "outside": dict(outside)}  # fmt: skip
    if outside["standbys"]:
        lines.append(f"every commit waits for a standby of {outside['standbys']}; {outside['listening']} listen")
    if outside["is_failing"]:
        lines.append(f"archiving of {outside['failed_wal']} fails ({outside['failed']} times)")
    return Look(values, "\n".join(lines) or "as they were made; nothing that does harm")


def _does_harm(name: str, value: str) -> bool:
    if name in BOUNDS:
        least, most, _ = BOUNDS[name]
        return value.lstrip("-").isdigit() and least <= int(value) <= most
    return name in SERVER and value == SERVER[name][0]


_UNITS = {
    "b": 1 / 1024,
    "kb": 1,
    "mb": 1024,
    "gb": 1024**2,
    "tb": 1024**3,
    "us": 0.001,
    "ms": 1,
    "s": 1000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
_AMOUNT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*([a-z]*)\s*")


def amount(value: str) -> int | None:
    """`8GB` in kB, `5s` in ms, as `pg_settings` gives them; None for what is no amount."""
    found = _AMOUNT.fullmatch(value.lower())
    if found is None or found[2] not in {"", *_UNITS}:
        return None
    return round(float(found[1]) * _UNITS.get(found[2], 1))


def _is_harmful(name: str, value: str) -> bool:
    """Of a role or a database: a name that nobody has to set, or an amount that does harm."""
    number = amount(value)
    return name in HARMFUL or (name in BOUNDS and number is not None and _does_harm(name, str(number)))


def _why(name: str) -> str:
    return BOUNDS[name][2] if name in BOUNDS else SERVER[name][1]


def changes(rows: list[dict[str, Any]], database: str, version: int) -> list[dict[str, Any]]:
    """Settings of roles and of the database that are not as they were made, each with its cure. Pure."""
    found: list[dict[str, Any]] = []
    at = {(row["database"], row["role"], row["name"]): row["value"] for row in rows}
    named = quoted(database)
    for role, wanted in MADE.items():
        for name, value in wanted.items():
            there = at.get((database, role, name))
            if there is None and (name not in ("search_path", "statement_timeout") or not _is_made(at, database, role)):
                continue
            if name == "transaction_timeout" and version < 170000:
                continue
            if there is None or there.lower() != value.lower():
                cure = f"alter role {role} in database {named} set {name} = '{value}'"
                found.append(
                    {
                        "whose": role,
                        "name": name,
                        "value": "not set" if there is None else there,
                        "made": value,
                        "cure": cure,
                    }
                )
    for (of, role, name), value in at.items():
        if not _is_harmful(name, value) or (role in MADE and of == database and name in MADE[role]):
            continue
        # One of the same name for the role in this database goes before it.
        if not (of and role) and all((database, one, name) in at for one in ([role] if role else MADE)):
            continue
        target = (
            f"role {role or 'all'}" + (f" in database {named}" if of else "") if role or not of else f"database {named}"
        )
        whose = role or (f"database {of}" if of else "every role")
        found.append({"whose": whose, "name": name, "value": value, "made": "", "cure": f"alter {target} reset {name}"})
    return found


def _is_made(at: Mapping[tuple[str, str, str], str], database: str, role: str) -> bool:
    """Whether the role has any setting of its own here: a server may not let us make them."""
    return any(of == database and who == role for of, who, _ in at)


CONFIGURATION = Probe(
    "configuration", "\\drds; select name, setting, source from pg_settings where source <> 'default'", _configuration
)
