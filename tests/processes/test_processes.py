"""The four processes: they start, find each other, replace what dies, and end together; no client is refused meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Database
from tests.processes.place import Place, end, get_request, is_alive, one_request, placed, under_load


async def test_reload_and_restart_drop_no_request(place: Place) -> None:
    place.serve("--workers", "2")
    before = set(place.workers)
    async with under_load(place.port, get_request("test.ping")) as load:
        await asyncio.sleep(0.3)
        reloaded = await asyncio.to_thread(place.command, "reload")
        assert reloaded.returncode == 0, reloaded.stderr
        between = set(place.workers)
        restarted = await asyncio.to_thread(place.command, "restart")
        assert restarted.returncode == 0, restarted.stderr
        await asyncio.sleep(0.3)
    assert load.failures == []
    assert load.answers.keys() == {200}
    assert load.count > 50
    assert len(before) == len(between) == len(place.workers) == 2
    assert not before & between
    assert not between & set(place.workers)
    assert place.served is not None
    assert place.served.pid == place.status()["pid"]


async def test_stop_and_start_drop_no_request_and_the_keeper_outlives_both(place: Place) -> None:
    first = place.serve()
    keeper = place.status()["keeper"]
    async with under_load(place.port, get_request("test.ping")) as load:
        for number in (signal.SIGINT, signal.SIGTERM):
            await asyncio.sleep(0.2)
            assert place.served is not None
            place.served.send_signal(number)
            assert await asyncio.to_thread(place.served.wait, 20) == 0
            await asyncio.to_thread(place.serve)
            assert place.status()["keeper"] == keeper
    assert load.failures == []
    assert load.answers.keys() == {200}
    assert is_alive(keeper)
    assert psutil.Process(keeper).ppid() != first.pid
    assert os.getsid(keeper) == os.getpgid(keeper) != os.getsid(place.status()["pid"])
    assert place.command("stop").returncode == 0
    assert not is_alive(keeper)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", place.port), 1)


async def test_a_request_in_flight_is_finished_and_readiness_says_no_first(place: Place) -> None:
    served = place.serve()
    slow = asyncio.create_task(asyncio.to_thread(place.get, "test.slow", {"seconds": 1.5}))
    await asyncio.sleep(0.3)
    with socket.create_connection(("127.0.0.1", place.port), 5) as open_before:
        open_before.sendall(get_request("test.ping"))
        assert b"200 OK" in open_before.recv(4096)
        started = time.monotonic()
        served.send_signal(signal.SIGTERM)
        answer = b""
        while b" 503 " not in answer:
            assert time.monotonic() - started < 8
            await asyncio.sleep(0.02)
            open_before.sendall(get_request("health.readiness"))
            answer = open_before.recv(4096)
        assert b"connection: close" in answer
        assert b'"draining":true' in answer
    assert (await slow)["result"]["data"] == "done"
    assert await asyncio.to_thread(served.wait, 20) == 0
    assert time.monotonic() - started < 8


async def test_a_request_that_outlasts_the_drain_is_answered_and_not_cut_off(database: Database) -> None:
    database.add_tenant("acme")
    token = database.add_member("acme", "owner@acme.example", "owner").token
    with placed(database, TENANTRY_DRAIN_MS="2500") as place:
        served = place.serve()
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        waiting = asyncio.create_task(
            one_request(reader, writer, get_request("test.wait?input=%7B%22seconds%22%3A9%7D", token))
        )
        await asyncio.sleep(0.5)
        served.send_signal(signal.SIGTERM)
        status, _, body = await waiting
        writer.close()
        assert status in (503, 504, 408), body
        assert await asyncio.to_thread(served.wait, 20) == 0


def test_a_worker_that_dies_is_replaced_and_the_others_serve(place: Place) -> None:
    place.serve("--workers", "2")
    killed = place.workers[0]
    end(killed)
    place.until(lambda: killed not in place.workers and len(place.workers) == 2)
    assert place.get("test.ping")["result"]["data"] == "pong"
    assert "signal SIGKILL" in place.log.read_text()


def test_a_worker_that_hangs_is_ended_with_its_stack_in_the_log(database: Database) -> None:
    with placed(database, TENANTRY_HANG_SECONDS="2") as place:
        place.serve("--workers", "2")
        before = set(place.workers)
        with socket.create_connection(("127.0.0.1", place.port), 5) as hanging:
            hanging.sendall(get_request("test.hang?input=%7B%22seconds%22%3A60%7D"))
            place.until(lambda: len(set(place.workers) - before) == 1 and len(place.workers) == 2)
        assert place.get("test.ping")["result"]["data"] == "pong"
        assert "served.py" in place.log.read_text()
        assert "in hang" in place.log.read_text()


def test_a_worker_over_its_limit_is_replaced_gracefully(database: Database) -> None:
    # As PM2 says it, which looks at the supervisor only.
    with placed(database, max_memory_restart="150M", pm_id="0") as place:
        place.serve()
        before = place.workers
        assert place.get("test.grow", {"megabytes": 150})["result"]["data"] == 1
        place.until(lambda: len(place.workers) == 1 and place.workers != before)
        assert place.get("test.ping")["result"]["data"] == "pong"
        assert "it is replaced" in place.log.read_text()


def test_workers_leave_the_terminals_signals_to_the_supervisor(place: Place) -> None:
    place.serve()
    for number in (signal.SIGINT, signal.SIGHUP):
        end(place.workers[0], number)
        end(place.status()["watcher"], number)
    time.sleep(0.3)
    assert place.get("test.pid")["result"]["data"] == place.workers[0]


@pytest.mark.parametrize("is_hung", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["idle", "blocked"])
def test_nothing_outlives_a_killed_supervisor_but_the_keeper(place: Place, is_hung: bool) -> None:
    served = place.serve()
    state = place.status()
    hanging = socket.create_connection(("127.0.0.1", place.port), 5)
    if is_hung:
        hanging.sendall(get_request("test.hang?input=%7B%22seconds%22%3A60%7D"))
        time.sleep(0.3)
    served.kill()
    served.wait(10)
    hanging.close()
    until = time.monotonic() + 30
    while any(is_alive(pid) for pid in (state["workers"][0]["pid"], state["watcher"])):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert is_alive(state["keeper"])
    place.serve()
    assert place.status()["keeper"] == state["keeper"]
    assert place.get("test.ping")["result"]["data"] == "pong"


def test_the_watcher_is_replaced_when_it_is_killed(place: Place) -> None:
    place.serve()
    killed = place.status()["watcher"]
    end(killed)
    place.until(lambda: "the watcher ended with signal SIGKILL" in place.log.read_text())
    place.until(
        lambda: (
            len([p for p in psutil.Process(place.status()["pid"]).children() if "watcher" in " ".join(p.cmdline())])
            == 1
        )
    )


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"TENANTRY_APP": "nowhere:app"}, 1, "APP_NOT_FOUND"),
        ({"DATABASE_URL": "postgresql://platform:x@127.0.0.1:1/none"}, 1, "DATABASE_NOT_READY"),
        ({"TENANTRY_WORKERS": "0"}, 2, "SETTINGS_FAULTY"),
        ({"TENANTRY_POOL_SIZE": "500"}, 2, "max_connections"),
        ({"HOST": "203.0.113.7"}, 1, "PORT_IN_USE"),
    ],
)
def test_a_start_that_fails_is_an_exit_code_with_words(
    place: Place, change: dict[str, str], code: int, words: str
) -> None:
    done = place.command("serve", **change)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert place.command("stop").returncode == 0


def test_a_start_that_fails_in_the_application_shows_where(place: Place) -> None:
    (place.folder / "served.py").write_text("raise RuntimeError('not today')\n")
    done = place.command("serve")
    assert done.returncode == 1
    assert "not today" in done.stderr


def test_a_reload_into_broken_code_leaves_the_old_workers(place: Place) -> None:
    place.serve()
    before = place.workers
    (place.folder / "served.py").write_text("raise RuntimeError('not today')\n")
    done = place.command("reload")
    assert done.returncode == 1
    assert "NOT_REPLACED" in done.stderr
    assert place.command("restart").returncode == 1
    assert place.workers == before
    assert place.get("test.ping")["result"]["data"] == "pong"


def test_a_reload_takes_new_code_and_new_settings(place: Place) -> None:
    place.serve()
    source = (place.folder / "served.py").read_text()
    (place.folder / "served.py").write_text(source.replace('return "pong"', 'return "anew"'))
    assert place.command("reload", "--json").returncode == 0
    assert place.get("test.ping")["result"]["data"] == "anew"


def test_one_supervisor_a_home(place: Place) -> None:
    place.serve()
    second = place.command("serve")
    assert second.returncode == 1
    assert "ALREADY_SERVING" in second.stderr
    assert str(place.status()["pid"]) in second.stderr


def test_the_keeper_goes_when_the_port_changes_or_nobody_comes(database: Database) -> None:
    with placed(database, TENANTRY_HOLD_SECONDS="2") as place:
        for port in (place.port, 0):
            served = place.serve(PORT=str(port))
            keeper = place.status()["keeper"]
            served.send_signal(signal.SIGTERM)
            served.wait(20)
            assert is_alive(keeper)
        place.until(lambda: not is_alive(keeper))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", place.port), 1)


def test_a_keeper_that_is_killed_is_replaced(place: Place) -> None:
    place.serve()
    end(place.status()["keeper"])
    place.until(lambda: "another is started" in place.log.read_text())
    place.command("status")
    assert place.get("test.ping")["result"]["data"] == "pong"
    place.until(lambda: '"keeper": null' not in place.command("status", "--json").stdout)


def test_the_run_directory_is_private_and_a_foreign_one_is_refused(place: Place) -> None:
    place.serve()
    run = place.folder / "home" / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert stat.S_IMODE((run / "keeper.sock").stat().st_mode) == 0o600
    place.command("stop")
    (place.folder / "elsewhere").mkdir()
    (place.folder / "other").mkdir()
    (place.folder / "other" / "run").symlink_to(place.folder / "elsewhere")
    done = place.command("serve", TENANTRY_HOME=str(place.folder / "other"))
    assert done.returncode == 1
    assert "RUN_FOLDER_UNSAFE" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
def test_the_keeper_gives_the_socket_to_its_own_account_only(place: Place) -> None:
    place.serve()
    run = place.folder / "home" / "run"
    for folder in (place.folder, place.folder / "home", run):
        folder.chmod(0o777)
    (run / "keeper.sock").chmod(0o777)
    code = (
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1]);"
        "s.sendall(b'take\\n'); print(socket.recv_fds(s, 99, 1)[1])"
    )
    seen = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(run / "keeper.sock")],
        user=65534,
        group=65534,
        capture_output=True,
        text=True,
        check=False,
    )
    assert seen.stdout.strip() in ("[]", ""), seen.stdout


def test_a_deep_home_has_its_sockets_elsewhere(place: Place) -> None:
    deep = place.folder / ("deep-" * 20) / ("folder-" * 10)
    place.environment["TENANTRY_HOME"] = str(deep)
    assert place.command("status").returncode == 1
    served = place.serve(is_waiting=False)
    place.until(
        lambda: (
            (deep / "run" / "supervisor.json").exists() and '"ready"' in (deep / "run" / "supervisor.json").read_text()
        )
    )
    assert place.command("stop").returncode == 0
    assert served.wait(20) == 0


def test_sizes_and_lines(place: Place) -> None:
    place.serve()
    state = place.status()
    resident = {
        name: psutil.Process(pid).memory_info().rss / 1e6
        for name, pid in (("keeper", state["keeper"]), ("supervisor", state["pid"]))
    }
    assert resident["keeper"] < 20, resident
    assert resident["supervisor"] < 60, resident
    place.until(lambda: "Heap" in place.log.read_text())
    line = next(line for line in place.log.read_text().splitlines() if "Heap" in line)
    assert all(word in line for word in ("rss_mb=", "py_mb=", "objects=", "series=", "pool="))
    assert "://" not in Path(f"/proc/{place.workers[0]}/cmdline").read_text() if Path("/proc").exists() else True
