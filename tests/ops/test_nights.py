"""Bad nights of the watcher, with real processes and servers: killed, without a database, with channels that are dead or slow."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tenantry.ops.incidents.book import Book
from tenantry.ops.watch import Watch
from tenantry.settings import Secret
from tests.conftest import Database, free_port
from tests.ops.test_watch import TICK, Sink, Weather, running, settings, until

PAGE = "CRITICAL platform-api: DatabaseUnavailable"


# ------------------------------------------------------------------ killed


class Killed:
    """A watcher in a process of its own."""

    def __init__(self, home: Path, url: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "tests.ops.night", str(home), url], stderr=subprocess.DEVNULL)  # fmt: skip

    def kill(self) -> None:
        couriers = psutil.Process(self.process.pid).children()
        self.process.kill()
        self.process.wait(10)
        # A courier ends with its watcher: its standard input does.
        psutil.wait_procs(couriers, timeout=10)


def wait(claim: Callable[[], bool], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < ends
        time.sleep(0.02)


def opened(home: Path) -> list[str]:
    memory = Book(home).read()
    return [] if memory is None else [incident.id for incident in memory.incidents]


def test_a_watcher_that_is_killed_between_firing_and_page_pages_once_after_its_restart(tmp_path: Path, sinks: Callable[..., Sink]):  # fmt: skip
    sink = sinks()
    first = Killed(tmp_path, sink.url)
    wait(lambda: bool(opened(tmp_path)))
    first.kill()
    assert sink.got == []
    before = opened(tmp_path)
    second = Killed(tmp_path, sink.url)
    try:
        wait(lambda: bool(sink.got))
        wait(lambda: bool(Book(tmp_path).read().outbox != b"null"))  # type: ignore[union-attr] - it is there
        time.sleep(2.5)
    finally:
        second.kill()
    assert sink.titles() == ["CRITICAL platform-api: HealthCheckFailing"]
    assert opened(tmp_path) == before
    third = Killed(tmp_path, sink.url)
    time.sleep(4)
    third.kill()
    assert len(sink.got) == 1


def test_a_watcher_that_is_killed_while_it_sends_pages_once_more_at_most(tmp_path: Path):
    """The channel took it, and nobody noted that: the same page, with the same incident, once again."""
    came, go = threading.Event(), threading.Event()
    got: list[bytes] = []
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(8)
        door.settimeout(30)

        def serve() -> None:
            while not go.is_set() or len(got) < 2:
                try:
                    there, _ = door.accept()
                except OSError:
                    return
                with there:
                    there.settimeout(30)
                    head = there.recv(65536)
                    while b"inc-" not in head:
                        head += there.recv(65536)
                    got.append(head)
                    came.set()
                    go.wait(30)
                    there.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"json://127.0.0.1:{door.getsockname()[1]}/?rto=30&cto=30"
        first = Killed(tmp_path, url)
        assert came.wait(60)
        first.process.kill()  # its courier waits for the answer, and gets it
        first.process.wait(10)
        go.set()
        second = Killed(tmp_path, url)
        try:
            wait(lambda: len(got) == 2)
            time.sleep(4)
        finally:
            second.kill()
        door.close()
        thread.join(10)
    assert len(got) == 2
    (incident,) = opened(tmp_path)
    assert all(incident.encode() in one for one in got)


# ------------------------------------------------------------------ without a database


async def test_incidents_of_an_outage_are_in_the_journal_and_once_in_the_database_afterwards(tmp_path: Path, database: Database, sinks: Callable[..., Sink]):  # fmt: skip
    page, weather = sinks(), Weather()
    name = database.value("select current_database()")
    watch = Watch(database.settings(home=tmp_path, notify_l1=Secret(page.url)), weather, tick_seconds=TICK)

    def let(be: bool) -> None:
        # Of the superuser, who looks on, no limit counts.
        database.admin.execute(f"alter database {name} connection limit {-1 if be else 0}")
        database.admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user and datname = $1", [name])  # fmt: skip

    async def night() -> None:
        await until(lambda: bool(database.value("select count(*) from tenantry.alert_state")))
        let(False)
        weather.db_up = 0.0
        await until(lambda: bool(page.got))
        (incident,) = watch.desk.incidents.values()
        await until(lambda: opened(tmp_path) == [incident.id])
        watch.desk.note(incident.id, "ann", "the disk is full", watch.steady.now())
        weather.db_up = 1.0
        await until(lambda: not incident.is_open)
        assert database.value("select count(*) from tenantry.incidents") == 0
        let(True)
        await until(
            lambda: bool(database.value("select count(*) from tenantry.incidents where resolved_at is not null"))
        )
        await asyncio.sleep(4 * TICK)

    try:
        await running(watch, night)
        # Another watcher knows it from the file, and writes no second one.
        await running(Watch(database.settings(home=tmp_path), Weather(), tick_seconds=TICK), lambda: asyncio.sleep(4 * TICK))  # fmt: skip
    finally:
        let(True)
    assert database.value("select count(*) from tenantry.incidents") == 1
    assert database.value("select count(*) from tenantry.incidents i, jsonb_array_elements(i.body -> 'timeline') e where e ->> 'text' = 'the disk is full'") == 1  # fmt: skip
    assert database.value("select extract(epoch from opened_at)::int from tenantry.incidents") == int(next(iter(watch.desk.incidents.values())).opened_at + 0.5)  # fmt: skip


# ------------------------------------------------------------------ channels


@pytest.mark.parametrize("how", ["refuses", "answers 500", "answers 302", "is slow", "breaks off"])
async def test_slack_that_fails_holds_up_no_page_and_is_counted(tmp_path: Path, sinks: Callable[..., Sink], how: str):
    page, weather = sinks(), Weather()
    weather.db_up = 0.0
    with socket.socket() as door:
        if how in ("is slow", "breaks off"):
            door.bind(("127.0.0.1", 0))
            door.listen(8)
            port = door.getsockname()[1]
        else:
            port = free_port() if how == "refuses" else sinks(int(how.split()[1])).port
        if how == "breaks off":

            def serve() -> None:
                try:
                    while True:
                        door.accept()[0].close()
                except OSError:
                    return

            threading.Thread(target=serve, daemon=True).start()
        slack = f"json://127.0.0.1:{port}/?rto=1&cto=1"
        watch = Watch(settings(tmp_path, notify=slack, notify_l1=page.url), weather, tick_seconds=TICK)

        def failed() -> float:
            return sum(
                watch.signals.value(place.metric, *place.labels)
                for place in watch.signals.store
                if place.metric == "notifications_total" and place.labels[1] == "failed"
            )

        await running(watch, lambda: until(lambda: bool(page.got) and failed() >= 1))
        door.close()
    assert page.titles()[0] == PAGE


async def test_where_nobody_of_a_level_can_be_reached_the_next_level_is(tmp_path: Path, sinks: Callable[..., Sink]):
    dead, refusing, second = free_port(), sinks(500), sinks()
    weather = Weather()
    weather.db_up = 0.0
    given = settings(tmp_path, notify_l1=f"json://127.0.0.1:{dead} {refusing.url}", notify_l2=second.url)
    watch = Watch(given, weather, tick_seconds=TICK)
    await running(watch, lambda: until(lambda: bool(second.got)))
    assert second.titles()[0] == PAGE
    assert refusing.titles()[0] == PAGE


async def test_an_on_call_list_that_breaks_in_the_night_leaves_the_last_good_one(tmp_path: Path, sinks: Callable[..., Sink]):  # fmt: skip
    ann = sinks()
    listed = tmp_path / "oncall.toml"
    listed.write_text(f'[people.ann]\nurls = ["{ann.url}"]\n[levels.L1]\npeople = ["ann"]\n')
    weather = Weather()
    watch = Watch(settings(tmp_path), weather, tick_seconds=TICK)

    async def night() -> None:
        await until(lambda: watch.ticks >= 1)
        listed.write_text("[people.ann")
        weather.db_up = 0.0
        await until(lambda: bool(ann.got))

    await running(watch, night)
    assert ann.titles()[0] == PAGE


# ------------------------------------------------------------------ the dead man's switch


async def test_the_heartbeat_stops_when_evaluations_do(tmp_path: Path, sinks: Callable[..., Sink]):
    outside = sinks()
    given = settings(tmp_path, heartbeat_url=f"http://127.0.0.1:{outside.port}/beat")
    watch = Watch(given, Weather(), tick_seconds=TICK)

    def broken(*_: object) -> list[object]:
        raise RuntimeError

    async def night() -> None:
        await until(lambda: len(outside.got) >= 2)
        watch.evaluator.tick = broken  # type: ignore[method-assign,assignment] - the evaluator has a fault
        await asyncio.sleep(3 * TICK)
        heard = len(outside.got)
        await asyncio.sleep(8 * TICK)  # two beats would have come
        assert len(outside.got) <= heard

    await running(watch, night)


async def test_the_heartbeat_stops_while_a_page_can_reach_nobody(tmp_path: Path, sinks: Callable[..., Sink]):
    """All channels dead is the night in which only somebody outside can wake anyone."""
    outside, refusing = sinks(), sinks(500)
    weather = Weather()
    given = settings(tmp_path, notify_l1=refusing.url, heartbeat_url=f"http://127.0.0.1:{outside.port}/beat")
    watch = Watch(given, weather, tick_seconds=TICK)

    async def night() -> None:
        await until(lambda: bool(outside.got))
        weather.db_up = 0.0
        await until(lambda: watch.outbox.oldest_page_seconds(watch.steady.now()) > 300 * watch.scale)
        heard = len(outside.got)
        await asyncio.sleep(8 * TICK)
        assert len(outside.got) <= heard + 1  # one may have been under way
        refusing.status = 200
        await until(lambda: len(outside.got) > heard + 1)

    await running(watch, night)
    assert refusing.titles()[0] == PAGE


async def test_a_reader_that_is_dead_stops_no_heartbeat(tmp_path: Path, sinks: Callable[..., Sink]):
    outside, refusing = sinks(), sinks(500)
    weather = Weather()
    weather.db_up = 0.0
    given = settings(tmp_path, notify=refusing.url, heartbeat_url=f"http://127.0.0.1:{outside.port}/beat")
    watch = Watch(given, weather, tick_seconds=TICK)

    async def night() -> None:
        await until(lambda: bool(refusing.got))
        heard = len(outside.got)
        await until(lambda: len(outside.got) >= heard + 5)

    await running(watch, night)
