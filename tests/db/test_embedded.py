"""Our own server: made, found again after any crash, and never in anybody's way."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tenantry.db.embedded import Embedded
from tests.conftest import DEBIAN_15, free_port


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tenantry a home "))
    folder.chmod(0o755)
    yield folder / "home"
    own = Embedded(folder / "home")
    place = own.status().data.parent
    own.stop()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)


def value(own: Embedded, text: str) -> object:
    with psycopg.connect(own.superuser_url().reveal(), autocommit=True) as connection:
        row = connection.execute(text).fetchone()  # pyright: ignore[reportArgumentType] - a test's own text
        return row[0] if row else None


def kill(pid: int) -> None:
    """The postmaster and all its children, at once, as a power cut would."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)
    for _ in range(200):
        if not any(
            Path(f"/proc/{one}").exists() and " Z " not in Path(f"/proc/{one}/stat").read_text()
            for one in (pid, *map(int, children))
        ):
            return
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_data_survive_a_kill_of_everything(home: Path) -> None:
    own = Embedded(home, free_port())
    own.ensure()
    with psycopg.connect(own.superuser_url().reveal(), autocommit=True) as connection:
        connection.execute("create table kept as select 7 as n")
    pid = own.status().pid
    assert pid is not None
    kill(pid)
    own.ensure()
    assert own.status().pid != pid
    assert value(own, "select n from kept") == 7


def test_a_second_ensure_finds_the_running_server(home: Path) -> None:
    own = Embedded(home, free_port())
    own.ensure()
    first = own.status()
    Embedded(home).ensure()
    again = Embedded(home).status()
    assert (again.pid, again.port, again.is_running) == (first.pid, first.port, True)


def test_a_stop_and_a_start_keep_port_and_data(home: Path) -> None:
    own = Embedded(home, free_port())
    own.ensure()
    port = own.status().port
    assert own.stop() is True
    assert own.stop() is False
    assert own.status().is_running is False
    own.ensure()
    assert own.status().port == port


def test_two_homes_are_two_servers_and_a_taken_port_is_passed_by(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        first, second = Embedded(home / "a"), Embedded(home / "b")
        try:
            first.ensure()
            second.ensure()
            ports = {first.status().port, second.status().port}
            assert len(ports) == 2
            assert wanted not in ports
        finally:
            for own in (first, second):
                place = own.status().data.parent
                own.stop()
                shutil.rmtree(place, ignore_errors=True)


def test_the_server_is_set_up_for_us(home: Path) -> None:
    own = Embedded(home, free_port())
    own.ensure()
    assert value(own, "select count(*) from pg_stat_statements") is not None
    assert value(own, "show log_parameter_max_length") == "0"
    assert value(own, "show log_min_duration_statement") == "1s"
    assert value(own, "show listen_addresses") == "127.0.0.1"
    assert value(own, "select count(*) from pg_hba_file_rules where auth_method = 'trust'") == 0


@pytest.mark.skipif(not (DEBIAN_15 / "initdb").exists(), reason="Debian's PostgreSQL 15 is not here")
def test_the_systems_own_programs_do_as_well(home: Path) -> None:
    own = Embedded(home, free_port(), programs_in=DEBIAN_15)
    own.ensure()
    assert str(value(own, "show server_version")).startswith("15")


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to run it as somebody else")
def test_as_root_the_server_runs_as_somebody_else(home: Path) -> None:
    own = Embedded(home, free_port())
    own.ensure()
    pid = own.status().pid
    assert Path(f"/proc/{pid}").stat().st_uid != 0
