"""`tenantry doctor` as typed, beside a served API and an embedded server of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.db.embedded import Embedded
from tests.conftest import Database, free_port
from tests.processes.place import Place, placed


@pytest.fixture
def served(database: Database) -> Iterator[Place]:
    with placed(database) as place:
        place.serve()
        yield place


def doctor(place: Place, *arguments: str) -> tuple[int, dict[str, Any]]:
    seen = place.command("doctor", "--json", *arguments)
    assert seen.stdout.startswith("{"), seen.stderr
    return seen.returncode, json.loads(seen.stdout)


def test_beside_a_well_api_all_is_well_and_a_killed_one_is_found(served: Place):
    code, told = doctor(served)
    assert (code, told["findings"]) == (0, []), told["findings"]
    assert [p for p in told["probes"] if p["state"] in ("failed", "late")] == []
    assert told["seconds"] < 10  # 5 s by the specification, on a machine of its own

    (served.folder / ".env").write_text("TENANTRY_WORKERS=many\n")
    code, told = doctor(served, "health-check-failures")
    assert (code, told["findings"][0]["cause"]) == (1, "settings-faulty")
    (served.folder / ".env").unlink()

    assert served.command("stop").returncode == 0
    code, told = doctor(served, "health-check-failures")
    first = told["findings"][0]
    assert (code, first["cause"], first["confidence"], first["remedy"]["class"]) == (1, "api-gone", "certain", "S")
    assert set(first["remedy"]) >= {"id", "class", "command", "needs"}
    assert first["evidence"][0]["command"]


@pytest.fixture
def own() -> Iterator[tuple[Embedded, dict[str, str], Path]]:
    home = Path(tempfile.mkdtemp(prefix="tenantry-doctor-"))
    home.chmod(0o755)
    server = Embedded(home / "home", free_port())
    server.ensure()  # its files and passwords
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TENANTRY_", "DATABASE_", "PG", "PORT", "HOST"))}
    environment = {**kept, "TENANTRY_HOME": str(home / "home"), "PORT": str(free_port())}
    place = server.status().data.parent
    pushed = [sys.executable, "-m", "tenantry.cli.main", "db", "push"]
    subprocess.run(pushed, cwd=home, env=environment, capture_output=True, timeout=120, check=True)
    try:
        yield server, environment, home
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def test_a_stopped_server_is_started_by_fix(own: tuple[Embedded, dict[str, str], Path]):
    server, environment, folder = own
    server.stop()

    def typed(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = [
            sys.executable,
            "-m",
            "tenantry.cli.main",
            "doctor",
            "database-connection-issues",
            "--json",
            *arguments,
        ]
        seen = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert seen.stdout.startswith("{"), seen.stderr
        return seen.returncode, json.loads(seen.stdout)

    code, told = typed()
    assert (code, told["findings"][0]["cause"], told["findings"][0]["remedy"]["command"]) == (
        1,
        "server-not-running",
        "tenantry db start",
    )
    _, told = typed("--fix")
    assert told["done"][0]["outcome"] == "done", told["done"]
    assert told["findings"][0]["verification"]["ok"] is True
    assert server.status().is_running
