"""The watcher, whole: samples in, real messages out to local servers that record, over restarts and with channels that fail."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tenantry.cli.main import main
from tenantry.ops.alerts import Series
from tenantry.ops.incidents.book import Book
from tenantry.ops.watch import Watch
from tenantry.settings import Secret, Settings
from tests.conftest import Database

TICK = 0.3
"""A fiftieth of the ordinary tick: ten seconds are 0.2, five minutes six."""


class Sink:
    """A channel's other end: keeps what it was sent; `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.got: list[dict[str, Any]] = []
        self.at: list[float] = []
        """When each came, by the monotonic clock."""
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.at.append(time.monotonic())
                sink.got.append(json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}"))
                self.answer()

            def do_GET(self) -> None:
                sink.at.append(time.monotonic())
                sink.got.append({"path": self.path})
                self.answer()

            def answer(self) -> None:
                self.send_response(sink.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"

    def titles(self) -> list[str]:
        return [one["title"] for one in self.got]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Weather:
    """What is sampled."""

    def __init__(self) -> None:
        self.db_up: float | None = 1.0

    async def __call__(self) -> Mapping[Series, float | None] | None:
        if self.db_up is None:
            return None
        return {Series.of("db_up"): self.db_up}


async def running(watch: Watch, act: Callable[[], Awaitable[None]]) -> None:
    stopped = asyncio.Event()
    task = asyncio.create_task(watch.run(stopped))
    try:
        await act()
    finally:
        stopped.set()
        await task


async def until(claim: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.02)


def settings(home: Path, **over: Any) -> Settings:
    return Settings(home=home, **{k: Secret(v) if isinstance(v, str) else v for k, v in over.items()})


async def test_an_outage_pages_once_and_its_end_is_told_to_the_same_people(tmp_path: Path, sinks: Callable[..., Sink]):
    page, slack = sinks(), sinks()
    weather = Weather()
    watch = Watch(settings(tmp_path, notify=slack.url, notify_l1=page.url), weather, tick_seconds=TICK)

    async def night() -> None:
        await asyncio.sleep(2 * TICK)
        weather.db_up = 0.0
        await until(lambda: bool(page.got))
        weather.db_up = 1.0
        await until(lambda: len(page.got) == 2 and len(slack.got) == 2)

    await running(watch, night)
    assert page.titles() == ["CRITICAL platform-api: DatabaseUnavailable", "RESOLVED platform-api: DatabaseUnavailable"]
    assert slack.titles() == page.titles()
    assert [one["type"] for one in page.got] == ["failure", "success"]


async def test_a_page_that_its_channel_refuses_goes_to_the_next_one(tmp_path: Path, sinks: Callable[..., Sink]):
    refusing, second = sinks(500), sinks()
    weather = Weather()
    weather.db_up = 0.0
    watch = Watch(settings(tmp_path, notify_l1=f"{refusing.url} {second.url}"), weather, tick_seconds=TICK)
    await running(watch, lambda: until(lambda: bool(watch.outbox.sent)))
    assert second.titles() == ["CRITICAL platform-api: DatabaseUnavailable"]
    counted = {
        place.labels[1]: watch.signals.value(place.metric, *place.labels)
        for place in watch.signals.store
        if place.metric == "notifications_total" and place.labels[0] != "_other"
    }
    assert set(counted) == {"sent", "failed"}
    assert counted["sent"] == 1


async def test_a_channel_that_hangs_delays_no_other(tmp_path: Path, sinks: Callable[..., Sink]):
    alive = sinks()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        hung = f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=1&cto=1"
        weather = Weather()
        weather.db_up = 0.0
        watch = Watch(settings(tmp_path, notify=f"{hung} {alive.url}"), weather, tick_seconds=TICK)
        await running(watch, lambda: until(lambda: bool(alive.got)))
    assert alive.titles() == ["CRITICAL platform-api: DatabaseUnavailable"]


async def test_a_restart_pages_nobody_again_and_the_clocks_go_on(tmp_path: Path, sinks: Callable[..., Sink]):
    page = sinks()
    weather = Weather()
    weather.db_up = 0.0
    given = settings(tmp_path, notify_l1=page.url)
    await running(Watch(given, weather, tick_seconds=TICK), lambda: until(lambda: bool(page.got)))
    await running(Watch(given, weather, tick_seconds=TICK), lambda: asyncio.sleep(1.5))
    assert len(page.got) == 1
    await running(Watch(given, weather, tick_seconds=TICK), lambda: until(lambda: len(page.got) == 2))
    assert page.got[1]["message"].startswith("Nobody has acknowledged this yet.")


async def test_an_acknowledgement_by_the_command_stops_the_repeats(
    tmp_path: Path, sinks: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    page = sinks()
    weather = Weather()
    weather.db_up = 0.0
    watch = Watch(settings(tmp_path, notify_l1=page.url), weather, tick_seconds=TICK)

    async def night() -> None:
        await until(lambda: bool(page.got))
        (incident,) = watch.desk.incidents
        assert await asyncio.to_thread(main, ["incident", "ack", incident, "--by", "ann"]) == 0
        assert await asyncio.to_thread(main, ["incident", "ack", incident, "--by", "ben"]) == 1
        assert await asyncio.to_thread(main, ["incident", "note", incident, "--by", "ann", "disk replaced"]) == 0
        assert await asyncio.to_thread(main, ["incident", "unack", incident, "--by", "ann"]) == 0
        assert await asyncio.to_thread(main, ["incident", "unack", incident, "--by", "ann"]) == 1
        assert await asyncio.to_thread(main, ["incident", "ack", incident, "--by", "ben"]) == 0
        await asyncio.sleep(7)

    await running(watch, night)
    assert len(page.got) == 1
    assert main(["incident", "list"]) == 0
    assert main(["incident", "show", next(iter(watch.desk.incidents))]) == 0
    told = capsys.readouterr().out
    assert "ben has it" in told
    assert "note: disk replaced" in told


async def test_a_silence_and_an_incident_by_hand(
    tmp_path: Path, sinks: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    page, second, third = sinks(), sinks(), sinks()
    weather = Weather()
    watch = Watch(
        settings(tmp_path, notify_l1=page.url, notify_l2=second.url, notify_l3=third.url), weather, tick_seconds=TICK
    )

    async def night() -> None:
        silence = [
            "silence",
            "--match",
            "alertname=DatabaseUnavailable",
            "--for",
            "1h",
            "--by",
            "ann",
            "--why",
            "known",
        ]
        assert await asyncio.to_thread(main, silence) == 0
        weather.db_up = 0.0
        await until(lambda: watch.evaluator.firing() == ["DatabaseUnavailable"])
        await asyncio.sleep(1)
        assert page.got == []
        opened = ["incident", "open", "--kind", "security", "--by", "ann", "a laptop was stolen"]
        assert await asyncio.to_thread(main, opened) == 0
        await until(lambda: bool(page.got and second.got and third.got))

    await running(watch, night)
    assert page.titles() == ["CRITICAL platform-api: Security incident"]


def test_a_command_without_a_watcher_waits_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # fmt: skip
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    monkeypatch.setattr("tenantry.ops.incidents.book.Book.say.__kwdefaults__", {"wait_seconds": 0.1})
    assert main(["incident", "open", "--kind", "corruption", "--by", "ann", "bad page"]) == 0
    assert "No watcher answers" in capsys.readouterr().err
    ((_, command),) = Book(tmp_path).commands()
    assert command is not None
    assert command.verb == "open"


async def test_the_heartbeat_is_sent_while_all_is_well(tmp_path: Path, sinks: Callable[..., Sink]):
    outside = sinks()
    beat = f"http://127.0.0.1:{outside.port}/beat"
    watch = Watch(settings(tmp_path, heartbeat_url=beat), Weather(), tick_seconds=TICK)
    await running(watch, lambda: until(lambda: len(outside.got) >= 2))
    assert {one["path"] for one in outside.got} == {"/beat"}


async def test_a_memory_that_is_broken_is_put_aside(tmp_path: Path):
    book = Book(tmp_path)
    book.inbox.mkdir(parents=True)
    book.path.write_text("{")
    await running(Watch(settings(tmp_path), Weather(), tick_seconds=TICK), lambda: asyncio.sleep(TICK))
    assert book.path.with_suffix(".broken").exists()
    assert book.read() is not None
    assert (book.path.stat().st_mode & 0o777, book.folder.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_the_database_has_a_copy_when_it_is_there(tmp_path: Path, database: Database):
    weather = Weather()
    weather.db_up = 0.0
    watch = Watch(database.settings(home=tmp_path), weather, tick_seconds=TICK)
    await running(watch, lambda: until(lambda: bool(database.value("select count(*) from tenantry.incidents"))))
    assert database.value("select body -> 'alerts' ? 'DatabaseUnavailable' from tenantry.incidents")
    assert database.value("select state from tenantry.alert_state where alert = 'DatabaseUnavailable'") == "firing"


def test_a_test_page_reaches_every_channel_and_a_failing_one_is_exit_1(
    tmp_path: Path, sinks: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    one, two = sinks(), sinks(500)
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    monkeypatch.setenv("TENANTRY_NOTIFY", one.url)
    assert main(["alerts", "test"]) == 0
    (tmp_path / "oncall.toml").write_text(f'[people.ann]\nurls = ["{two.url}"]\n')
    assert main(["alerts", "test"]) == 1
    assert one.titles() == ["TEST platform-api"] * 2
    assert main(["alerts", "test", "--person", "ann"]) == 1
    told = capsys.readouterr().out
    assert "NOT TAKEN" in told
    assert "/hook" not in told
