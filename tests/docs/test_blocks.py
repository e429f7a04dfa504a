"""The Python and SQL of README, guides and explanations run, page by page, against PostgreSQL: blocks of a page share what they define.

What a page needs beforehand, and what proves it afterwards, stands in it as an invisible block: `<!--- invisible-code-block: python … -->`.
SQL is pushed as a migration. Beside Python's own names a block has `database`, `people`, `push`, `opened`, `Client`, `served`, `stream`,
`subscribed`, `run`.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sybil import Example
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from tenantry import Tenantry
from tenantry.db.migrate import Migration, push
from tenantry.http import NativeServer, bind
from tests.conftest import Cluster, Database, People
from tests.docs.test_links import PAGES, ROOT
from tests.harness import Client as HarnessClient
from tests.harness import opened
from tests.testing.test_testing import PLUGIN

TESTED_ELSEWHERE = {
    "docs/tutorial/README.md": "tests/docs/test_tutorial.py writes each of its files and runs each of its commands",
    "docs/guides/testing.md": "its blocks are an application's tests: below, by pytest",
}
BLOCKS = re.compile(r"^```(python|sql)\n", re.MULTILINE)
WITH_BLOCKS = [
    page
    for page in PAGES
    if BLOCKS.search(page.read_text("utf-8")) and str(page.relative_to(ROOT)) not in TESTED_ELSEWHERE
]


@asynccontextmanager
async def served(app: Tenantry[Any], database: Database) -> AsyncIterator[tuple[Tenantry[Any], str]]:
    """The application on a socket of its own, and its URL."""
    async with opened(app, database) as there:
        listener = bind("127.0.0.1", 0)
        server = NativeServer(there.handler)
        await server.start([listener])
        yield there, f"http://127.0.0.1:{listener.getsockname()[1]}/trpc"
        await server.drain(1)


async def subscribed(app: Tenantry[Any]) -> None:
    """Until somebody hears what is published."""
    state = app._state  # pyright: ignore[reportPrivateUsage] - nobody else can say
    assert state is not None
    async with asyncio.timeout(20):
        while not state.hub.channels:
            await asyncio.sleep(0.01)


async def stream(url: str, token: str) -> AsyncIterator[str]:
    """The data of each message of a subscription."""
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", url, headers=headers) as answer:
        event = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: ") and not event:
                yield line[6:]
            elif not line:
                event = ""


@pytest.fixture
def page_database(cluster: Cluster) -> Iterator[Database]:
    """Of one page, whose blocks have migrations of their own."""
    with cluster.database() as made:
        yield made


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, page_database: Database) -> None:
    database = page_database
    tenants: dict[str, Any] = {}
    for slug in ("acme", "globex"):
        database.add_tenant(slug)
        tenants[slug] = type("Tenant", (), {r: database.add_member(slug, f"{r}@{slug}.example", r) for r in ("owner", "admin", "member")})  # fmt: skip
    migrations: list[Migration] = []

    def push_text(text: str) -> None:
        migrations.append(Migration(f"{len(migrations) + 1:04d}.sql", text))
        push(database.superuser, migrations)

    def push_block(example: Example) -> None:
        push_text(str(example.parsed))

    parsers = [PythonCodeBlockParser(), CodeBlockParser("sql", push_block)]
    document = Document.parse(str(page), *parsers)
    document.namespace.update(
        __name__="page", database=database, people=People(**tenants), push=push_text, opened=opened, served=served, stream=stream, subscribed=subscribed,
        Client=HarnessClient, run=asyncio.run,
    )  # fmt: skip
    examples = list(document.examples())
    visible = len(BLOCKS.findall(page.read_text("utf-8")))
    assert len(examples) > visible, "nothing proves what its blocks say"
    for example in examples:
        example.evaluate()


def test_the_tests_of_the_guide_on_testing_are_tests_of_desk(cluster: Cluster, tmp_path: Path) -> None:
    page = (ROOT / "docs/guides/testing.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block{number}.py").write_text(block)
    urls = cluster.urls
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ} | {
        "TRACKER_TOKEN": "t", "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(),
        "DATABASE_OPS_URL": urls.ops.reveal(), "DATABASE_ADMIN_URL": cluster.superuser.reveal(),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGIN, "-p", "no:cacheprovider", "-c", "pyproject.toml", str(tmp_path)],
        cwd=ROOT / "examples" / "desk", env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"{page.count('async def test_')} passed" in done.stdout
