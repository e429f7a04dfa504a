"""Migrations: plain SQL files, in order, once, each in a transaction with a lock timeout; and the repair of what they made.

A file that opens a hole in isolation is rolled back, with its cure. It wants a direct connection, since it holds an advisory
lock. Synchronous: commands call it before any event loop runs.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from tenantry.db import fingerprints
from tenantry.db.failures import unknown_table
from tenantry.db.logins import fits, set_password
from tenantry.errors import (
    DatabaseNotReady,
    IsolationBroken,
    MigrationChanged,
    MigrationFailed,
    TableNotProtected,
    TenantryError,
)
from tenantry.settings import DatabaseUrl, Urls

if TYPE_CHECKING:
    import psycopg

LOCK_TRIES = 5
NO_TRANSACTION = re.compile(r"^\s*--\s*tenantry:\s*no-transaction", re.MULTILINE)
Defect = tuple[str, str, str, str]
"""(check, object, what is wrong, remedy)"""
Look = Callable[[Any], list[Defect]]
"""The fast half of `tenantry verify`, given from above (`tenantry.tenancy.verify.holes`); without it `tenantry.defects()` is asked."""
Connection = Any  # psycopg.Connection[Any]: the library is loaded when a command runs


class Migration(Struct, frozen=True):
    """One file. `kind`: Tenantry's own, or the application's."""

    name: str
    text: str
    kind: Literal["built-in", "application"] = "application"

    @property
    def key(self) -> tuple[str, str]:
        """What the history goes by: an application's file may have the name of one of ours."""
        return self.kind, self.name

    @property
    def sha256(self) -> bytes:
        """Of the text, UTF-8."""
        return hashlib.sha256(self.text.encode()).digest()


class Pushed(Struct, frozen=True):
    """What a push did: files applied, and lines of what was repaired."""

    applied: list[str]
    repaired: list[str]


class State(Struct, frozen=True):
    """Which files are applied, which wait, which were edited afterwards, and what speaks against isolation."""

    applied: list[str]
    waiting: list[str]
    changed: list[str]
    defects: list[tuple[str, str, str, str]]


def application_migrations(folder: Path) -> list[Migration]:
    """The `.sql` files of a folder, by name; none if there is no folder.

    A file without a statement is not one yet: what `tenantry db new` makes is not applied before anything is written in it.
    """
    if not folder.is_dir():
        return []
    found = [Migration(path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.sql"))]
    return [one for one in found if _COMMENTS.sub("", one.text).strip()]


_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CREATES = re.compile(
    r'^\s*create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?(?:"?public"?\s*\.\s*)?("[^"]+"|[\w$]+)',
    re.IGNORECASE | re.MULTILINE,
)


def tables_made(text: str) -> list[str]:
    """The tables that a migration creates, as PostgreSQL knows them: folded to small letters unless quoted."""
    return [name[1:-1] if name[0] == '"' else name.lower() for name in _CREATES.findall(text)]


def maker_of(folder: Path, table: str) -> str | None:
    """The application's migration that creates a table, `migrations/0003_comments.sql`; None where there is none."""
    wanted = table.removeprefix("public.")
    for one in application_migrations(folder):
        if wanted in tables_made(one.text):
            return f"{folder.name}/{one.name}"
    return None


def no_table(folder: Path, table: str, *, procedure: str, where: str) -> TenantryError:
    """What is wrong with a statement on a table that is not here: a migration is not applied, or the name is no table's."""
    files = application_migrations(folder)
    others = [name for one in files for name in tables_made(one.text)]
    return unknown_table(table, file=maker_of(folder, table), others=others, procedure=procedure, where=where)


def push(
    admin: DatabaseUrl, migrations: Sequence[Migration], *, urls: Urls | None = None, repairs: Sequence[str] = (),
    is_repairing: bool = True, permissions: Mapping[str, tuple[str, str]] | None = None,
    report: Callable[[str], None] = lambda _: None, look: Look | None = None,
) -> Pushed:  # fmt: skip
    """Apply what is not applied yet, then repair. `repairs` are names of migrations that may be run again at any time.

    Raises MigrationFailed, MigrationChanged, TableNotProtected, IsolationBroken, DatabaseNotReady.
    """
    with _connected(admin) as connection:
        _lock(connection)
        known = _history(connection)
        has_history = _has_history(connection)
        applied: list[str] = []
        found_again: list[str] = []
        for migration in migrations:
            _check_unchanged(migration, known)
            if migration.key in known:
                continue
            later = later_than(migration, migrations)
            if has_history and is_row_lost(migration, later, known) and _was_applied(connection, migration, later):
                _write_down(connection, migration)
                found_again.append(f"{migration.name}: its row of the history was lost, and is put back")
                continue
            _apply(connection, migration, look)
            applied.append(migration.name)
            report(f"applied {migration.name}")
        if urls is not None:
            _set_passwords(connection, urls)
        if permissions is not None:
            _sync_permissions(connection, permissions)
        try:
            repaired = _repair(connection, [m for m in migrations if m.name in repairs]) if is_repairing else []
        except MigrationFailed:
            _check(connection, None, look)  # it names what stands in the way, with the cure
            raise
        repaired = found_again + repaired
        for line in repaired:
            report(line)
        _check(connection, None, look)
        return Pushed(applied, repaired)


def status(admin: DatabaseUrl, migrations: Sequence[Migration], look: Look | None = None) -> State:
    """Look, and change nothing."""
    with _connected(admin) as connection:
        known = _history(connection)
        return State(
            [m.name for m in migrations if m.key in known],
            [m.name for m in migrations if m.key not in known],
            [m.name for m in migrations if m.key in known and known[m.key][0] != m.sha256],
            _defects(connection, look) if known else [],
        )


def adopt(admin: DatabaseUrl, migration: Migration) -> None:
    """Note a file as applied without running it: what it makes is there already."""
    with _connected(admin) as connection:
        _lock(connection)
        _write_down(connection, migration)


def read_only(admin: DatabaseUrl) -> psycopg.Connection[Any]:
    """A connection that changes nothing. Raises DatabaseNotReady."""
    connection = _connected(admin)
    connection.execute("set default_transaction_read_only = on")
    return connection


def _connected(admin: DatabaseUrl) -> psycopg.Connection[Any]:
    import psycopg

    try:
        return psycopg.connect(admin.reveal(), autocommit=True, connect_timeout=10, cursor_factory=psycopg.RawCursor)
    except psycopg.OperationalError as error:
        why = " ".join(str(error).split())
        raise DatabaseNotReady(
            why=why, cure="Look at DATABASE_ADMIN_URL, and whether the server runs: tenantry db status"
        ) from None


def _lock(connection: Connection) -> None:
    import psycopg

    connection.execute("set lock_timeout = '60s'")
    try:
        connection.execute("select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('tenantry.migrate', 0))")
    except psycopg.errors.LockNotAvailable:
        raise DatabaseNotReady(
            why="another push has been under way for a minute", cure="Wait for it, then try again."
        ) from None


def _has_history(connection: Connection) -> bool:
    return connection.execute("select pg_catalog.to_regclass('tenantry.migrations') is not null").fetchone()[0]


def _history(connection: Connection) -> dict[tuple[str, str], tuple[bytes, Any]]:
    if not _has_history(connection):
        return {}
    rows = connection.execute("select kind, name, sha256, applied_at from tenantry.migrations").fetchall()
    return {(kind, name): (bytes(sha256), applied_at) for kind, name, sha256, applied_at in rows}


def _check_unchanged(migration: Migration, known: dict[tuple[str, str], tuple[bytes, Any]]) -> None:
    found = known.get(migration.key)
    if found is not None and found[0] != migration.sha256:
        raise MigrationChanged(file=migration.name, applied_on=found[1])


THERE_ALREADY = frozenset({"42P06", "42P07", "42701", "42710", "42723", "23505"})
"""What a file's statements say where all it makes is there: duplicates, of schema, table, column, object, function, row."""
GONE_ALREADY = frozenset({"42P01", "42703", "42704", "42883", "42P13", "42P16"})
"""And where what it takes away, renames or replaces is another already: no such thing, a function or view of other columns."""
_HISTORY_MADE = re.compile(r"^create table tenantry\.migrations\b", re.MULTILINE)
_REPLACES = re.compile(r"create\s+(?:or\s+replace\s+)?function\s+([\w.]+)\s*\(", re.IGNORECASE)


def later_than(migration: Migration, migrations: Sequence[Migration]) -> list[Migration]:
    """The built-in files after this one; none for an application's."""
    if migration.kind != "built-in":
        return []
    return [one for one in migrations if one.kind == "built-in" and one.name > migration.name]


def is_row_lost(migration: Migration, later: Sequence[Migration], known: Mapping[tuple[str, str], object]) -> bool:
    """Whether a history that is there may have lost this built-in file: later ones stand in it, or none of ours does."""
    if migration.kind != "built-in":
        return False
    return any(one.key in known for one in later) or not any(kind == "built-in" for kind, _ in known)


def _was_applied(connection: Connection, migration: Migration, later: Sequence[Migration]) -> bool:
    """Try it, and take it back: it was applied if what it makes is there, or if it would put an older text over a newer one."""
    import psycopg

    if _HISTORY_MADE.search(migration.text):
        return True  # the history is there, so this file was applied; and the migrating login may not do what it does
    before = dict(connection.execute(_SOURCES).fetchall())
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local lock_timeout = '3s'")
            connection.execute(migration.text)
            after = dict(connection.execute(_SOURCES).fetchall())
    except psycopg.Error as error:
        return error.sqlstate in THERE_ALREADY | GONE_ALREADY
    known = {_bare(name) for name in before}
    changed = {_bare(name) for name in before.keys() | after.keys() if after.get(name) != before.get(name)}
    newer = {_bare(name) for one in later for name in _REPLACES.findall(one.text)}
    return bool(changed & known & newer)


def _bare(function: str) -> str:
    """Its name without arguments: an older one may have others."""
    return function.split("(", maxsplit=1)[0].removeprefix("public.")


def _apply(connection: Connection, migration: Migration, look: Look | None) -> None:
    import psycopg

    for left in reversed(range(LOCK_TRIES)):
        try:
            if migration.kind == "application" and NO_TRANSACTION.search(migration.text):
                connection.execute("set role tenantry_owner")
                connection.execute(migration.text)
                connection.execute("reset role")
                _write_down(connection, migration)
                return
            with connection.transaction():
                connection.execute("set local lock_timeout = '3s'")
                if migration.kind == "application":
                    connection.execute("set local role tenantry_owner")
                    connection.execute("set local search_path = public")
                before = fingerprints.marks(connection) if migration.kind == "built-in" else None
                connection.execute(migration.text)
                connection.execute("reset role")
                if migration.kind == "application":
                    _check(connection, migration, look)
                else:
                    fingerprints.note(connection, before)
                _write_down(connection, migration)
        except psycopg.errors.LockNotAvailable:
            if left == 0:
                raise MigrationFailed(
                    file=migration.name, line=1, why="a table is in use, and its lock was not to be had", statement="",
                    cure="Look for long transactions: select pid, state, query from pg_stat_activity; then push again.",
                ) from None  # fmt: skip
            time.sleep(0.5)
        except psycopg.Error as error:
            raise _failed(migration, error) from None
        else:
            return


def _write_down(connection: Connection, migration: Migration) -> None:
    connection.execute("set local role tenantry_owner") if connection.info.transaction_status else connection.execute(
        "set role tenantry_owner"
    )
    connection.execute(
        "insert into tenantry.migrations (name, kind, sha256) values ($1, $2, $3)",
        (migration.name, migration.kind, migration.sha256),
    )
    connection.execute("reset role")


def _failed(migration: Migration, error: psycopg.Error) -> MigrationFailed:
    said = error.diag
    position = int(said.statement_position or 0)
    text = migration.text
    line = text.count("\n", 0, max(0, position - 1)) + 1
    lines = text.splitlines()
    statement = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    cure = said.message_hint or "Correct the file, and push again."
    if "\\" in text and said.sqlstate == "42601" and statement.startswith("\\"):
        cure = "psql's own commands (\\…) are not SQL; leave them out."
    if said.sqlstate in THERE_ALREADY - {"23505"} and not said.message_hint:
        cure = "Correct the file, and push again."
        if migration.kind == "application":
            cure += f" If it was applied before, and the history lost its row: tenantry db adopt {migration.name}"
    return MigrationFailed(
        file=migration.name, line=line, why=said.message_primary or str(error), statement=statement, cure=cure
    )


def _defects(connection: Connection, look: Look | None) -> list[Defect]:
    if connection.execute("select pg_catalog.to_regprocedure('tenantry.defects()')").fetchone()[0] is None:
        return []
    connection.execute("set role tenantry_owner")  # the migrating login itself reads nothing
    if look is None:
        text = "select check_id, object, detail, cure from tenantry.defects() order by 1, 2"
        found = connection.execute(text).fetchall()
    else:
        found = look(connection)
    connection.execute("reset role")
    return found


def _check(connection: Connection, migration: Migration | None, look: Look | None) -> None:
    """Isolation holds, or it is said what is open. Inside a file's transaction this undoes the file."""
    found = _defects(connection, look)
    for check, table, _, _ in found:
        if check == "unprotected" and migration is not None:
            raise TableNotProtected(
                file=migration.name, line=_line_of(migration.text, table), table=table.removeprefix("public.")
            )
    if found:
        indented = [(table, detail, cure.replace("\n", "\n    ")) for _, table, detail, cure in found]
        lines = "\n".join(f"  {table}: {detail}\n    {cure}" for table, detail, cure in indented)
        raise IsolationBroken(lines=lines, defects=found)


def _line_of(text: str, table: str) -> int:
    name = re.escape(table.removeprefix("public.").strip('"'))
    found = re.search(
        rf'create\s+(?:\w+\s+)*?table\s+(?:if\s+not\s+exists\s+)?(?:public\.)?"?{name}\b', text, re.IGNORECASE
    )
    return text.count("\n", 0, found.start()) + 1 if found else 1


_SOURCES = """
select p.oid::regprocedure::text, p.prosrc || coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), '')
  from pg_catalog.pg_proc p
 where p.pronamespace in (pg_catalog.to_regnamespace('tenantry'), 'public'::regnamespace) and p.prokind = 'f'
"""


_SETTLES = "0041_events_elsewhere.sql"


def _repair(connection: Connection, again: Sequence[Migration]) -> list[str]:
    import psycopg

    with connection.transaction():
        connection.execute("set local lock_timeout = '3s'")
        connection.execute("set local client_min_messages = warning")
        put_back = fingerprints.put_back(connection)
    sources = _SOURCES
    before = dict(connection.execute(sources).fetchall())
    with connection.transaction():
        connection.execute("set local lock_timeout = '3s'")
        connection.execute("set local client_min_messages = warning")
        places = fingerprints.marks(connection)
        for migration in again:
            try:
                connection.execute(migration.text)
            except psycopg.errors.InsufficientPrivilege as error:
                raise _failed(migration, error) from None
        if places is not None:
            fingerprints.note(connection, places)
        connection.execute("set local role tenantry_owner")
        lines = [line for (line,) in connection.execute("select * from tenantry.repair()").fetchall()]
        if any(migration.name == _SETTLES for migration in again):
            lines += [done for (done,) in connection.execute("select tenantry.settle_events()").fetchall() if done]
    after = dict(connection.execute(sources).fetchall())
    changed = [f"{name}: put back" for name, source in sorted(after.items()) if before.get(name) != source]
    return put_back + changed + lines


def _set_passwords(connection: Connection, urls: Urls) -> None:
    """The passwords of the URLs, for logins that have others or none; left alone where that is not ours to do."""
    import psycopg

    for url in (urls.platform, urls.auth, urls.ops, urls.admin):
        if not url.password or not url.user.startswith(("platform", "tenantry_")):
            continue
        try:
            row = connection.execute(
                "select rolpassword from pg_catalog.pg_authid where rolname = $1", (url.user,)
            ).fetchone()
            if row is not None and not fits(url.password, row[0]):
                set_password(connection, url.user, url.password)
        except psycopg.errors.InsufficientPrivilege:
            return


def _sync_permissions(connection: Connection, permissions: Mapping[str, tuple[str, str]]) -> None:
    with connection.transaction():
        connection.execute("set local role tenantry_owner")
        for name, (least, says) in permissions.items():
            connection.execute(
                "insert into tenantry.permissions (name, least, says) values ($1, $2, $3)"
                " on conflict (name) do update set least = excluded.least, says = excluded.says"
                " where (permissions.least, permissions.says) is distinct from (excluded.least, excluded.says)",
                (name, least, says),
            )
        connection.execute("delete from tenantry.permissions where name <> all($1)", (list(permissions),))
