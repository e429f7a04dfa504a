"""What is where: the embedded server of a home, the migrations of an application, and the file that outlives a start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tenantry.files import write_whole
from tenantry.settings import DatabaseUrl, Settings

if TYPE_CHECKING:
    from tenantry.db.embedded import Embedded
    from tenantry.db.migrate import Migration


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
    write_whole(path, json.dumps({**kept(settings), **values}, indent=1).encode())


def url_of(settings: Settings) -> str:
    """Where the API of this TENANTRY_HOME listens, or listened last."""
    port = settings.port if settings.is_given("PORT") else kept(settings).get("port", settings.port)
    return address(settings.host, port)


def address(host: str, port: int) -> str:
    """`http://host:port`, with brackets where they are needed."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
