"""The pytest plugin: the fixture `tenants`, over the application that pytest's setting `tenantry_app` (or TENANTRY_APP) names.

It loads nothing until the fixture is asked for, so that a project without it pays nothing.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # without it there are no async tests, and nobody asks for the fixture
    async_fixture = pytest.fixture

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.testing.database import Server
    from tenantry.testing.people import Tenants


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one setting."""
    parser.addini("tenantry_app", "The application under test, as module:variable (default: TENANTRY_APP).")


@pytest.fixture(scope="session")
def tenantry_app(request: pytest.FixtureRequest) -> Tenantry[Any]:
    """The application under test; override it to give another."""
    from tenantry.processes import load
    from tenantry.settings import Settings

    root = str(Path(request.config.rootpath))
    if root not in sys.path:
        sys.path.insert(0, root)
    name = str(request.config.getini("tenantry_app") or "") or None
    return load(name, Settings.load())


@pytest.fixture(scope="session")
def tenantry_server(tenantry_app: Tenantry[Any]) -> Iterator[Server]:
    """The server, with a template of all migrations. It stays up: the next run begins at once."""
    from tenantry.testing.database import Server

    yield Server(tenantry_app.settings_type.load(), tenantry_app.permissions)


@async_fixture
async def tenants(
    tenantry_app: Tenantry[Any], tenantry_server: Server, tmp_path: Path
) -> AsyncIterator[Tenants]:  # fmt: skip
    """Tenants in a database of this test's own, and the application open over it."""
    from msgspec.structs import replace

    from tenantry.testing.people import Tenants

    settings = tenantry_app.settings_type.load()
    with tenantry_server.database() as (urls, admin):
        settings = replace(
            settings, database_url=urls.platform, database_auth_url=urls.auth, database_ops_url=urls.ops, database_admin_url=urls.admin,
            database_direct_url=urls.direct, env="development", home=tmp_path / "tenantry", pool_size=2, log_rate=0,
        )  # fmt: skip
        await tenantry_app.open(settings)
        try:
            yield Tenants(tenantry_app, settings, admin)
        finally:
            await tenantry_app.close(1.0)
