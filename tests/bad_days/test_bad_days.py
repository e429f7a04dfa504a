"""Bad days, under load: health says so, every client gets a clear answer, nothing is lost or doubled, and it heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.bad_days.day import Day


def stopped(day: Day) -> None:
    day.stop(signal.SIGINT)


def killed(day: Day) -> None:
    day.stop(signal.SIGQUIT)


def silent(day: Day) -> None:
    day.signal(signal.SIGSTOP)


def goes_on(day: Day) -> None:
    day.signal(signal.SIGCONT)


def started(day: Day) -> None:
    day.start()


def network(mode: str) -> Callable[[Day], None]:
    def change(day: Day) -> None:
        day.mode.write_text(mode)

    change.__name__ = mode
    return change


DAYS = [
    pytest.param(stopped, started, id="PostgreSQL stopped"),
    pytest.param(killed, started, id="PostgreSQL killed"),
    pytest.param(silent, goes_on, id="PostgreSQL silent"),
    pytest.param(network("blackhole"), network("pass"), id="network blackholed"),
    pytest.param(network("half"), network("pass"), id="network half open"),
    pytest.param(network("reset"), network("pass"), id="network resets"),
    pytest.param(network("refuse"), network("pass"), id="network refuses", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("hurt", "mend"), DAYS)
async def test_the_database_goes_away_and_comes_back(
    day: Day, hurt: Callable[[Day], None], mend: Callable[[Day], None]
) -> None:
    async with day.load() as seen:
        await asyncio.to_thread(hurt, day)
        try:
            if getattr(hurt, "__name__", "") == "refuse":
                await asyncio.sleep(2.0)  # open connections live on
            else:
                await day.until_unhealthy(seen)
                await asyncio.sleep(2.5)  # the deadline of what was under way
        finally:
            await asyncio.to_thread(mend, day)
        await day.until_well(seen)
    day.nothing_lost_or_doubled(seen)
    assert seen.health_worst_seconds < 6, seen.health_worst_seconds
    assert all("127.0.0.1" not in message and "platform" not in message for _, _, message in seen.health)


async def test_a_restart_of_the_server(day: Day) -> None:
    async with day.load() as seen:
        await asyncio.to_thread(day.stop, signal.SIGINT)
        await asyncio.to_thread(day.start)
        await day.until_well(seen)
    day.nothing_lost_or_doubled(seen)


async def test_a_back_end_that_crashes_takes_all_with_it_and_recovery_is_waited_for(day: Day) -> None:
    async with day.load() as seen:
        backend = next(p for p in day.server()[1:] if "platform" in " ".join(p.cmdline()))
        backend.kill()
        await asyncio.sleep(0.5)
        await day.until_well(seen)
    day.nothing_lost_or_doubled(seen)


async def test_a_slow_network_is_degraded_and_answers(day: Day) -> None:
    async with day.load() as seen:
        day.mode.write_text("delay:120")
        await asyncio.sleep(2.5)
        day.mode.write_text("pass")
        await day.until_well(seen)
    day.nothing_lost_or_doubled(seen)
    assert any("slow" in message.lower() for _, _, message in seen.health), seen.health


async def test_a_server_full_of_connections_keeps_its_pool(day: Day) -> None:
    taken: list[psycopg.Connection] = []
    async with day.load() as seen:
        try:
            with contextlib.suppress(psycopg.OperationalError):
                while len(taken) < 1000:
                    taken.append(psycopg.connect(day.database.superuser.reveal()))
            before = len(seen.acknowledged)
            await asyncio.sleep(1.5)
            assert len(seen.acknowledged) > before  # its own connections are kept open
        finally:
            for connection in taken:
                connection.close()
        await day.until_well(seen)
    day.nothing_lost_or_doubled(seen)


async def test_switched_to_read_only_reads_go_on_and_writes_are_refused_clearly(day: Day) -> None:
    name = day.database.urls.platform.database
    async with day.load() as seen:
        day.sql(f"alter database {name} set default_transaction_read_only = on")
        day.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'platform'")
        await asyncio.sleep(1.5)
        refused = len(seen.refused)
        day.sql(f"alter database {name} reset default_transaction_read_only", database="postgres")
        day.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'platform'")
        await day.until_well(seen)
    day.nothing_lost_or_doubled(seen)
    assert refused > 0
    assert seen.codes["ok"] > 10


@pytest.fixture
def small_disk(day: Day, tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB that belongs to the server's account."""
    if os.geteuid() != 0:
        pytest.skip("a file system is mounted by root only")
    place = Path(tempfile.mkdtemp(prefix="tenantry-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        place.rmdir()
        pytest.skip("mount is not allowed here")
    uids = psutil.Process(day.postmaster).uids()
    os.chown(place, uids.real, psutil.Process(day.postmaster).gids().real)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)
        place.rmdir()


async def test_a_full_disk_refuses_writes_clearly_and_reads_go_on(day: Day, small_disk: Path) -> None:
    day.sql(f"create tablespace small location '{small_disk}'")
    day.sql("alter table notes set tablespace small")
    try:
        async with day.load() as seen:
            day.sql("create table filler (t text) tablespace small")
            with contextlib.suppress(psycopg.errors.DiskFull):
                for _ in range(100_000):
                    day.sql("insert into filler select repeat(md5(n::text), 200) from generate_series(1, 200) n")
            full_at = len(seen.acknowledged)
            async with asyncio.timeout(30):
                while not seen.refused:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(1.0)
            reads = seen.codes["ok"] - full_at
            day.sql("drop table filler")
            await day.until_well(seen)
        day.nothing_lost_or_doubled(seen)
        assert reads > 5
    finally:
        day.sql("drop table if exists filler")
        day.sql("alter table notes set tablespace pg_default")
        day.sql("drop tablespace small")


KILLS = 300
KILL_IDLE = """
select pg_terminate_backend(pid) from pg_stat_activity
 where {more} state = 'idle' and state_change < now() - interval '{age}'"""


@pytest.mark.parametrize("age", ["10 minutes", "0 seconds"], ids=["as written", "at once"])
@pytest.mark.parametrize("more", ["", "datname = current_database() and"], ids=["for the limit", "for the pool"])
async def test_the_runbooks_kill_idle_statements_fail_no_request(day: Day, age: str, more: str) -> None:
    async with day.load(clients=6) as seen:
        for _ in range(3):
            await asyncio.to_thread(day.sql, KILL_IDLE.format(more=more, age=age), database=None)
            await asyncio.sleep(0.3)
        await day.until_well(seen)
    assert seen.codes.keys() == {"ok"}, seen.codes
    assert {status for _, status, _ in seen.health} == {200}, seen.health
    day.nothing_lost_or_doubled(seen)


@pytest.mark.soak
async def test_hundreds_of_kills_of_what_is_idle_fail_no_request(day: Day) -> None:
    """The runbook's statement, at once, again and again, on one open connection: the whole pool goes each time.

    A handler with several statements can be struck between two of them: what was idle when the operator looked is not when the
    signal comes. It is undone as a whole and refused clearly, since nobody but the handler can do it again.
    """
    statement = KILL_IDLE.format(more="datname = current_database() and pid <> pg_backend_pid() and", age="0 seconds")
    kills = 0
    async with day.load(clients=10, writes=("test.add", "", "test.addAndCount", "", "test.add")) as seen:
        with psycopg.connect(day.database.superuser.reveal(), autocommit=True) as operator:
            for turn in range(KILLS):
                kills += await asyncio.to_thread(lambda: operator.execute(statement).rowcount)  # type: ignore[arg-type]
                await asyncio.sleep((0.05, 0.003, 0.2)[turn % 3])
        await day.until_well(seen)
    sys.stderr.write(f"{KILLS} statements ended {kills} back ends; answers: {seen.codes}\n")
    assert set(seen.failed) <= {("test.addAndCount", "SERVICE_UNAVAILABLE")}, seen.failed
    assert len(seen.failed) < KILLS / 50, seen.failed
    day.nothing_lost_or_doubled(seen)


async def test_a_thousand_calls_of_health_at_a_dead_database(day: Day) -> None:
    """All answered, quickly, with at most two new connections between them."""
    limit = 3.0  # the goal is 1.5 s on a quiet machine (docs/soak.md); this one may be under load
    async with day.load(clients=2) as seen:
        await asyncio.to_thread(day.signal, signal.SIGSTOP)
        await day.until_unhealthy(seen)
        begun = connections(day)

        async def ask() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", day.place.port)
            from tests.processes.place import get_request, one_request

            status, _, _ = await one_request(reader, writer, get_request("health.check"))
            writer.close()
            return status

        started_at = time.monotonic()
        answers = await asyncio.gather(*(ask() for _ in range(1000)))
        took = time.monotonic() - started_at
        more = len(connections(day) - begun)
        await asyncio.to_thread(day.signal, signal.SIGCONT)
        await day.until_well(seen)
    print(f"1,000 calls of health answered in {took:.2f} s with {more} new connections")
    assert set(answers) == {503}
    assert took < limit
    # The pool's own search for connections goes on beside it, one at a time with growing pauses.
    assert more <= 2 + int(took), (more, took)


def connections(day: Day) -> set[int]:
    """Local ports of the worker's connections to the database."""
    port = int(day.place.environment["DATABASE_URL"].rpartition(":")[2].partition("/")[0])
    worker = psutil.Process(day.place.workers[0])
    return {c.laddr.port for c in worker.net_connections("tcp") if c.raddr and c.raddr.port == port}
