"""Cases beside the conformance kit's (tests/clients/more), in its form: the same files run against Tenantry and against the reference server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.clients.differential.test_differential import reference
from tests.clients.test_trpc_kit import KIT, native
from tests.clients.trpc_fixture import app
from tests.conftest import Database
from tests.harness import opened

FILES = sorted(str(path) for path in (Path(__file__).parent / "more").glob("*.test.mjs"))
CASES = 206
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not here"),
    pytest.mark.skipif(not (KIT / "node_modules").exists(), reason="the kit's packages are not installed"),
]


async def run_cases(url: str) -> tuple[int, list[str], str]:
    """How many cases passed, the names of those that did not, and all that was said."""
    process = await asyncio.create_subprocess_exec(
        "node", "--test", "--test-concurrency=2", "--test-reporter=tap", *FILES, env={**os.environ, "BASE_URL": url}, cwd=KIT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    text = out.decode()
    passed = re.search(r"^# pass (\d+)$", text, re.M)
    return int(passed.group(1)) if passed else 0, re.findall(r"^not ok \d+ - (.*)$", text, re.M), text


async def test_tenantry_answers_as_the_cases_say(database: Database) -> None:
    async with opened(app, database, cors_origins="http://app.example"), native() as url:
        passed, failed, text = await run_cases(url)
        if failed:  # a machine under load may miss a case's own clock
            passed, failed, text = await run_cases(url)
    assert (passed, failed) == (CASES, []), text[-4000:]


@pytest.mark.soak
async def test_the_reference_server_answers_as_the_cases_say() -> None:
    async with reference() as port:
        passed, failed, text = await run_cases(f"http://127.0.0.1:{port}/trpc")
    assert (passed, failed) == (CASES, []), text[-4000:]
