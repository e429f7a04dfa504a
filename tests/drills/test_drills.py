"""The machinery of drills: declarations that fit together, a judgement, a table, a proxy that breaks; and one real drill."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry.drills import Drill, NoSuchDrill, NotOurs, Outcome, chosen, drills, page, read, write
from tenantry.drills.perform import judge
from tenantry.drills.proxy import Proxy
from tenantry.drills.report import NOT_DRILLED, fresh
from tenantry.drills.stage import Stage
from tenantry.drills.wire import Provider, fetch
from tenantry.ops.alerts import RULES
from tenantry.runbook import sections


def test_every_line_of_the_table_is_a_drill_or_says_why_not():
    numbers = [drill.number for drill in drills()]
    assert sorted([*numbers, *NOT_DRILLED]) == list(range(1, 34))
    assert len({drill.name for drill in drills()}) == len(numbers)


def test_drills_expect_alerts_and_causes_that_there_are():
    alerts = {rule.name for rule in RULES}
    causes = {cause.id for section in sections() for cause in section.causes}
    for drill in drills():
        assert {*drill.alerts, *drill.quiet} <= alerts, drill.name
        assert set(drill.causes) <= causes, drill.name


def test_a_drill_is_chosen_by_name_or_number():
    assert [d.name for d in chosen(["policy-dropped", "1"])] == ["server-stopped", "policy-dropped"]
    with pytest.raises(NoSuchDrill):
        chosen(["no-such"])


def drill(**over: object) -> Drill:
    return next(d for d in drills() if d.name == over.get("name", "rows-refused"))


def outcome(**over: object) -> Outcome:
    given = {"alert_seconds": {"RLSViolations": 1.0}, "rank": 1, "cause": "rows-refused", "healed_seconds": 0.1, **over}
    return Outcome(14, "rows-refused", "", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "over, fault",
    [
        ({}, None),
        ({"alert_seconds": {}}, "RLSViolations did not fire"),
        ({"rank": 3}, "the doctor named rows-refused in place 3 only"),
        ({"rank": None, "cause": "other"}, "the doctor did not name rows-refused, but other"),
        ({"healed_seconds": None}, "it did not become healthy again"),
        ({"others_lost": 2}, "2 requests of a tenant that it does not meet were lost"),
    ],
)
def test_what_did_not_happen_is_a_fault(over: dict[str, object], fault: str | None):
    found = outcome(**over)
    judge(drill(), found)
    assert found.faults == ([] if fault is None else [fault])


def test_the_table_has_each_outcome_with_its_bound_and_what_was_left_out(tmp_path: Path):
    report = fresh(1)
    report.outcomes.append(outcome())
    write(tmp_path / "drills.json", report)
    text = page(read(tmp_path / "drills.json"), drills())
    assert "RLSViolations 1.0 s (1)" in text
    assert "(`server-stopped`): there is a drill, and this run left it out" in text


def test_a_drill_run_again_replaces_its_outcome(tmp_path: Path):
    for cause in ("first", "second"):
        report = fresh(1)
        report.outcomes.append(outcome(cause=cause))
        write(tmp_path / "drills.json", report)
    assert [one.cause for one in read(tmp_path / "drills.json").outcomes] == ["second"]


async def test_the_proxy_passes_then_loses_replies_then_resets():
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        assert await asyncio.wait_for(reader.read(3), 10) == b"one"
        proxy.mode = "half"
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(3), 0.5)
        proxy.mode = "reset"
        with pytest.raises(ConnectionError):
            assert await asyncio.wait_for(reader.read(3), 10)
        writer.close()
    finally:
        await proxy.stop()
        server.close()


async def test_a_drill_refuses_a_server_that_it_did_not_make(database):
    stage = Stage()
    try:
        stage.superuser = lambda _="platform": database.superuser  # type: ignore[method-assign]
        with pytest.raises(NotOurs):
            await stage.assert_own()
    finally:
        stage.folder.rmdir()


def test_one_drill_from_fault_to_healthy(tmp_path: Path):
    """Its environment names a database that must not be touched: nothing is there, and nobody asks."""
    done = subprocess.run(
        [sys.executable, "-m", "tenantry.cli.main", "drill", "run", "policy-dropped", "--json", "--to", str(tmp_path / "d.json")],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "DATABASE_URL": "postgresql://platform:x@127.0.0.1:1/platform"},
    )  # fmt: skip
    (found,) = json.loads(done.stdout)["outcomes"]
    assert done.returncode == 0, done.stderr
    assert (found["cause"], found["rank"], found["repaired_by"]) == ("policy-missing", 1, "--approve push")
    assert "HealthCheckFailing" in found["alert_seconds"]
    assert found["page_seconds"] is not None


def test_a_drill_that_this_machine_cannot_run_says_why():
    report = fresh(1)
    report.outcomes.append(
        Outcome(29, "disk-full", "the disk is full", skipped="a small disk is mounted by root, on Linux")
    )
    text = page(report, drills())
    assert "- 29 (`disk-full`): a small disk is mounted by root, on Linux." in text
    assert "| 29 |" not in text


async def test_the_provider_describes_itself_and_refuses_a_bad_code():
    provider = Provider()
    await provider.start()
    try:
        status, body = await fetch(provider.port, "/.well-known/openid-configuration")
        assert (status, json.loads(body)["token_endpoint"]) == (200, f"http://127.0.0.1:{provider.port}/token")
        assert await fetch(provider.port, "/token", body=b"{}") == (400, b'{"error": "invalid_grant"}')
    finally:
        await provider.stop()
    with pytest.raises(OSError):
        await fetch(provider.port, "/token", body=b"{}")
