"""`tenantry serve`: database, migrations, the last look, and then the API until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tenantry.cli.place import embedded, keep, kept, load, migrations, ready, tell
from tenantry.errors import DatabaseNotReady, PortInUse
from tenantry.settings import DatabaseUrl, Settings

if TYPE_CHECKING:
    from tenantry.app import Tenantry

GRACE_SECONDS = 10.0


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    settings = _given(Settings.load(), arguments)
    begin_log(settings)
    for warning in settings.warnings:
        tell(f"warning: {warning}")
    app = load(arguments.app, settings)
    app.procedures()
    listener = _listen(settings)
    settings, admin = ready(settings)
    _migrate(settings, admin, app)
    from tenantry.tenancy import guard

    guard.check(settings)
    port = listener.getsockname()[1]
    keep(settings, port=port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    children = _fork(settings.workers)
    if children is not None and arguments.demo and settings.env == "development":
        from tenantry.cli import demo

        demo.screen(settings if embedded(Settings.load()) is None else Settings.load(), url, demo.fill(settings, admin))
    if children is not None:
        tell(f"Serving {arguments.app or settings.app} on {url}{settings.base_path}   (Ctrl-C ends it)")
    import uvloop

    try:
        uvloop.run(_serve(app, settings, listener))
    finally:
        for child in children or ():
            _end(child)
    return 0


def begin_log(settings: Settings) -> None:
    """The process's whole log is ours from here on."""
    from tenantry.logs import Log

    Log.begin(
        settings.log,
        settings.log_level,
        owns_process=True,
        shows_text=settings.env == "development",
        secrets=settings.secrets(),
    )


def _given(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """What the command line says goes before environment and file."""
    sources = dict(settings.sources)
    over: dict[str, Any] = {}
    for name in ("host", "port", "workers"):
        value = getattr(arguments, name)
        if value is not None:
            over[name] = value
            sources[name.upper()] = "command line"
    return replace(settings, **over, sources=sources)


def _listen(settings: Settings) -> socket.socket:
    """The socket: the port that was asked for, else the last one, 3001, or any that is free."""
    from tenantry.http import bind

    if settings.is_given("PORT"):
        return bind(settings.host, settings.port)
    for port in (kept(settings).get("port", settings.port), settings.port, 0):
        try:
            return bind(settings.host, port)
        except PortInUse:
            continue
    return bind(settings.host, settings.port)


def _migrate(settings: Settings, admin: DatabaseUrl, app: Tenantry[Any]) -> None:
    from tenantry.db.migrate import push, status
    from tenantry.tenancy import REPAIRS, holes

    files = migrations(settings)
    if settings.env == "development":
        urls = settings.urls()
        push(admin, files, urls=urls, repairs=REPAIRS, permissions=app.permissions, report=tell, look=holes)
        return
    if settings.is_given("DATABASE_ADMIN_URL"):
        found = status(admin, files, holes)
        if found.waiting or found.changed:
            why = f"{len(found.waiting)} migrations are not applied, {len(found.changed)} were edited afterwards"
            raise DatabaseNotReady(why=why, cure="Run: tenantry db status, then tenantry db push")


def _fork(workers: int) -> list[int] | None:
    """The further workers, which share the socket; None in one of them."""
    children: list[int] = []
    for _ in range(workers - 1):
        child = os.fork()
        if child == 0:
            return None
        children.append(child)
    return children


def _end(child: int) -> None:
    try:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        return


async def _serve(app: Tenantry[Any], settings: Settings, listener: socket.socket) -> None:
    from tenantry.http import HttpLimits, NativeServer

    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    started = time.monotonic()
    await app.open(settings)
    limits = HttpLimits(max_body_bytes=settings.max_body_bytes, max_header_bytes=settings.max_header_bytes)
    server = NativeServer(app.handler, limits)
    await server.start([listener])
    logging.getLogger("tenantry").info("ready after %.0f ms", (time.monotonic() - started) * 1000)
    await stopped.wait()
    await server.drain(GRACE_SECONDS)
    await app.close()
