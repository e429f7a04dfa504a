"""No false cause on a healthy system under load: `make soak`, a hundred runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from tests.conftest import Database
from tests.processes.place import get_request, placed, under_load

RUNS = int(os.environ.get("SOAK_RUNS", "100"))


@pytest.mark.soak
@pytest.mark.parametrize("runs", [RUNS])
def test_a_healthy_system_under_load_has_no_cause(database: Database, runs: int):
    with placed(database) as place:
        place.serve()

        async def work() -> list[str]:
            wrong: list[str] = []
            async with under_load(place.port, get_request("/trpc/test.ping"), clients=20):
                for _ in range(runs):
                    process = await asyncio.create_subprocess_exec(
                        sys.executable, "-m", "tenantry.cli.main", "doctor", "--json",
                        cwd=place.folder, env=place.environment, stdout=asyncio.subprocess.PIPE,
                    )  # fmt: skip
                    output, _ = await process.communicate()
                    wrong += [f"{f['cause']}: {f['says']}" for f in json.loads(output)["findings"]]
            return wrong

        assert asyncio.run(work()) == []
