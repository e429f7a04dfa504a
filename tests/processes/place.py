"""A served application in a home of its own: the commands as typed, clients that count every failure, and its processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import Database, free_port

APP = """
import asyncio, os, time
from uuid import UUID
from tenantry import Ctx, Record, Statement, Tenantry, Visitor
app = Tenantry()
test = app.router("test")
KEPT: list[bytes] = []

class Note(Record):
    id: UUID
    body: str

@test.query
def read(ctx: Ctx) -> Statement[int]:
    return ctx.db.one(int, "select count(*)::int from notes")

@test.query
async def wait(ctx: Ctx, seconds: float) -> int:
    return await ctx.db.one(int, "select 1 from pg_sleep($1)", seconds)

@test.mutation
def add(ctx: Ctx, body: str) -> Statement[Note]:
    return ctx.db.one(Note, "insert into notes (body) values ($1) returning id, body", body)

@test.mutation
async def add_and_count(ctx: Ctx, body: str) -> int:
    await ctx.db.run("insert into notes (body) values ($1)", body)
    return await ctx.db.one(int, "select count(*)::int from notes")

@test.query(public=True)
async def ping(ctx: Visitor) -> str:
    return "pong"

@test.query(public=True)
async def pid(ctx: Visitor) -> int:
    return os.getpid()

@test.query(public=True)
async def slow(ctx: Visitor, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"

@test.query(public=True)
async def hang(ctx: Visitor, seconds: float) -> str:
    time.sleep(seconds)
    return "done"

@test.query(public=True)
async def grow(ctx: Visitor, megabytes: int) -> int:
    KEPT.append(os.urandom(1 << 20) * megabytes)
    return len(KEPT)

@test.query(public=True)
async def die(ctx: Visitor) -> str:
    os._exit(3)
"""
NOTES = """
create table notes (id uuid primary key default gen_random_uuid(), body text not null, created_at timestamptz not null default now());
select tenantry.protect('notes');
"""


class Place:
    """A folder with the application, a TENANTRY_HOME, a port."""

    def __init__(self, database: Database, **environment: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tenantry-service-"))
        (self.folder / "migrations").mkdir()
        (self.folder / "served.py").write_text(APP)
        self.port = free_port()
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("TENANTRY_", "DATABASE_", "PG", "PORT", "HOST"))
        }
        urls = database.urls
        self.environment = {
            **kept, "TENANTRY_HOME": str(self.folder / "home"), "PORT": str(self.port), "TENANTRY_ENV": "production", "TENANTRY_POOL_SIZE": "4",
            "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(), "DATABASE_OPS_URL": urls.ops.reveal(),
            "DATABASE_DIRECT_URL": urls.direct.reveal(), "TENANTRY_APP": "served:app", **environment,
        }  # fmt: skip
        self.log = self.folder / "log"
        self.served: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------ commands

    def command(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tenantry.cli.main", *arguments], cwd=self.folder, env={**self.environment, **more},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def serve(self, *arguments: str, is_waiting: bool = True, **more: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.served = subprocess.Popen(
                [sys.executable, "-m", "tenantry.cli.main", "serve", *arguments], cwd=self.folder, env={**self.environment, **more},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if is_waiting:
            self.until(lambda: self.status().get("state") == "ready")
        return self.served

    def status(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "home" / "run" / "supervisor.json").read_text())
        except (OSError, ValueError):
            return {}

    @property
    def workers(self) -> list[int]:
        return [w["pid"] for w in self.status().get("workers", []) if w["state"] == "ready"]

    def until(self, is_so: Callable[[], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < until, self.log.read_text()
            if self.served is not None and self.served.poll() not in (None, 0):
                raise AssertionError(self.log.read_text())
            time.sleep(0.02)

    def close(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            self.command("stop")
        if self.served is not None and self.served.poll() is None:
            self.served.kill()
            self.served.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ calls

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/trpc"

    def get(self, path: str, input: Any = None, timeout: float = 10) -> Any:
        from urllib.parse import quote

        url = f"{self.url}/{path}" + ("" if input is None else "?input=" + quote(json.dumps(input)))
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)


@contextlib.contextmanager
def placed(database: Database, **environment: str) -> Iterator[Place]:
    """A home whose processes and files are gone afterwards."""
    place = Place(database, **environment)
    try:
        yield place
    finally:
        place.close()


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@dataclass
class Load:
    """What clients in a loop have seen: answers by status, failures in words, the longest wait."""

    answers: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    worst_seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.answers.values()) + len(self.failures)


async def one_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bool, bytes]:
    """Status, whether the connection stays, body. Raises EOFError (IncompleteReadError) where the answer is cut off."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(None, 2)[1])
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    return status, b"connection: close" not in head.lower(), body


def get_request(path: str, token: str | None = None, *, keep_alive: bool = True) -> bytes:
    lines = [f"GET /trpc/{path} HTTP/1.1", "host: test"]
    lines += [f"authorization: Bearer {token}"] if token else []
    lines += [] if keep_alive else ["connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post_request(path: str, body: bytes, token: str) -> bytes:
    head = f"POST /trpc/{path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def client(
    port: int, request: bytes, load: Load, ended: asyncio.Event, *, keep_alive: bool, pause: float, deadline: float = 30
) -> None:
    """One client in a loop. Every request that is not answered whole is a failure: nothing is tried a second time."""
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while not ended.is_set():
        started = time.monotonic()
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(deadline):
                reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
                streams = None
                status, stays, _ = await one_request(reader, writer, request)
            load.answers[status] = load.answers.get(status, 0) + 1
            if keep_alive and stays:
                streams = reader, writer
            else:
                writer.close()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            load.failures.append(f"{type(error).__name__}: {error}")
            if writer is not None:
                writer.close()
        load.worst_seconds = max(load.worst_seconds, time.monotonic() - started)
        await asyncio.sleep(pause)
    if streams is not None:
        streams[1].close()


@contextlib.asynccontextmanager
async def under_load(port: int, request: bytes, *, clients: int = 20, pause: float = 0.02, with_new: bool = True):
    """Clients in a loop, half of them with a new connection for each request."""
    load, ended = Load(), asyncio.Event()
    once = request.replace(b"\r\nhost:", b"\r\nconnection: close\r\nhost:", 1)
    running = [
        asyncio.create_task(
            client(port, request if keep else once, load, ended, keep_alive=keep, pause=pause)
        )
        for keep in (number % 2 == 0 or not with_new for number in range(clients))
    ]  # fmt: skip
    try:
        yield load
    finally:
        ended.set()
        await asyncio.gather(*running)
