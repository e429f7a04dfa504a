"""No false cause on a healthy system under load: `make soak`, a hundred runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from tests.conftest import Database
from tests.processes.place import get_request, placed, post_request, under_load

RUNS = int(os.environ.get("SOAK_RUNS", "100"))


@pytest.mark.soak
@pytest.mark.parametrize("runs", [RUNS])
def test_a_healthy_system_under_load_has_no_cause(database: Database, runs: int):
    with placed(database) as place:
        database.add_tenant("acme")
        token = database.add_member("acme", "owner@acme.example", "owner").token
        write = post_request("test.add", b'{"body":"soak"}', token)
        place.serve("--workers", "2")

        async def work() -> list[str]:
            wrong: list[str] = []
            async with (
                under_load(place.port, get_request("test.read", token), clients=16) as reads,
                under_load(place.port, write, clients=4) as writes,
            ):
                for _ in range(runs):
                    process = await asyncio.create_subprocess_exec(
                        sys.executable, "-m", "tenantry.cli.main", "doctor", "--json",
                        cwd=place.folder, env=place.environment, stdout=asyncio.subprocess.PIPE,
                    )  # fmt: skip
                    output, _ = await process.communicate()
                    wrong += [f"{f['cause']}: {f['says']}" for f in json.loads(output)["findings"]]
            sys.stderr.write(f"{runs} runs of the doctor, {reads.count + writes.count} requests, {len(wrong)} causes\n")
            assert set(reads.answers) == set(writes.answers) == {200}
            return wrong

        assert asyncio.run(work()) == []
