"""Resources that do not open stop the start: the factory, the place, the settings that it may have read; never a secret."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

import tenantry
from tenantry import Secret, Tenantry
from tenantry.errors import ResourcesFailed
from tests.conftest import Database


class Settings(tenantry.Settings):
    tracker_url: str = "http://tracker"
    tracker_token: Secret = Secret("a-token-of-the-tracker")


@asynccontextmanager
async def resources(settings: Settings) -> AsyncGenerator[int]:
    raise ConnectionError(f"no route for {settings.tracker_token.reveal()}")
    yield 1


@pytest.mark.parametrize("env", ["development", "production"])
async def test_a_factory_that_raises_is_named_with_its_place_and_settings(database: Database, env: str) -> None:
    given = database.settings(env=env)
    settings = Settings(**{name: getattr(given, name) for name in given.__struct_fields__})
    with pytest.raises(ResourcesFailed) as failed:
        await Tenantry(resources=resources).open(settings)
    said = str(failed.value)
    assert re.search(r"resources: it raised ConnectionError at dispatch/test_resources\.py:\d+", said)
    assert "the settings that it reads: TRACKER_URL, TRACKER_TOKEN." in said
    assert ("no route for •••" in said) == (env == "development")
    assert "a-token-of-the-tracker" not in said
