"""/_dev in Chromium, over a served application: desk and phone, light and dark, and nothing that the browser complains of."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.processes.fixtures import database, with_notes  # noqa: F401 - fixtures
from tests.processes.place import placed

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "examples/saas/web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(
    CHROMIUM is None or not (PACKAGES / "node_modules/playwright-core").exists(),
    reason="Chromium or its driver is not here: make test",
)
def test_a_builder_s_day_in_the_browser(database: Database) -> None:  # noqa: F811 - the fixture
    with placed(database, TENANTRY_ENV="development", DATABASE_ADMIN_URL=database.superuser.reveal()) as place:
        place.serve("--demo", "--reload")
        place.until(lambda: "Serving served:app" in place.log.read_text())
        environment = {
            **os.environ, "BASE_URL": f"http://127.0.0.1:{place.port}", "CHROMIUM": CHROMIUM or "", "PACKAGES": str(PACKAGES),
            "FILE": str(place.folder / "served.py"), "SHOTS": os.environ.get("DEV_SHOTS", ""),
        }  # fmt: skip
        driven = subprocess.run(
            ["node", ROOT / "tests/dev/desk.mjs"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert driven.returncode == 0, driven.stdout + driven.stderr + place.log.read_text()[-3000:]
        assert "the builder's page: ok" in driven.stdout
