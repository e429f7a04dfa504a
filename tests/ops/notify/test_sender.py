"""Sending by a courier: what was taken, what hangs, what dies; and that the watcher itself never loads apprise."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tenantry.ops.alerts import Series
from tenantry.ops.incidents import Notice
from tenantry.ops.notify import Channel, Sender
from tenantry.ops.notify.sender import COURIER
from tenantry.ops.watch import Watch
from tests.ops.test_watch import Sink, running, settings, until

NOTICE = Notice("key", "inc-1", "first", "critical", (), "L1", "CRITICAL it burns", "Since 10:00:00 UTC.")


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


def couriers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if COURIER in child.cmdline()]


async def test_messages_are_taken_by_one_courier_and_it_ends_with_its_sender(sink: Sink):
    sender = Sender()
    taken = await asyncio.gather(*(sender.send(Channel.of(sink.url), NOTICE) for _ in range(5)))
    assert taken == [True] * 5
    (courier,) = couriers()
    assert sink.url not in " ".join(courier.cmdline())
    await sender.close(10)
    assert not courier.is_running()


async def test_what_is_refused_or_no_channel_is_not_taken_and_says_nothing_of_the_url(
    caplog: pytest.LogCaptureFixture,
):
    refusing = Sink(500)
    sender = Sender()
    try:
        assert not await sender.send(Channel.of(refusing.url), NOTICE)
        assert not await sender.send(Channel.of("nosuchscheme://s3cret"), NOTICE)
    finally:
        await sender.close(10)
        refusing.close()
    assert "s3cret" not in caplog.text
    assert "/hook" not in caplog.text


async def test_a_channel_that_hangs_is_given_up_and_the_next_message_has_a_fresh_courier(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tenantry.ops.notify.sender.DEADLINE_SECONDS", 1.0)
    sender = Sender()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        hung = Channel.of(f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=60&cto=60")
        beside = asyncio.create_task(sender.send(Channel.of(sink.url), NOTICE))
        assert not await sender.send(hung, NOTICE)
        assert await beside
        monkeypatch.setattr("tenantry.ops.notify.sender.DEADLINE_SECONDS", 30.0)
        assert await sender.send(Channel.of(sink.url), NOTICE)
        await sender.close(0.2)
    assert couriers() == []


async def test_a_courier_that_is_killed_is_a_try_that_failed(sink: Sink):
    sender = Sender()
    try:
        assert await sender.send(Channel.of(sink.url), NOTICE)
        for courier in couriers():
            courier.kill()
            courier.wait(10)
        answers = [await sender.send(Channel.of(sink.url), NOTICE) for _ in range(2)]
        assert answers[-1]
    finally:
        await sender.close(10)


def test_the_watcher_does_not_load_apprise():
    code = "import sys; import tenantry.processes.watcher; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Burns:
    """Health has failed for the fourth time: fires at once, without a hold."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def __call__(self) -> dict[Series, float | None]:
        await asyncio.sleep(self.seconds)
        return {Series.of("health_check_consecutive_failures"): 4.0}


@pytest.mark.parametrize("sampling_seconds", [0.0, 2.3], ids=["all is quick", "the database is silent"])
async def test_a_page_leaves_within_twelve_seconds_of_firing(tmp_path: Path, sink: Sink, sampling_seconds: float):
    """At the ordinary tick: ten seconds to gather what belongs together, and the way out, by the clock of whoever gets it."""
    watch = Watch(settings(tmp_path, notify=sink.url, notify_l1=sink.url), Burns(sampling_seconds), tick_seconds=15.0)
    await running(watch, lambda: until(lambda: len(sink.got) == 2))
    assert sink.titles() == ["CRITICAL platform-api: HealthCheckFailing"] * 2
    took = max(sink.at) - watch.evaluator.verdicts["HealthCheckFailing"].since
    assert 10 <= took < 12, took


async def test_evaluations_are_for_the_moment_that_was_due_however_late_they_begin(tmp_path: Path):
    """A hold of five evaluations ends at the fifth, also where that one began less late than the first."""

    class Late:
        pauses = iter([0.04, *[0.0] * 20])

        async def __call__(self) -> dict[Series, float | None]:
            await asyncio.sleep(next(self.pauses, 0.0))
            return {Series.of("db_up"): 0.0}

    watch = Watch(settings(tmp_path), Late(), tick_seconds=0.3)
    await running(watch, lambda: until(lambda: watch.ticks == 5))
    assert watch.evaluator.firing() == ["DatabaseUnavailable"]
