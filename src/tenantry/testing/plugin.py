"""The pytest plugin: `tenants`, `clock` and `outbox`, over the application that pytest's `tenantry_app` names (or TENANTRY_APP).

It loads nothing until a fixture is asked for, so that a project without it pays nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.testing.clock import Clock
    from tenantry.testing.database import Server
    from tenantry.testing.outbox import Outbox
    from tenantry.testing.people import Tenants
    from tenantry.testing.stage import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one setting."""
    parser.addini("tenantry_app", "The application under test, as module:variable (default: TENANTRY_APP).")


def pytest_configure(config: pytest.Config) -> None:
    """The one mark."""
    config.addinivalue_line(
        "markers", "own_database: a new database and application for this test, and new ones after it"
    )


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
def tenantry_server(tenantry_app: Tenantry[Any]) -> Server:
    """The server, with a template of all migrations. It stays up: the next run begins at once."""
    from tenantry.testing.database import Server

    return Server(tenantry_app.settings_type.load(), tenantry_app.permissions)


@pytest.fixture(scope="session")
def tenantry_stage(tenantry_app: Tenantry[Any], tenantry_server: Server) -> Iterator[Stage]:
    """One database and the application open over it, for all tests of this process."""
    from tenantry.testing.stage import Stage

    stage = Stage(tenantry_app, tenantry_server)
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def tenants(request: pytest.FixtureRequest, tenantry_stage: Stage) -> Iterator[Tenants]:
    """Tenants in a database that holds nothing of other tests."""
    from tenantry.testing.people import Tenants

    is_own = request.node.get_closest_marker("own_database") is not None  # pyright: ignore[reportUnknownMemberType] - pytest's
    if is_own:
        tenantry_stage.renew()
    yield Tenants(tenantry_stage)
    if is_own:
        tenantry_stage.renew()
    else:
        tenantry_stage.clean()


@pytest.fixture
def clock(tenants: Tenants) -> Clock:
    """Time that a test moves: `clock.move(timedelta(days=3))`."""
    from tenantry.testing.clock import Clock

    return Clock(tenants.admin)


@pytest.fixture
def outbox(tenants: Tenants) -> Outbox:
    """The mails that were sent in this test."""
    from tenantry.testing.outbox import Outbox

    return Outbox(tenants.stage.mails)
