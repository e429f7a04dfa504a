"""Where a command works: the settings, the database that they name or the embedded one, and the application."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tenantry.errors import StartError
from tenantry.settings import DatabaseUrl, Settings

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.db.embedded import Embedded
    from tenantry.db.migrate import Migration


class AppNotFound(StartError):
    """The application that a command was given cannot be loaded."""

    code = "APP_NOT_FOUND"
    says = "{app} cannot be loaded: {why}."
    remedy = (
        "Name it as module:variable, from the folder of the module: tenantry serve notes:app   (or set TENANTRY_APP)"
    )


def embedded(settings: Settings) -> Embedded | None:
    """Our own server, if no DATABASE_URL is given."""
    if settings.database_url is not None:
        return None
    from tenantry.db.embedded import Embedded

    return Embedded(settings.home, settings.postgres_port, slow_ms=settings.slow_statement_ms)


def ready(settings: Settings) -> tuple[Settings, DatabaseUrl]:
    """The settings with every URL filled in, and the URL that may migrate. Starts the embedded server where it is used."""
    own = embedded(settings)
    if own is None:
        return settings, settings.urls().admin
    urls = own.ensure()
    return settings.with_urls(urls), own.superuser_url("socket")


def load(name: str | None, settings: Settings) -> Tenantry[Any]:
    """The application `module:variable`. Raises AppNotFound; mistakes of its own code pass as they are."""
    wanted = name or settings.app
    if wanted is None:
        raise AppNotFound(app="No application", why="none was named")
    module, _, variable = wanted.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), variable or "app", None)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise
        raise AppNotFound(app=wanted, why=f"there is no module {error.name}") from None
    from tenantry.app import Tenantry

    if not isinstance(found, Tenantry):
        raise AppNotFound(app=wanted, why=f"{variable or 'app'} is no Tenantry application")
    return cast("Tenantry[Any]", found)


def migrations(settings: Settings) -> list[Migration]:
    """Tenantry's own, then the application's."""
    from tenantry.db.migrate import Migration, application_migrations
    from tenantry.tenancy import builtin_migrations

    own = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
    return [*own, *application_migrations(settings.migrations)]


def kept(settings: Settings) -> dict[str, Any]:
    """What earlier commands left in TENANTRY_HOME/serve.json: the port, and the demo's tokens."""
    try:
        return json.loads((settings.home / "serve.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def keep(settings: Settings, **values: Any) -> None:
    """Write them down, readable by this account only."""
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / "serve.json"
    whole = json.dumps({**kept(settings), **values}, indent=1)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(whole)


def url_of(settings: Settings) -> str:
    """Where the API of this TENANTRY_HOME listens, or listened last."""
    port = settings.port if settings.is_given("PORT") else kept(settings).get("port", settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"


def say(text: str = "") -> None:
    """A line for people, to standard output."""
    sys.stdout.write(text + "\n")


def tell(text: str) -> None:
    """A line of progress, to standard error."""
    sys.stderr.write(text + "\n")


def show(values: Any) -> None:
    """JSON for machines."""
    say(json.dumps(values, indent=2, default=str))
