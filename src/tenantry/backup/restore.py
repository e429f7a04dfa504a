"""Restore into a new database, put back what restores lose, and prove it: checks of isolation, and the manifest's counts.

`pg_restore` brings schemas, rows, policies and grants. It loses what belongs to the database itself: who may connect (PUBLIC has TEMP
again), and the settings of roles in it. `0001_roles.sql` makes those, in the empty database, before anything is restored.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tenantry.backup import programs
from tenantry.backup.create import Words, counts, sha256
from tenantry.backup.manifest import BackupFailed, Manifest, Proof
from tenantry.backup.sealed import opened
from tenantry.backup.shelf import Shelf, now
from tenantry.db.migrate import Migration, push
from tenantry.settings import DatabaseUrl, Secret, Urls
from tenantry.tenancy import REPAIRS, harden, holes

OF_ONE_SERVER = ("tenantry.events", "tenantry.watched_topics")
"""Their rows hold transaction ids of the server that wrote them, and begin anew on another one (0041_events_elsewhere.sql)."""
Say = Callable[[str], None]


def checked(shelf: Shelf, manifest: Manifest) -> None:
    """The file is what was written. Raises BackupFailed."""
    if sha256(shelf.dump(manifest.name)) != manifest.sha256:
        raise BackupFailed(
            what=f"Backup {manifest.name}", why="its checksum differs: the file was changed or is damaged",
            cure="Use another one: tenantry backup list",
        )  # fmt: skip


def restore(
    shelf: Shelf, manifest: Manifest, superuser: DatabaseUrl, database: str, *, urls: Urls | None, migrations: list[Migration],
    passphrase: Secret | None = None, say: Say = lambda _: None,
) -> Proof:  # fmt: skip
    """Into a database that is not there yet; dropped again if it cannot be proved. Raises BackupFailed."""
    import psycopg

    checked(shelf, manifest)
    if manifest.is_encrypted and passphrase is None:
        raise BackupFailed(
            what=f"Backup {manifest.name}",
            why="it is encrypted",
            cure="Give its passphrase: TENANTRY_BACKUP_PASSPHRASE",
        )
    started = time.monotonic()
    target = superuser.with_database(database)
    _make(superuser, database)
    try:
        harden(target)
        say(f"made {database}: roles, who may connect, settings of roles")
        _fill(shelf, manifest, target, passphrase)
        say("restored schemas, rows, policies, grants")
        push(target, migrations, urls=urls, repairs=REPAIRS, look=holes)
        say("isolation holds")
        rows = _compared(target, manifest)
        say(f"{rows} rows in {len(manifest.counts)} tables, as when it was made")
    except psycopg.Error as error:
        _drop(superuser, database)
        words = " ".join(str(error).split())
        raise BackupFailed(
            what="The restore", why=words, cure="It needs a superuser, and nothing was changed."
        ) from None
    except BaseException:
        _drop(superuser, database)
        raise
    proof = Proof(now(), manifest.name, manifest.at, database, rows, round(time.monotonic() - started, 1))
    shelf.prove(proof)
    return proof


def verify(
    shelf: Shelf, manifest: Manifest, superuser: DatabaseUrl, *, migrations: list[Migration], passphrase: Secret | None = None,
    say: Say = lambda _: None,
) -> Proof:  # fmt: skip
    """Restore for real into a database that is dropped afterwards. Raises BackupFailed."""
    name = f"tenantry_proof_{secrets.token_hex(4)}"
    try:
        return restore(
            shelf, manifest, superuser, name, urls=None, migrations=migrations, passphrase=passphrase, say=say
        )
    finally:
        _drop(superuser, name)


def _make(superuser: DatabaseUrl, database: str) -> None:
    import psycopg
    from psycopg import sql

    try:
        with psycopg.connect(superuser.with_database("postgres").reveal(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template template0 encoding 'UTF8'").format(sql.Identifier(database))
            )
    except psycopg.errors.DuplicateDatabase:
        raise BackupFailed(
            what="The restore", why=f'there is a database "{database}" already', cure="Name a new one: --into NAME"
        ) from None
    except psycopg.Error as error:
        words = " ".join(str(error).split())
        raise BackupFailed(what="The restore", why=words, cure="It needs a superuser: --superuser-url") from None


def _drop(superuser: DatabaseUrl, database: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(superuser.with_database("postgres").reveal(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))


def _fill(shelf: Shelf, manifest: Manifest, target: DatabaseUrl, passphrase: Secret | None) -> None:
    tool = programs.folder(manifest.major) / "pg_restore"
    _, listed = _fed([tool, "--list"], target, _plain(shelf, manifest, passphrase))
    with tempfile.NamedTemporaryFile("w", suffix=".list") as wanted:
        # Of PostgreSQL's own functions: set in the empty database already, and another version may have other ones.
        wanted.write("".join(line for line in listed.splitlines(keepends=True) if " ACL pg_catalog " not in line))
        wanted.flush()
        command = [tool, "--exit-on-error", "--no-password", f"--use-list={wanted.name}", f"--dbname={target.database}"]
        _fed(command, target, _plain(shelf, manifest, passphrase))


def _fed(command: list[str | Path], target: DatabaseUrl, data: Iterator[bytes]) -> tuple[str, str]:
    """What a program that reads a dump says, on standard error and output. Raises BackupFailed if it fails."""
    with programs.start(command, target, is_reading=True) as process:
        said, printed = Words(process.stderr), Words(process.stdout)
        assert process.stdin is not None
        try:
            for chunk in data:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, having read enough, or says why
        except BaseException:
            process.kill()
            raise
        code = process.wait(programs.SECONDS)
        why, output = said.text(), printed.whole()
    if code != 0:
        raise BackupFailed(what="pg_restore", why=why, cure="Look at the words above; the new database is dropped.")
    return why, output


def _plain(shelf: Shelf, manifest: Manifest, passphrase: Secret | None) -> Iterator[bytes]:
    with shelf.dump(manifest.name).open("rb") as file:
        if manifest.is_encrypted and passphrase is not None:
            yield from opened(file, passphrase)
            return
        while data := file.read(1 << 20):
            yield data


def _compared(target: DatabaseUrl, manifest: Manifest) -> int:
    import psycopg

    with psycopg.connect(target.reveal(), autocommit=True) as connection:
        found = counts(connection)
    # What a migration of this version added since is not in the manifest; its own history grows with it.
    differing = [
        f"{table}: {found.get(table)} rows, {wanted} when it was made"
        for table, wanted in manifest.counts.items()
        if found.get(table) != wanted
        and not table.startswith(OF_ONE_SERVER)
        and not (table == "tenantry.migrations" and found.get(table, 0) > wanted)
    ]
    if differing:
        raise BackupFailed(
            what="The proof", why="; ".join(differing[:5]), cure="Use another backup: tenantry backup list"
        )
    return sum(found[table] for table in manifest.counts)
