"""The ops listener: it answers while the worker's loop is blocked or gone, and the runbook's commands work against it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from tenantry import Tenantry
from tenantry.ops import OpsListener
from tenantry.settings import Secret
from tests.conftest import Database
from tests.harness import opened
from tests.ops.test_health import stopped


def get(port: int, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read(), {k.lower(): v for k, v in reply.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}


async def fetch(port: int, path: str, **headers: str) -> tuple[int, Any]:
    status, body, _ = await asyncio.to_thread(get, port, path, **headers)
    return status, json.loads(body)


@pytest.fixture
async def served(database: Database) -> AsyncIterator[tuple[Tenantry[Any], OpsListener]]:
    """A worker in this loop, and a listener as a supervisor has one."""
    async with opened(Tenantry(), database) as app:
        listener = OpsListener(database.settings())
        listener.start()
        yield app, listener
        await asyncio.to_thread(listener.stop)


Served = tuple[Tenantry[Any], OpsListener]


async def test_the_four_calls_and_the_metrics_answer_beside_the_api(served: Served) -> None:
    port = served[1].port
    for call, field in (("check", "checks"), ("liveness", "alive"), ("readiness", "ready"), ("metrics", "metrics")):
        status, found = await fetch(port, f"/trpc/health.{call}")
        assert status in (200, 503), found
        assert found[field] == found["result"]["data"][field]
    status, batch = await fetch(port, "/trpc/health.liveness,health.readiness,health.nothing?batch=1&input=%7B%7D")
    assert (status, [list(answer) for answer in batch]) == (207, [["result"], ["result"], ["error"]])
    assert (await asyncio.to_thread(get, port, "/elsewhere"))[0] == 404


async def test_a_blocked_loop_is_seen_in_six_seconds_and_liveness_stays_quick(served: Served) -> None:
    port = served[1].port
    assert (await fetch(port, "/trpc/health.liveness"))[0] == 200

    def watch() -> tuple[list[float], float, list[int]]:
        """How long answers took, when `alive` was first false, and what the others then say."""
        began, took = time.monotonic(), list[float]()
        while time.monotonic() - began < 12:
            asked = time.monotonic()
            status, body, _ = get(port, "/trpc/health.liveness")
            took.append(time.monotonic() - asked)
            if not json.loads(body)["alive"]:
                assert status == 503
                dead = time.monotonic() - began
                return took, dead, [get(port, f"/trpc/health.{name}")[0] for name in ("check", "readiness")]
            time.sleep(0.1)
        raise AssertionError("never seen")

    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(watch)
        until = time.monotonic() + 14
        while not watching.done() and time.monotonic() < until:
            time.sleep(0.1)  # the loop of this test is the worker's: it does not turn
        took, dead, others = watching.result()
    assert 4.5 < dead < 8
    assert others == [503, 503]
    assert sorted(took)[len(took) // 2] < 0.25, "50 ms on a quiet machine"


async def test_with_every_worker_gone_it_still_answers(served: Served) -> None:
    app, listener = served
    await app.close()
    status, found = await fetch(listener.port, "/trpc/health.liveness")
    assert (status, found["alive"]) == (503, False)
    assert (await fetch(listener.port, "/trpc/health.readiness"))[0] == 503
    async with asyncio.timeout(30):  # a busy machine may be slow for a moment
        while (await fetch(listener.port, "/trpc/health.check"))[1]["checks"]["database"]["status"] == "down":
            await asyncio.sleep(0.5)


async def test_a_listener_that_drains_is_not_ready(served: Served) -> None:
    served[1].drain()
    await asyncio.sleep(0.1)
    status, found = await fetch(served[1].port, "/trpc/health.readiness")
    assert (status, found["ready"], found["draining"]) == (503, False, True)


async def test_a_thousand_calls_at_once_against_a_silent_database_are_answered_by_one_check(
    served: Served, database: Database
) -> None:
    listener = served[1]
    connection = listener._health._connection  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    await fetch(listener.port, "/trpc/health.check")
    before = connection.opened

    async def call(name: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(f"GET /trpc/health.{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer

    with stopped(database):
        await asyncio.sleep(1.1)
        began = time.monotonic()
        answers = await asyncio.gather(*(call(name) for name in ("check", "readiness") * 500))
        took = time.monotonic() - began
    assert len(answers) == 1000
    assert {answer.split(b" ", 2)[1] for answer in answers} == {b"503"}
    assert connection.opened - before <= 2
    assert took < 10, "1.5 s on a quiet machine; this one also makes the thousand calls"


# ---------------------------------------------------------------- metrics


async def test_both_formats_parse_and_say_the_same(served: Served) -> None:
    port = served[1].port
    _, plain, headers = await asyncio.to_thread(get, port, "/metrics")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    _, modern, headers = await asyncio.to_thread(get, port, "/metrics", Accept=accept)
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert modern.endswith(b"# EOF\n")
    old = {f.name: f for f in plain_text(plain.decode())}
    new = {f.name: f for f in open_metrics(modern.decode())}
    assert {name.removesuffix("_total") for name in old} == set(new)
    assert new["process_cpu_seconds"].unit == "seconds"
    names = {sample.name for family in old.values() for sample in family.samples}
    assert {
        "api_requests_total", "api_request_duration_seconds_bucket", "api_request_errors_total", "db_query_duration_ms_bucket",
        "db_connections_active", "rls_violations_total", "error_total",
    } <= names  # fmt: skip
    bounds = {s.labels["le"] for s in old["api_request_duration_seconds"].samples if s.name.endswith("_bucket")}
    assert {"1", "0.2", "+Inf"} <= bounds


async def test_promtool_complains_only_of_the_names_in_milliseconds(served: Served) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here (Debian package prometheus)")
    plain = b""
    async with asyncio.timeout(30):
        while b"\ndb_response_time_ms " not in plain:  # the first probe
            _, plain, _ = await asyncio.to_thread(get, served[1].port, "/metrics")
    checked = subprocess.run([promtool, "check", "metrics"], input=plain, capture_output=True, timeout=60, check=False)
    said = {line.split()[0] for line in (checked.stdout + checked.stderr).decode().splitlines()}
    assert said == {"db_query_duration_ms", "db_response_time_ms", "rls_context_set_duration_ms"}


async def test_the_token_opens_metrics_and_details_and_the_status_needs_none(database: Database) -> None:
    settings = database.settings(ops_token=Secret("ops-token"))
    async with opened(Tenantry(), database):
        listener = OpsListener(settings)
        listener.start()
        try:
            port, bearer = listener.port, "Bearer ops-token"
            status, found = await fetch(port, "/trpc/health.check")
            assert (status, found["checks"]["database"]["details"]) == (200, {})
            _, found = await fetch(port, "/trpc/health.check", Authorization=bearer)
            assert found["checks"]["database"]["details"] == {"rlsConfigured": True, "missing": []}
            for path in ("/metrics", "/trpc/health.metrics"):
                assert (await asyncio.to_thread(get, port, path))[0] == 401
                assert (await asyncio.to_thread(get, port, path, Authorization=bearer))[0] == 200
        finally:
            await asyncio.to_thread(listener.stop)


# ---------------------------------------------------------------- the runbook's commands, as written but for the host

RUNBOOK = [
    ("curl https://api.platform.com/trpc/health.check | jq", '"status"'),
    ("curl https://api.platform.com/trpc/health.check | jq '.checks.database'", '"responseTime"'),
    (
        """curl https://api.platform.com/trpc/health.metrics | jq '.metrics | to_entries[] | select(.key | contains("duration"))'""",
        '"db_query_duration_ms{operation=\\"select\\",outcome=\\"ok\\"}"',
    ),
    ("curl https://api.platform.com/trpc/health.check", '"checks"'),
    ("curl https://api.platform.com/trpc/health.liveness", '"alive":true'),
    ("curl https://api.platform.com/trpc/health.readiness", '"ready":true'),
    ("curl https://api.platform.com/trpc/health.metrics", '"api_requests_total'),
]


@pytest.mark.parametrize(("command", "says"), RUNBOOK)
async def test_the_runbooks_commands_run_as_written(served: Served, command: str, says: str) -> None:
    here = command.replace("https://api.platform.com", f"http://127.0.0.1:{served[1].port}").replace(
        "curl ", "curl -sS "
    )
    for _ in range(20):
        ran = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", f"set -o pipefail; {here}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if says in ran.stdout:
            break
        await asyncio.sleep(0.5)  # a busy machine may have been late in the first tick
    assert ran.returncode == 0, ran.stderr
    assert says in ran.stdout


async def test_a_taken_port_is_refused_with_the_remedy(database: Database) -> None:
    from tenantry.errors import PortInUse

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse):
            OpsListener(database.settings(ops_port=taken.getsockname()[1])).start()


def test_the_files_of_counts_are_this_accounts_own(database: Database) -> None:
    listener = OpsListener(database.settings())
    listener.start()
    listener.stop()
    folder = database.home / "run"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert {oct(path.stat().st_mode)[-3:] for path in folder.iterdir()} == {"600"}
