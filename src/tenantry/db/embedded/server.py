"""One embedded PostgreSQL: made, started, found, stopped. The order of things is here, the how beside it.

`ensure` may be called by many commands at once (a lock makes them wait for each other) and after any crash. It never
deletes data; it removes only what an interrupted `initdb` left, and marks of processes that are proved dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from tenantry.db.embedded import account as accounts
from tenantry.db.embedded import binaries as programs
from tenantry.db.embedded import cluster, folders, inside, postmaster, running
from tenantry.db.embedded.account import Account
from tenantry.db.embedded.folders import Chosen, Folders
from tenantry.errors import DatabaseNotReady
from tenantry.settings import DatabaseUrl, Urls, compose

Over = Literal["socket", "tcp"]


class Status(Struct, frozen=True):
    """What is known of an embedded server, without starting it."""

    is_running: bool
    pid: int | None
    port: int | None
    major: int | None
    """The version that made the data; None where there are none yet."""
    data: Path
    log: Path
    socket_folder: Path | None
    note: str
    """Where the files lie if not under TENANTRY_HOME, and why; else ''."""


class Embedded:
    """The embedded server of one TENANTRY_HOME; two homes are two servers.

    `port` is the loopback port that is wanted; without one it is that of the first start: 5432 where that was free.
    `slow_ms` is from when on statements are logged. `programs_in` names a folder with `postgres` and `initdb`, instead
    of looking for one.
    """

    def __init__(
        self, home: Path, port: int | None = None, *, slow_ms: int = 1000, programs_in: Path | None = None
    ) -> None:
        self.home: Path = home.resolve()
        self.wanted_port: int | None = port
        self.slow_ms: int = slow_ms
        self._programs_in: Path | None = programs_in

    def ensure(self) -> Urls:
        """Make the server answer, and give the URLs of its roles over its Unix socket (`urls()` gives them over TCP).

        Raises DatabaseNotReady with what the server said and what to do.
        """
        with self._alone():
            chosen, where, account = self.located()
            for role in ("postgres", *inside.LOGINS):
                chosen.passwords.setdefault(role, secrets.token_urlsafe(24))
            if cluster.major_of(where) is None:
                cluster.make(self._programs(where, account), where, account, chosen.passwords["postgres"])
            if not running.is_running(where):
                self._start(chosen, where, account)
            self._remember(chosen, where)
            if not inside.prepare(_superuser(chosen, "socket"), chosen.passwords):
                # The password file was lost or is an old one: the data are ours all the same.
                running.stop(where)
                cluster.reset_password(self._programs(where, account), where, account, chosen.passwords["postgres"])
                self._start(chosen, where, account)
                if not inside.prepare(_superuser(chosen, "socket"), chosen.passwords):
                    raise DatabaseNotReady(
                        why="the embedded server refuses its own password", cure=f"Look at {where.data / 'pg_hba.conf'}"
                    )
            return _urls(chosen, "socket")

    def stop(self) -> bool:
        """Stop the server, after its transactions were rolled back; False if it was not running."""
        with self._alone():
            _, where, _ = self.located(is_looking=True)
            return running.stop(where)

    def status(self) -> Status:
        """Say what is there, and start nothing."""
        chosen, where, _ = self.located(is_looking=True)
        major = cluster.major_of(where)
        found = postmaster.read(where.data) if major is not None and running.is_running(where, wait_seconds=0) else None
        note = f"The server's account cannot enter {self.home}: its data and log are in {where.place}."
        return Status(
            is_running=found is not None,
            pid=found.pid if found else None,
            port=found.port if found else chosen.port,
            major=major,
            data=where.data,
            log=where.log,
            socket_folder=Path(chosen.socket_folder) if chosen.socket_folder else None,
            note="" if where.place == self.home else note,
        )

    def urls(self, over: Over = "tcp") -> Urls:
        """Give the URLs of the last start: over TCP for programs of others, over the Unix socket for our own."""
        return _urls(folders.read_chosen(self.home), over)

    def superuser_url(self, over: Over = "tcp") -> DatabaseUrl:
        """Give the URL of the superuser `postgres`, for the first migration and for people."""
        return _superuser(folders.read_chosen(self.home), over)

    def environment(self) -> dict[str, str]:
        """Give what `psql` and its like need to reach this server without a prompt."""
        chosen = folders.read_chosen(self.home)
        return {"PGHOST": "127.0.0.1", "PGPORT": str(chosen.port), "PGPASSFILE": str(self.home / "pgpass")}

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """One command at a time; the kernel lets go of the lock however the command ends."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            lock = (self.home / "postgres.lock").open("w")
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise DatabaseNotReady(
                why=f"{self.home} cannot be written",
                cure="Set TENANTRY_HOME to a folder of your own, or give DATABASE_URL.",
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def located(self, *, is_looking: bool = False) -> tuple[Chosen, Folders, Account]:
        """Where the server's files lie, or are to lie, and as whom it runs."""
        chosen = folders.read_chosen(self.home)
        where = Folders(self.home, Path(chosen.place) if chosen.place else self.home)
        candidates = accounts.candidates(where.data, self.home)
        if is_looking or where.data.exists():
            return chosen, where, candidates[0]
        for candidate in candidates:
            place = folders.choose_place(self.home, candidate)
            if place is not None:
                chosen.place = None if place == self.home else str(place)
                return chosen, Folders(self.home, place), candidate
        raise DatabaseNotReady(
            why=f"no folder was found that {', '.join(c.name for c in candidates)} can enter, and PostgreSQL must run so",
            cure="Set TENANTRY_HOME to a folder that other users may enter, or give DATABASE_URL.",
        )

    def _programs(self, where: Folders, account: Account) -> programs.Binaries:
        return programs.find(account, folders.SHELF, major=cluster.major_of(where), folder=self._programs_in)

    def _start(self, chosen: Chosen, where: Folders, account: Account) -> None:
        binaries = self._programs(where, account)
        running.start(chosen, where, account, binaries, wanted_port=self.wanted_port, slow_ms=self.slow_ms)

    def _remember(self, chosen: Chosen, where: Folders) -> None:
        """Write the files for people and psql, where they are missing or differ from the running server."""
        found = postmaster.read(where.data)
        if found is not None:
            chosen.port, chosen.socket_folder = found.port, found.socket_folder or chosen.socket_folder
        if not where.pgpass.exists() or folders.read_chosen(self.home) != chosen:
            folders.write_chosen(where, chosen)


def _superuser(chosen: Chosen, over: Over) -> DatabaseUrl:
    return _urls(chosen, over).platform.with_user("postgres", chosen.passwords["postgres"])


def _urls(chosen: Chosen, over: Over) -> Urls:
    if chosen.port is None or not chosen.passwords.keys() >= set(inside.LOGINS):
        raise DatabaseNotReady(why="the embedded server was never started", cure="Run: tenantry db start")
    place, query = f"127.0.0.1:{chosen.port}", ""
    if over == "socket" and chosen.socket_folder:
        place, query = "", f"host={quote(chosen.socket_folder)}&port={chosen.port}"

    def url(role: str) -> DatabaseUrl:
        return compose(role, chosen.passwords[role], place, inside.DATABASE, query)

    return Urls(url("platform"), url("tenantry_auth"), url("tenantry_ops"), url("tenantry_migrate"), url("platform"))
