"""Secrets are planted wherever a request can carry one, and every output is searched for them.

Headers, cookies, bodies, bind values, URLs, the texts of exceptions, the settings; the log, what the process prints, health,
metrics, what clients are told, and PostgreSQL's own log.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import Database, People, free_port

OPS_TOKEN = "planted-ops-token-5d1f"
APP = """
import logging

from tenantry import Ctx, NotFound, Record, Statement, Tenantry

app = Tenantry()
try_ = app.router("try")


class Row(Record):
    name: str


@try_.query
def bind(ctx: Ctx, text: str) -> Statement[Row]:
    return ctx.db.one(Row, "select name from users where name = $1", text)


@try_.query
def slow(ctx: Ctx, text: str) -> Statement[int]:
    return ctx.db.run("select pg_sleep(1.2), $1::text", text)


@try_.mutation
def cast(ctx: Ctx, text: str) -> Statement[int]:
    return ctx.db.run("update users set name = name where $1::text::int = 1", text)


@try_.mutation
async def clash(ctx: Ctx, text: str) -> int:
    return await ctx.db.run("update users set role = $1::text", text)


@try_.mutation
def refused(ctx: Ctx, text: str) -> Statement[int]:
    return ctx.db.run("update users set no_such_column = $1", text)


@try_.mutation
async def raises(ctx: Ctx, text: str) -> int:
    try:
        raise ValueError("planted-exception " + text)
    except ValueError as error:
        raise RuntimeError(f"planted-cause {text} {ctx.header('authorization')}") from error


@try_.mutation
async def logs(ctx: Ctx, text: str) -> int:
    logging.getLogger("notes").exception("it failed", exc_info=KeyError("planted-logged " + text))
    return 1
"""


@contextmanager
def serving(command: list[str], folder: Path, environment: dict[str, str], port: int) -> Iterator[Path]:
    """The application under a server of its own; gives the file that all it prints goes to."""
    printed = folder / "printed"
    with printed.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    if call(port, "GET", "/trpc/health.liveness")[0] == 200:
                        break
                except OSError:
                    pass
                assert time.monotonic() < until, printed.read_text()
                assert process.poll() is None, printed.read_text()
                time.sleep(0.1)
            yield printed
        finally:
            os.kill(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def call(port: int, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body or None, headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def plant(port: int, token: str, *, logs: bool) -> tuple[list[str], str]:
    """Send everything; gives what was planted beside the texts of exceptions, and all that clients were told."""
    told: list[str] = []
    planted = [
        "planted-header",
        "planted-cookie",
        "planted-agent",
        "planted-query",
        "planted-path",
        "planted-body",
        "planted-forged",
    ]
    headers = {
        "authorization": f"Bearer {token}", "x-custom": "planted-header", "cookie": "other=planted-cookie", "user-agent": "planted-agent",
        "referer": "https://x/?planted-query", "traceparent": "planted-header", "content-type": "application/json",
    }  # fmt: skip
    for name in ("bind", "slow"):
        told.append(
            call(port, "GET", f"/trpc/try.{name}?input={quote(json.dumps({'text': 'planted-query'}))}", **headers)[1]
        )
    # Under a stock server what the application logs itself is not ours to write.
    for name in ("cast", "clash", "refused", "raises", *(("logs",) if logs else ())):
        text = "planted-cast" if name == "cast" else "planted-body"
        told.append(call(port, "POST", f"/trpc/try.{name}", json.dumps({"text": text}), **headers)[1])
    call(port, "GET", "/trpc/planted-path?x=planted-query", **headers)
    call(port, "GET", "/planted-path", **headers)
    call(port, "POST", "/trpc/try.bind", "planted-body {", **headers)
    told.append(
        call(
            port, "POST", "/trpc/try.cast", json.dumps({"text": "planted-body"}), authorization="Bearer planted-forged"
        )[1]
    )
    return planted, "\n".join(told)


SERVERS = {
    "native": lambda port: ["tenantry.cli.main", "serve", "secretive:app", "--port", str(port)],
    "uvicorn": lambda port: ["uvicorn", "secretive:app", "--port", str(port), "--no-access-log"],
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_comes_out_anywhere(
    database: Database, people: People, tmp_path: Path, server: str, form: str
) -> None:
    (tmp_path / "secretive.py").write_text(APP)
    port, ops_port = free_port(), free_port()
    settings = database.settings()
    urls = settings.urls()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("TENANTRY_", "DATABASE_", "PG"))},
        "DATABASE_URL": urls.platform.reveal(), "DATABASE_AUTH_URL": urls.auth.reveal(), "TENANTRY_LOG": form,
        "TENANTRY_HOME": str(tmp_path / "home"), "TENANTRY_OPS_TOKEN": OPS_TOKEN, "TENANTRY_OPS_PORT": str(ops_port),
        "TENANTRY_ENV": "production", "TENANTRY_LOG_LEVEL": "debug", "PYTHONPATH": str(tmp_path),
    }  # fmt: skip
    token = people.acme.owner.token
    with serving(SERVERS[server](port), tmp_path, environment, port) as printed:
        planted, told = plant(port, token, logs=server == "native")
        bearer = {"authorization": f"Bearer {OPS_TOKEN}"}
        operations = "".join(
            call(port, "GET", f"/trpc/health.{name}", **bearer)[1] for name in ("check", "readiness", "metrics")
        )
        # Under a stock server too the ops listener is there, since its port is set.
        status, metrics = call(ops_port, "GET", "/metrics", **bearer)
        assert (status, 'procedure="try.raises"' in metrics) == (200, True)
        assert call(ops_port, "GET", "/metrics")[0] == 401
        operations += metrics
        time.sleep(0.5)
    log = printed.read_text()
    server_log = database.value("select pg_read_file(pg_current_logfile())")
    passwords = {url.password for url in (urls.platform, urls.auth) if url.password}
    never = [
        *planted,
        "planted-cast",
        token,
        OPS_TOKEN,
        "planted-exception",
        "planted-cause",
        "planted-logged",
        *passwords,
    ]
    for secret in never:
        assert secret not in log, f"{secret!r} in the log"
        assert secret not in operations, f"{secret!r} in health or metrics"
        # PostgreSQL quotes a text that cannot be cast in its own ERROR line (docs/guides/monitoring.md says so); nothing else.
        assert secret == "planted-cast" or secret not in server_log, f"{secret!r} in PostgreSQL's log"
    for secret in (
        token,
        OPS_TOKEN,
        "planted-exception",
        "planted-cause",
        "planted-header",
        "planted-body",
        "planted-cast",
        *passwords,
    ):
        assert secret not in told, f"{secret!r} told to a client"
    assert "try.raises" in log, "the log is not silent by saying nothing"
    assert "RuntimeError" in log
    assert "slow statement: try.slow" in log
