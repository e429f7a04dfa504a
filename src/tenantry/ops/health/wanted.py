"""The migrations that this code was written for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantry.db.migrate import Migration
    from tenantry.settings import Settings


def wanted_migrations(settings: Settings) -> list[Migration]:
    """What should be applied: read once, so that health compares without a disk in the way."""
    from tenantry.db.migrate import Migration, application_migrations
    from tenantry.tenancy import builtin_migrations

    own = [Migration(name, text, "built-in") for name, text in builtin_migrations()]
    return [*own, *application_migrations(settings.migrations)]
