"""Counts over several processes: exact whatever dies, and from 0 when all of it starts anew."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenantry.ops.metrics import Collected, Slots, by_key, collect
from tenantry.signals import Signals

COUNTER = Path(__file__).parent / "counter.py"


@contextmanager
def counting(folder: Path, *calls: int) -> Iterator[list[subprocess.Popen[str]]]:
    """A process for each number, all having counted."""
    started = [
        subprocess.Popen([sys.executable, str(COUNTER), str(folder), str(n)], stdout=subprocess.PIPE, text=True)
        for n in calls
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def calls(collected: Collected) -> float:
    return by_key(collected)["api_requests_total", "users.get", "query"].value


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_counts_are_summed_over_processes_and_gauges_by_their_rule(folder: Path) -> None:
    with counting(folder, 10, 700, 30):
        found = by_key(collect(Slots(folder)))
        assert found["api_requests_total", "users.get", "query"].value == 740
        assert found["api_request_errors_total", "users.get", "TIMEOUT", "server"].value == 370
        assert found["db_connections_active",].value == 6
        assert found["db_pool_utilization_ratio",].value == 0.7
        duration = found["api_request_duration_seconds", "users.get"].cells
        assert duration[-3] == 740
        assert duration[-2] == pytest.approx(sum(n / 100 for calls in (10, 700, 30) for n in range(calls)))
        assert duration[-1] == 6.99
        assert {key[1] for key in found if key[0] == "api_requests_total"} == {
            "_other", "users.get", "own.p10", "own.p700", "own.p30",
        }  # fmt: skip


def test_kill_9_never_lowers_a_counter_and_is_counted_once_whoever_looks(folder: Path) -> None:
    with counting(folder, 100, 20, 3) as processes:
        readers = [Slots(folder) for _ in range(4)]
        assert [calls(collect(reader)) for reader in readers] == [123] * 4
        kill(processes[0])
        with ThreadPoolExecutor(4) as threads:
            for _ in range(20):
                assert list(threads.map(lambda reader: calls(collect(reader)), readers)) == [123] * 4
        kill(processes[1])
        assert [calls(collect(reader)) for reader in readers] == [123] * 4
        assert calls(collect(Slots(folder))) == 123, "a reader that has just begun"
        assert len([path for path in folder.iterdir() if path.name.startswith("slots-")]) == 1
        assert by_key(collect(readers[0]))["db_connections_active",].value == 2, "gauges are of the living"
        with counting(folder, 7):
            assert calls(collect(readers[0])) == 130


def test_a_fold_that_was_cut_short_is_not_done_twice(folder: Path, tmp_path: Path) -> None:
    with counting(folder, 50, 1) as processes:
        kept = next(path for path in folder.iterdir() if path.name.startswith(f"slots-{processes[0].pid}"))
        shutil.copy(kept, tmp_path / "copy")
        kill(processes[0])
        assert calls(collect(Slots(folder))) == 51
        # As if the folder had died between writing the totals and removing the file.
        shutil.copy(tmp_path / "copy", kept)
        assert calls(collect(Slots(folder))) == 51
        assert not kept.exists()


def test_when_everything_starts_anew_it_starts_at_zero_with_a_new_time(folder: Path) -> None:
    with counting(folder, 5, 6):
        before = collect(Slots(folder))
    time.sleep(0.02)
    with counting(folder, 2):
        after = collect(Slots(folder))
    assert (calls(before), calls(after)) == (11, 2)
    assert after.started > before.started > time.time() - 600
    assert by_key(after)["process_start_time_seconds",].value == after.started


def test_one_process_alone_keeps_the_counts_of_those_that_came_and_went(folder: Path) -> None:
    """What a supervisor is for: all workers may be replaced while it lives."""
    slots = Slots(folder)
    Signals(store=slots.claim())
    for _ in range(3):
        with counting(folder, 4):
            pass
    assert calls(collect(slots)) == 12
    slots.close()


def test_what_still_runs_after_the_close_may_count_and_fails_nobody(folder: Path) -> None:
    slots = Slots(folder)
    signals = Signals({"users.get": "query"}, slots.claim())
    slots.close()
    signals.request("users.get", 0.1, None)
    signals.error("db", "NEW")


def test_a_directory_that_is_not_there_reads_as_nothing(folder: Path) -> None:
    assert [f.name for f, _ in collect(Slots(folder)).families] == ["process_start_time_seconds", "build_info"]


def test_a_torn_file_of_totals_or_counts_breaks_no_scrape(folder: Path) -> None:
    with counting(folder, 5):
        (folder / "slots.totals").write_text("{")
        (folder / "slots-1-abc").write_bytes(b"short")
        assert calls(collect(Slots(folder))) == 5
