"""`tenantry pm2 init`, `systemd init`, `pgbouncer init`: files for those who run us, made from the settings."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs

from tenantry.cli.place import say, show
from tenantry.errors import StartError
from tenantry.processes import AppNotFound, units
from tenantry.settings import DatabaseUrl, Settings


class FileThere(StartError):
    """A file that this command would write is there already."""

    code = "FILE_THERE"
    says = "{file} is there already, and differs."
    remedy = "Look at it; --force writes it anew."


class NoServer(StartError):
    """A pooler needs a server of one's own behind it."""

    code = "NO_SERVER"
    says = "PgBouncer stands before a server of your own, and DATABASE_URL is not set."
    remedy = "Set DATABASE_URL (see docs/guides/own-postgresql.md), then run this again."


def pm2_init(arguments: argparse.Namespace) -> int:
    """Write ecosystem.config.js."""
    served = _served(arguments)
    return _write(arguments, {"ecosystem.config.js": units.ecosystem(served)}, "Then: pm2 start ecosystem.config.js")


def systemd_init(arguments: argparse.Namespace) -> int:
    """Write platform-api.service and platform-api.socket."""
    served = _served(arguments)
    files = {f"{units.NAME}.service": units.service_unit(served), f"{units.NAME}.socket": units.socket_unit(served)}
    then = f"Then, as root: cp {units.NAME}.* /etc/systemd/system/ && systemctl daemon-reload && systemctl enable --now {units.NAME}"
    return _write(arguments, files, then)


def pgbouncer_init(arguments: argparse.Namespace) -> int:
    """Write pgbouncer.ini and userlist.txt."""
    settings = Settings.load()
    if settings.database_url is None:
        raise NoServer
    urls = settings.urls()
    host, port = _place(urls.direct)
    admin = urls.admin if urls.admin.user == "postgres" else None
    users = {url.user: url.password for url in (urls.platform, urls.auth)}
    users["postgres"] = admin.password if admin is not None else secrets.token_urlsafe(18)
    folder = Path(arguments.to).resolve()
    pooled = units.Pooled(
        host, port, urls.direct.database, users, ("postgres",), settings.connections_wanted, _pgbouncer_version(), folder,
        arguments.listen_port,
    )  # fmt: skip
    url = f"{urls.platform.user}:PASSWORD@127.0.0.1:{pooled.listen_port}/{pooled.database}"
    then = f"Then: DATABASE_URL=postgresql://{url}, and DATABASE_DIRECT_URL is the server itself."
    return _write(
        arguments, {"pgbouncer.ini": units.pgbouncer_ini(pooled), "userlist.txt": units.userlist(pooled)}, then
    )


def _served(arguments: argparse.Namespace) -> units.Served:
    settings = Settings.load()
    app = arguments.app or settings.app
    if app is None:
        raise AppNotFound(app="No application", why="none was named")
    beside = Path(sys.executable).with_name("tenantry")
    program = beside if beside.exists() else Path(shutil.which("tenantry") or beside)
    workers = arguments.workers or (
        settings.workers if settings.is_given("TENANTRY_WORKERS") else max(1, os.cpu_count() or 1)
    )
    port = settings.port or 3001
    return units.Served(program, app, workers, Path.cwd(), settings.home, port, getpass.getuser())


def _write(arguments: argparse.Namespace, files: dict[str, str], then: str) -> int:
    """Write them all, or none: what is there and differs stays, unless it may be replaced."""
    folder = Path(arguments.to)
    for name, text in files.items():
        path = folder / name
        if path.exists() and path.read_text("utf-8") != text and not arguments.force:
            raise FileThere(file=path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        # Passwords may stand in them: readable by this account alone where there are some.
        mode = 0o600 if name == "userlist.txt" else 0o644
        with os.fdopen(
            os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8"
        ) as file:
            file.write(text)
    if arguments.json:
        show({"files": [str(folder / name) for name in files], "then": then})
    else:
        for name in files:
            say(str(folder / name))
        say(then)
    return 0


def _place(url: DatabaseUrl) -> tuple[str, int]:
    """Host (or the socket's folder) and port of a URL."""
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", url.place)
    host, port = (found[1], found[2]) if found is not None else (url.place, None)
    return host.strip("[]") or query.get("host", "127.0.0.1"), int(port or query.get("port", "5432"))


def _pgbouncer_version() -> tuple[int, int]:
    """Of the PgBouncer on this machine; (0, 0) where there is none."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return 0, 0
    found = re.search(r"(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else (0, 0)
