"""Stock `@trpc/client` (httpLink, httpBatchLink) against the native server, and against stock ASGI servers and mounts."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from tenantry import Tenantry
from tenantry.http import NativeServer, bind
from tests.conftest import Database, People
from tests.harness import opened

HERE = Path(__file__).parent


@asynccontextmanager
async def native(app: Tenantry) -> AsyncIterator[str]:
    listener = bind("127.0.0.1", 0)
    server = NativeServer(app.handler)
    await server.start([listener])
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/trpc"
    await server.drain(1)


@asynccontextmanager
async def under_uvicorn(app: object, prefix: str = "") -> AsyncIterator[str]:
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))  # pyright: ignore[reportArgumentType]
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}/trpc"
    server.should_exit = True
    await serving


@asynccontextmanager
async def mounted(app: Tenantry) -> AsyncIterator[str]:
    outer = FastAPI()
    outer.mount("/api", app)
    async with under_uvicorn(outer, "/api") as url:
        yield url


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
@pytest.mark.parametrize("served", [native, under_uvicorn, mounted], ids=["native", "uvicorn", "mounted in FastAPI"])
async def test_the_stock_client_cannot_tell(database: Database, people: People, served: object) -> None:
    async with opened(Tenantry(), database) as app, served(app) as url:  # type: ignore[operator]
        environment = {
            **os.environ, "URL": url, "ACME": people.acme.owner.token, "GLOBEX": people.globex.owner.token,
            "OWN": str(people.acme.owner.user_id), "FOREIGN": str(people.globex.owner.user_id),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            "node", "--test", str(HERE / "stock.test.mjs"), env=environment, cwd=HERE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, out.decode()
        assert b"pass 13" in out
