"""What else may happen to the processes, under load with writers: each killed, stopped, without descriptors, without a log, told twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
import pytest

from tests.conftest import Database
from tests.processes.place import Place, end, get_request, is_alive, placed, post_request, under_load


@contextlib.contextmanager
def served_to(place: Place, out: Any, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`serve` with this as its standard output and error."""
    place.served = subprocess.Popen(
        [sys.executable, "-m", "tenantry.cli.main", "serve", *arguments], cwd=place.folder, env={**place.environment, **more},
        stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
    )  # fmt: skip
    place.log.touch()
    place.until(lambda: place.status().get("state") == "ready")
    yield place.served


def written(database: Database) -> int:
    with psycopg.connect(database.superuser.reveal()) as connection:
        found = connection.execute("select count(*) from notes").fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("victim", ["worker", "watcher", "keeper", "supervisor", "all"])
async def test_whoever_is_killed_nothing_acknowledged_is_lost_and_nothing_is_twice(
    place: Place, database: Database, victim: str
) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    place.serve("--workers", "2")
    state = place.status()
    write = post_request("test.add", b'{"body":"n"}', token)
    async with (
        under_load(place.port, write, clients=4) as writes,
        under_load(place.port, get_request("test.read", token), clients=4) as reads,
    ):
        await asyncio.sleep(0.5)
        pids = {
            "worker": [state["workers"][0]["pid"]], "watcher": [state["watcher"]], "keeper": [state["keeper"]], "supervisor": [state["pid"]],
            "all": [state["pid"], state["watcher"], state["keeper"], *(w["pid"] for w in state["workers"])],
        }[victim]  # fmt: skip
        for pid in pids:
            end(pid)
        if victim in ("supervisor", "all"):
            assert place.served is not None
            await asyncio.to_thread(place.served.wait, 10)
            await asyncio.to_thread(place.serve, "--workers", "2")
        else:
            await asyncio.sleep(2)
            await asyncio.to_thread(
                place.until, lambda: len(place.workers) == 2 and all(is_alive(pid) for pid in place.workers)
            )
        before = reads.answers[200], writes.answers[200]
        await asyncio.sleep(1)
    assert reads.answers[200] > before[0]
    assert writes.answers[200] > before[1]
    assert set(reads.answers) | set(writes.answers) <= {200, 503}
    # What was under way in a killed worker ended without an answer; nothing else did, nor with any other victim.
    most = {"worker": 8, "all": 10_000}.get(victim, 0)
    assert len(reads.failures) + len(writes.failures) <= most, (reads.failures[:5], writes.failures[:5])
    assert writes.answers[200] <= written(database) <= writes.answers[200] + len(writes.failures)


async def test_a_worker_that_is_stopped_is_replaced_and_the_others_serve(database: Database) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    with placed(database, TENANTRY_HANG_SECONDS="3") as place:
        place.serve("--workers", "2")
        stopped = place.workers[0]
        os.kill(stopped, signal.SIGSTOP)
        async with under_load(place.port, get_request("test.read", token), clients=4, with_new=True) as load:
            await asyncio.to_thread(place.until, lambda: len(place.workers) == 2 and stopped not in place.workers, 60)
            await asyncio.sleep(0.5)
        assert set(load.answers) == {200}
        assert not is_alive(stopped)


@pytest.mark.soak  # a minute: what a start may take
def test_a_worker_that_is_stopped_while_it_starts_does_not_stay_away(database: Database) -> None:
    with placed(database, TENANTRY_HANG_SECONDS="2") as place:
        place.serve("--workers", "2")
        before = place.workers
        end(before[0])
        place.until(lambda: len(place.status()["workers"]) == 2 and place.workers == [before[1]])
        starting = next(w["pid"] for w in place.status()["workers"] if w["state"] == "starting")
        os.kill(starting, signal.SIGSTOP)
        place.until(lambda: len(place.workers) == 2, 90)
        assert not is_alive(starting)


def test_a_replacement_of_a_large_worker_that_cannot_start_leaves_it(database: Database) -> None:
    with placed(database, TENANTRY_MEMORY_LIMIT="150000000") as place:
        place.serve()
        before = place.workers
        (place.folder / "served.py").write_text("raise RuntimeError('not today')\n")
        place.get("test.grow", {"megabytes": 150})
        place.until(lambda: "it goes on" in place.log.read_text())
        assert place.workers == before
        assert "never retrieved" not in place.log.read_text()
        assert place.get("test.ping")["result"]["data"] == "pong"


async def test_a_second_sigterm_cuts_nothing_off(place: Place) -> None:
    served = place.serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(get_request("test.slow?input=%7B%22seconds%22%3A1.5%7D"))
    await asyncio.sleep(0.3)
    for _ in range(3):
        served.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
    assert b"done" in await reader.read()
    writer.close()
    assert await asyncio.to_thread(served.wait, 20) == 0


async def test_without_descriptors_left_it_waits_and_goes_on(place: Place) -> None:
    place.serve()
    worker = psutil.Process(place.workers[0])
    used = worker.num_fds()
    worker.rlimit(psutil.RLIMIT_NOFILE, (used + 20, used + 20))
    held = [socket.create_connection(("127.0.0.1", place.port), 5) for _ in range(60)]
    time.sleep(1)
    cpu = worker.cpu_times().user + worker.cpu_times().system
    time.sleep(2)
    assert worker.cpu_times().user + worker.cpu_times().system - cpu < 1.0, "it turns in circles"
    assert json.loads(await asyncio.to_thread(_ops, place))["alive"] is True
    for one in held:
        one.close()
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(_pings, place):
            await asyncio.sleep(0.1)
    assert place.workers == [worker.pid]
    assert place.log.stat().st_size < 200_000


def _pings(place: Place) -> bool:
    """A connection that comes while none can be taken is closed at once."""
    try:
        return place.get("test.ping")["result"]["data"] == "pong"
    except OSError:
        return False


def _ops(place: Place) -> bytes:
    import urllib.request

    with urllib.request.urlopen(
        f"http://127.0.0.1:{place.status()['ops_port']}/trpc/health.liveness", timeout=10
    ) as answer:
        return answer.read()


async def test_a_thousand_idle_connections_and_slow_heads_hold_up_nobody(place: Place, database: Database) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    place.serve()
    idle = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(1000)]
    for _, writer in idle[:200]:
        writer.write(b"GET /trpc/test.ping HTTP/1.1\r\nho")
    for _, writer in idle[200:300]:
        writer.write_eof()
    async with under_load(place.port, get_request("test.read", token), clients=4) as load:
        await asyncio.sleep(2)
    assert set(load.answers) == {200}
    assert load.failures == []
    # Half a head for 10 seconds is too slow, and is told so.
    async with asyncio.timeout(30):
        answer = await idle[0][0].read()
    assert answer.startswith(b"HTTP/1.1 408"), answer
    for _, writer in idle:
        writer.close()


@pytest.mark.parametrize("out", ["/dev/full", "closed pipe"])
async def test_without_a_log_it_serves_reloads_and_restarts(place: Place, out: str) -> None:
    """The disk of the log is full, or its reader has gone: nothing that a request or a restart would fail by."""
    reader = -1
    if out == "/dev/full":
        sink = os.open(out, os.O_WRONLY)
    else:
        reader, sink = os.pipe()
        os.close(reader)
    try:
        with served_to(place, sink) as served:
            for command in ("reload", "restart", "reload"):
                done = await asyncio.to_thread(place.command, command)
                assert done.returncode == 0, done.stderr
                assert (await asyncio.to_thread(place.get, "test.ping"))["result"]["data"] == "pong"
            end(place.workers[0])
            await asyncio.sleep(0.5)
            await asyncio.to_thread(place.until, lambda: len(place.workers) == 1)
            served.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(served.wait, 20) == 0
    finally:
        os.close(sink)


def test_a_port_that_is_taken_is_said_and_nothing_is_left(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        done = place.command("serve")
    assert done.returncode == 1
    assert "PORT_IN_USE" in done.stderr
    assert str(place.port) in done.stderr
    assert "Traceback" not in done.stderr
    place.serve()
    assert place.get("test.ping")["result"]["data"] == "pong"


def test_what_a_crash_left_in_the_run_directory_is_no_hindrance(place: Place) -> None:
    run = place.folder / "home" / "run"
    run.mkdir(parents=True, mode=0o700)
    for name in (
        "supervisor.lock",
        "keeper.lock",
        "keeper.sock",
        "inspect-4194000-1.sock",
        "supervisor.part",
        "statements.json",
    ):
        (run / name).write_text("half a wor")
    (run / "supervisor.json").write_text(
        json.dumps({"pid": 1, "state": "ready", "port": 1, "keeper": 1, "workers": [{"pi": 0}]})
    )
    place.log.touch()
    place.served = place.serve(is_waiting=False)
    place.until(lambda: place.status().get("pid") == place.served.pid and place.status()["state"] == "ready")  # type: ignore[union-attr]
    assert place.get("test.ping")["result"]["data"] == "pong"
    assert place.command("reload").returncode == 0


def test_a_start_beside_one_that_drains_waits_for_it(place: Place) -> None:
    first = place.serve()
    with socket.create_connection(("127.0.0.1", place.port), 5) as busy:
        busy.sendall(get_request("test.slow?input=%7B%22seconds%22%3A2%7D"))
        time.sleep(0.3)
        first.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        second = place.serve(is_waiting=False)
        busy.settimeout(20)
        assert b"done" in busy.recv(4096)
    assert first.wait(20) == 0
    place.until(lambda: place.status().get("pid") == second.pid and place.status().get("state") == "ready")
    assert place.get("test.ping")["result"]["data"] == "pong"
