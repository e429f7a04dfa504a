"""examples/saas, end to end in Chromium: sign-in at a real provider, a tenant, an invitation, live changes, a switch."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.auth.fixture import ROOT, environment, free_port, list_outbox
from tests.auth.provider import RUN_IDP
from tests.conftest import Database

SAAS = ROOT / "examples" / "saas"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


async def until_it_answers(url: str) -> None:
    until = time.monotonic() + 90
    while True:
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
        except OSError:
            assert time.monotonic() < until, f"{url} does not answer"
            await asyncio.sleep(0.1)
        else:
            return


async def test_the_types_are_of_this_application() -> None:
    checking = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tenantry.cli.main", "typescript", "saas:app", "--out", "web/src", "--check", cwd=SAAS,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await checking.communicate()
    assert checking.returncode == 0, out.decode()


@pytest.mark.skipif(CHROMIUM is None or shutil.which("node") is None, reason="Chromium or node is not here")
async def test_the_whole_way_in_a_browser(database: Database, tmp_path: Path) -> None:
    web_port, api_port, idp_port = free_port(), free_port(), free_port()
    base, idp = f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{idp_port}"
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    urls = database.urls
    env = environment(
        base, idp, tmp_path / "home", outbox, secrets.token_urlsafe(33), PORT=str(api_port), TENANTRY_ENV="development",
        TENANTRY_TENANT_SIGN_UP="anyone", DATABASE_URL=urls.platform.reveal(), DATABASE_AUTH_URL=urls.auth.reveal(),
        DATABASE_OPS_URL=urls.ops.reveal(), DATABASE_ADMIN_URL=database.superuser.reveal(), DATABASE_DIRECT_URL=urls.direct.reveal(),
    )  # fmt: skip
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
    started = [
        await asyncio.create_subprocess_exec(
            *RUN_IDP, env={**os.environ, "IDP_PORT": str(idp_port), "KIT_BASES": base}, cwd=ROOT / "tests" / "auth" / "kit", **quiet
        ),
        await asyncio.create_subprocess_exec(sys.executable, "-m", "tenantry.cli.main", "serve", "saas:app", env=env, cwd=SAAS, **quiet),
        await asyncio.create_subprocess_exec(
            "node", "node_modules/vite/bin/vite.js", "--port", str(web_port), cwd=SAAS / "web",
            env={**os.environ, "API_URL": f"http://127.0.0.1:{api_port}"}, **quiet,
        ),
    ]  # fmt: skip
    mails = list_outbox(outbox)
    try:
        # The last one makes Vite look at all that the page imports, before a browser does: it would reload the page for what it finds late.
        for url in (
            f"{idp}/_control",
            f"http://127.0.0.1:{api_port}/api/auth/providers",
            f"{base}/",
            f"{base}/src/main.tsx",
        ):
            await until_it_answers(url)
        ran = await asyncio.create_subprocess_exec(
            "node", "e2e.mjs", cwd=SAAS / "web", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ, "BASE_URL": base, "IDP_URL": idp, "OUTBOX_URL": f"http://127.0.0.1:{mails.server_address[1]}/",
                "CHROMIUM": CHROMIUM or "", "SHOTS": os.environ.get("SAAS_SHOTS", ""),
            },
        )  # fmt: skip
        started.append(ran)
        out, _ = await asyncio.wait_for(ran.communicate(), 240)
        assert ran.returncode == 0, out.decode()
        assert b"the whole way: ok" in out
    finally:
        mails.shutdown()
        mails.server_close()
        for process in reversed(started):
            if process.returncode is None:
                process.terminate()
            await process.wait()
