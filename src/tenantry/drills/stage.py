"""The installation that a drill breaks: made here in a temporary folder, with its own PostgreSQL, ports, people and pages.

Nothing of the caller's environment reaches it (no DATABASE_URL, no TENANTRY_HOME), and `assert_own` looks once more before each
fault, at the server itself. PM2 and systemd are not there for its doctor: a remedy must not restart somebody's real service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from tenantry.db.embedded import Embedded
from tenantry.drills.machine import faketime, mount, unmount
from tenantry.drills.model import NotOurs, StageFailed, Variant
from tenantry.drills.proxy import Proxy
from tenantry.drills.wire import Provider, Sink, call, fetch
from tenantry.settings import DatabaseUrl

START_SECONDS = 120.0
CALM_SECONDS = 90.0
FORGET_SECONDS = 15.0
RECOVERY_SECONDS = 20.0
RECOVERS = (
    "starting up",
    "recovery mode",
    "not yet accepting",
    "closed the connection unexpectedly",
    "Connection refused",
)
SERVED = 200
_FOREIGN = ("TENANTRY_", "DATABASE_", "AUTH_", "PG", "PM2", "NODE_CHANNEL")


class Stage:
    """One throw-away installation. `tick` is TENANTRY_TICK, by which all of operations' times shrink."""

    def __init__(self, *, tick: int = 1, is_small: bool = False) -> None:
        self.tick = tick
        self.is_small = is_small
        """Whether its data lie on a disk of their own, of `SMALL`."""
        self.folder = Path(tempfile.mkdtemp(prefix="tenantry-drill-"))
        self.folder.chmod(0o755)  # the server's own account must get in
        self.home = self.folder / "home"
        self.log = self.folder / "serve.log"
        self.port, self.ops_port, self.postgres_port = free_port(), free_port(), free_port()
        self.server = Embedded(self.home, self.postgres_port)
        self.sink = Sink(time.monotonic)
        self.provider = Provider()
        self.skew_seconds = 0
        """How far the wall clock of commands is from the machine's (libfaketime)."""
        self.proxy: Proxy | None = None
        self.variant: Variant | None = None
        self.served: asyncio.subprocess.Process | None = None
        self.tokens: dict[str, str] = {}
        self.tenants: dict[str, str] = {}
        self.usual: set[str] = set()
        """What the doctor says of this installation when nothing was injected."""
        self.held: list[Any] = []
        """What a fault holds until it is undone: connections, tasks, process ids, numbers."""
        self.secret = secrets.token_urlsafe(32)
        self.undone: list[str] = []
        """Statements that make again what a fault dropped."""
        self.marks: dict[str, int] = {}
        """What a fault notes for its sign."""
        self.named: dict[str, Any] | None = None
        """What the doctor named, until it is repaired."""
        self.injected_at = 0.0
        self.is_mended = False
        """Whether the doctor's remedy has put it right, so that undoing it has less to do."""

    # ------------------------------------------------------------------ up and down

    async def open(self, variant: Variant) -> None:
        """Serve, in that way; what serves in another way is stopped first."""
        if self.variant == variant:
            return
        if self.variant is None:
            await self._make()
        await self.stop()
        self.variant = variant
        await self.serve()
        if not self.tokens:
            await self._people()
        await self.calm()
        self.usual = {finding["cause"] for finding in (await self.doctor())["findings"]}

    async def _make(self) -> None:
        place = files("tenantry.drills.app")
        (self.folder / "migrations").mkdir()
        for name in ("drilled.py", "migrations/0001_notes.sql"):
            (self.folder / name).write_text(place.joinpath(name).read_text("utf-8"), "utf-8")
        self.write_dotenv()
        # Of these two there is none here: what a remedy restarts is this installation, or nothing.
        (self.folder / "bin").mkdir()
        for name in ("pm2", "systemctl"):
            (self.folder / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
            (self.folder / "bin" / name).chmod(0o755)
        await self.sink.start()
        await self.provider.start()
        if self.is_small:
            (self.home / "postgres").mkdir(parents=True, mode=0o755)
            await asyncio.to_thread(mount, self.home / "postgres")
        await asyncio.to_thread(self.server.ensure)
        code, said = await self.command("db", "push", seconds=START_SECONDS)
        if code:
            raise StageFailed(why=f"its migrations failed: {said[-300:]}", log=self.log)
        self.proxy = Proxy(self.postgres_port)
        await self.proxy.start()

    def environment(self) -> dict[str, str]:
        """What every command of this installation runs with."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        sink = f"json://127.0.0.1:{self.sink.port}"
        made = {
            **kept, "PATH": f"{self.folder / 'bin'}:{os.environ.get('PATH', '')}", "TENANTRY_HOME": str(self.home), "HOST": "127.0.0.1",
            "PORT": str(self.port), "TENANTRY_OPS_PORT": str(self.ops_port), "TENANTRY_POSTGRES_PORT": str(self.postgres_port),
            "TENANTRY_APP": "drilled:app", "TENANTRY_ENV": "production", "TENANTRY_TICK": str(self.tick), "TENANTRY_WORKERS": "1",
            "TENANTRY_POOL_SIZE": "6", "TENANTRY_DEADLINE_MS": "3000", "TENANTRY_FAST_LANE": "off",
            "AUTH_URL": f"http://127.0.0.1:{self.port}", "TENANTRY_MEMORY_LIMIT": str(300 << 20), "TENANTRY_LOG": "json",
            "TENANTRY_NOTIFY": f"{sink}/chat", "TENANTRY_NOTIFY_L1": f"{sink}/page {sink}/second", "TENANTRY_NOTIFY_L2": f"{sink}/l2",
            "TENANTRY_NOTIFY_L3": f"{sink}/l3", "TENANTRY_HEARTBEAT_URL": f"http://127.0.0.1:{self.sink.port}/heartbeat",
            "AUTH_OIDC_DRILL_ISSUER": f"http://127.0.0.1:{self.provider.port}", "AUTH_OIDC_DRILL_ID": "drill", "AUTH_OIDC_DRILL_SECRET": "drill-secret",
        }  # fmt: skip
        if self.variant == "proxied" and self.proxy is not None:
            urls = self.server.urls("tcp")
            names = {
                "DATABASE_URL": urls.platform,
                "DATABASE_AUTH_URL": urls.auth,
                "DATABASE_OPS_URL": urls.ops,
                "DATABASE_ADMIN_URL": urls.admin,
            }
            made |= {
                name: url.reveal().replace(f":{self.postgres_port}/", f":{self.proxy.port}/")
                for name, url in names.items()
            }
        return made

    def write_dotenv(self, *more: str) -> None:
        """`.env`: the secret, and what a fault adds to it."""
        path = self.folder / ".env"
        path.write_text("".join(f"{line}\n" for line in (f"AUTH_SECRET={self.secret}", *more)), "utf-8")
        path.chmod(0o600)

    async def serve(self) -> None:
        """Start, and wait until it is ready. Raises StageFailed."""
        with self.log.open("ab") as log:
            self.served = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tenantry.cli.main", "serve", cwd=self.folder, env=self.environment(),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while (await self.ask("health.readiness"))[0] != 200:
            if self.served.returncode is not None or time.monotonic() > until:
                raise StageFailed(why="it does not serve", log=self.log)
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Stop serving."""
        if self.served is None:
            return
        with contextlib.suppress(TimeoutError):
            await self.command("stop", seconds=30.0)
        if self.served.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.served.kill()
            await self.served.wait()
        self.served = None

    async def close(self, *, is_keeping: bool = False) -> None:
        """End every process that was made, and remove the folder."""
        await self.stop()
        for part in (self.proxy, self.sink, self.provider):
            if part is not None:
                await part.stop()
        place = self.server.status().data.parent
        await asyncio.to_thread(self.server.stop)
        if self.is_small:
            await asyncio.to_thread(unmount, self.home / "postgres")
        if not is_keeping:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(place, ignore_errors=True)

    async def _people(self) -> None:
        for slug in ("acme", "globex"):
            token = secrets.token_urlsafe(32)
            ((tenant,),) = await self.sql("select tenantry.create_tenant($1, $2)", slug, slug.title())
            email = f"ann@{slug}.example"
            await self.sql("select tenantry.add_member($1, $2, 'Ann', 'owner')", tenant, email)
            await self.sql(
                "select tenantry.create_session($1, $2, $3, interval '1 day')", token.encode(), email, tenant
            )
            self.tokens[slug], self.tenants[slug] = token, str(tenant)

    # ------------------------------------------------------------------ looking and doing

    async def command(self, *arguments: str, seconds: float = 90.0) -> tuple[int, str]:
        """`tenantry …` in this installation: exit code and standard output."""
        environment = self.environment()
        if self.skew_seconds:
            environment |= {
                "LD_PRELOAD": str(faketime()),
                "FAKETIME": f"{self.skew_seconds:+d}",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tenantry.cli.main", *arguments, cwd=self.folder, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, output.decode("utf-8", "replace")

    async def doctor(self, *arguments: str) -> dict[str, Any]:
        """`tenantry doctor --json`, with its exit code as `code`."""
        code, output = await self.command("doctor", "--json", *arguments)
        try:
            found: dict[str, Any] = json.loads(output)
        except ValueError:
            found = {"findings": [], "probes": [], "done": [], "seconds": None, "said": output[-500:]}
        return {**found, "code": code}

    async def ask(self, procedure: str, *, is_ops: bool = False) -> tuple[int, dict[str, Any]]:
        """A health call: (0, {}) where nobody answers in 2 s."""
        try:
            status, body = await fetch(self.ops_port if is_ops else self.port, f"/trpc/{procedure}", seconds=2.0)
            found: Any = json.loads(body)
        except (OSError, EOFError, TimeoutError, ValueError):
            return 0, {}
        return status, cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    async def call(self, procedure: str, given: Any = None, *, tenant: str = "acme", is_mutation: bool = False) -> int:
        """A call of a tenant: the status, 0 for none."""
        try:
            status, _ = await call(
                self.port, procedure, given, token=self.tokens.get(tenant, ""), is_mutation=is_mutation, seconds=20.0
            )
        except (OSError, EOFError, TimeoutError, ValueError):
            return 0
        return status

    def keep_calling(
        self,
        procedure: str,
        given: Any = None,
        *,
        callers: int,
        pause: float,
        is_mutation: bool = False,
        tenant: str = "acme",
    ) -> None:
        """Callers of a tenant in a loop, until the fault is undone."""

        async def caller() -> None:
            while True:
                await self.call(procedure, given, tenant=tenant, is_mutation=is_mutation)
                await asyncio.sleep(pause)

        self.held += [asyncio.create_task(caller()) for _ in range(callers)]

    async def release(self) -> None:
        """Let go of what a fault held: tasks are cancelled, connections closed, processes continued."""
        tasks = cast("list[asyncio.Task[Any]]", [one for one in self.held if isinstance(one, asyncio.Task)])
        for one in self.held:
            if isinstance(one, asyncio.Task):
                one.cancel()
            elif isinstance(one, int):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGCONT)
            else:
                with contextlib.suppress(Exception):
                    await one.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.held.clear()

    def superuser(self, database: str = "platform") -> DatabaseUrl:
        """Never through the proxy."""
        return self.server.superuser_url("tcp").with_database(database)

    async def sql(self, text: str, *values: Any, database: str = "platform") -> list[tuple[Any, ...]]:
        """A statement as superuser, over a connection of its own."""
        connection = await self.connect(self.superuser(database))
        try:
            cursor = await connection.execute(text, values)
            return [] if cursor.description is None else await cursor.fetchall()
        finally:
            await connection.close()

    async def connect(self, url: DatabaseUrl) -> Any:
        """A connection that commits each statement; a server that starts or recovers is waited for."""
        import psycopg

        until = time.monotonic() + RECOVERY_SECONDS
        while True:
            try:
                return await psycopg.AsyncConnection.connect(
                    url.reveal(), autocommit=True, cursor_factory=psycopg.AsyncRawCursor, connect_timeout=10
                )
            except psycopg.OperationalError as error:
                if time.monotonic() > until or not any(sign in str(error) for sign in RECOVERS):
                    raise
            await asyncio.sleep(0.2)

    def watched(self) -> dict[str, Any]:
        """The watcher's file; {} while there is none."""
        try:
            found: dict[str, Any] = json.loads((self.home / "watch" / "watch.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def processes(self) -> dict[str, Any]:
        """The supervisor's own state."""
        try:
            found: dict[str, Any] = json.loads((self.home / "run" / "supervisor.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    async def assert_own(self) -> None:
        """Raise NotOurs unless the server that would be broken is the one that was made here."""
        data = self.server.status().data
        try:
            ((found,),) = await self.sql("select pg_catalog.current_setting('data_directory')", database="postgres")
        except OSError as error:
            raise NotOurs(why=f"its server does not answer ({type(error).__name__})") from error
        if not self.folder.name.startswith("tenantry-drill-") or Path(found) != data:
            raise NotOurs(why=f"the server's data lie in {found}")

    async def calm(self) -> None:
        """Wait until it is healthy, no alert fires and no incident is open. Raises StageFailed.

        What still fires or is open once all is healthy is of the last fault: it would end by itself within some ticks, or when somebody
        says so, and is forgotten instead, with the watcher that knew of it.
        """
        until = time.monotonic() + CALM_SECONDS
        forgot = 0.0
        while True:
            status, found = await self.ask("health.check")
            watched = self.watched()
            is_open = any(one.get("resolved_at") is None for one in watched.get("incidents", []))
            is_healthy = status == SERVED and found.get("status") == "healthy"
            if is_healthy and watched and not watched.get("firing") and not is_open:
                return
            if is_healthy and (watched.get("firing") or is_open) and time.monotonic() - forgot > FORGET_SECONDS:
                forgot = time.monotonic()
                await self._forget()
            if time.monotonic() > until:
                why = f"health {found.get('status') or 'silent'}, firing {watched.get('firing')}, an incident open: {is_open}"
                raise StageFailed(why=why, log=self.log)
            await asyncio.sleep(0.2)

    async def _forget(self) -> None:
        """End the watcher and what it wrote; the supervisor starts another, which begins with nothing."""
        import psutil

        pid = self.processes().get("watcher")
        with contextlib.suppress(psutil.Error, TypeError):
            process = psutil.Process(pid)
            process.kill()
            await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 5.0)
        shutil.rmtree(self.home / "watch", ignore_errors=True)


def free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it became so in time."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True


def pids_of(stage: Stage) -> Sequence[int]:
    """The drill's postmaster and its children."""
    import psutil

    pid = stage.server.status().pid
    if pid is None:
        return []
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
