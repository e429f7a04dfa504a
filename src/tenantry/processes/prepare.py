"""What must be so before anybody serves: the database is there, migrated, and binds whoever asks.

A process of its own, gone when it is done: the supervisor, which lives for months, never loads the driver, the
application or its libraries, and a reload looks at the new code before one worker of the old is ended. Its words go to
standard error as they are; its exit code is the start's.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, Any

from tenantry.errors import BuilderError, DatabaseNotReady, MigrationMissing, SettingsFaulty, StartError
from tenantry.processes.application import load
from tenantry.processes.channel import from_argument
from tenantry.processes.inside import is_mended_by_saving
from tenantry.processes.orders import Orders, settings_for
from tenantry.processes.outside import soften
from tenantry.processes.place import migrations, ready

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.settings import DatabaseUrl, Settings


def main(arguments: list[str]) -> int:
    """Argument: the descriptor of the channel. One message in, the orders; one out, the URLs."""
    soften()
    end = from_argument(arguments[0])
    orders = Orders.read(_line(end))
    try:
        urls = prepare(orders)
    except (StartError, BuilderError) as error:
        sys.stderr.write(f"{error}\n")
        failed = {"is": "failed", "why": str(error), "mend": is_mended_by_saving(error)}
        end.sendall(json.dumps(failed).encode() + b"\n")
        return 2 if isinstance(error, SettingsFaulty) else 1
    end.sendall(json.dumps({"is": "prepared", "urls": urls}).encode() + b"\n")
    return 0


def prepare(orders: Orders) -> dict[str, str]:
    """Start the embedded server where it is used, migrate or compare, take the last look; gives every role's URL."""
    from tenantry.tenancy import guard

    given = settings_for(orders)
    app = load(orders.app, given)
    app.procedures()
    settings, admin = ready(given)
    if orders.pushes or settings.env != "development":
        _migrate(settings, admin, app)
    else:
        _tell_waiting(settings, admin)
    guard.check(settings)
    urls = settings.urls()
    return {role: getattr(urls, role).reveal() for role in urls.__struct_fields__}


def _migrate(settings: Settings, admin: DatabaseUrl, app: Tenantry[Any]) -> None:
    from tenantry.db.migrate import push, status, tables_made
    from tenantry.tenancy import REPAIRS, holes

    files = migrations(settings)
    if settings.env == "development":
        urls = settings.urls()
        push(admin, files, urls=urls, repairs=REPAIRS, permissions=app.permissions, report=_tell, look=holes)
        return
    if settings.is_given("DATABASE_ADMIN_URL"):
        found = status(admin, files, holes)
        ours = [file for file in files if file.kind == "application" and file.name in found.waiting]
        made = next(((tables[0], file.name) for file in ours if (tables := tables_made(file.text))), None)
        if made is not None:
            raise MigrationMissing(table=made[0], file=f"{settings.migrations.name}/{made[1]}")
        if found.waiting or found.changed:
            why = f"{len(found.waiting)} migrations are not applied, {len(found.changed)} were edited afterwards"
            raise DatabaseNotReady(why=why, cure="Run: tenantry db status, then tenantry db push")


def _tell_waiting(settings: Settings, admin: DatabaseUrl) -> None:
    """What `tenantry db push` would apply. A request that needs it fails with MIGRATION_MISSING, and says so too."""
    from tenantry.db.migrate import status

    for name in status(admin, migrations(settings)).waiting:
        _tell(f"{name} is not applied yet. When it is written: tenantry db push   (or serve with --push)")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def _line(end: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = end.recv(65536)
        if not piece:
            sys.exit(1)  # the supervisor is gone
        line += piece
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
