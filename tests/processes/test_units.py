"""The files that are written for systemd: systemd itself reads them; and our side of its socket and its notifications."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.processes.place import Place


class Heard:
    """The socket of NOTIFY_SOCKET, read all the time as systemd does."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while word := self._socket.recv(200):
            self.said.append(word.decode())

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_no_fault_in_the_units(place: Place) -> None:
    done = place.command("systemd", "init", "served:app", "--to", str(place.folder / "units"))
    assert done.returncode == 0, done.stderr
    (place.folder / "home").mkdir(exist_ok=True)
    units = sorted((place.folder / "units").iterdir())
    assert [u.name for u in units] == ["platform-api.service", "platform-api.socket"]
    seen = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False
    )
    ours = [line for line in (seen.stdout + seen.stderr).splitlines() if "platform-api" in line]
    assert ours == []
    assert seen.returncode == 0, seen.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_paths_may_have_spaces_and_percent_signs(tmp_path: Path) -> None:
    from tenantry.processes.units import Served, service_unit

    folder = tmp_path / "all 100% mine"
    program = folder / "bin" / "tenantry"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "odd-paths.service"
    text = service_unit(
        Served(program=program, app="served:app", folder=folder, home=folder, port=3001, workers=1, account="root")
    )
    unit.write_text(text.replace("Requires=platform-api.socket\n", ""))
    seen = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert [line for line in (seen.stdout + seen.stderr).splitlines() if "odd-paths" in line] == []


def test_files_that_are_there_and_differ_stay(place: Place) -> None:
    assert place.command("pm2", "init", "served:app").returncode == 0
    config = place.folder / "ecosystem.config.js"
    config.write_text(config.read_text() + "// mine\n")
    refused = place.command("pm2", "init", "served:app")
    assert refused.returncode == 1
    assert "FILE_THERE" in refused.stderr
    assert config.read_text().endswith("// mine\n")
    assert place.command("pm2", "init", "served:app", "--force").returncode == 0


def test_a_socket_and_a_notification_as_systemd_gives_and_hears_them(place: Place) -> None:
    heard = Heard(place.folder / "notify")
    listener = socket.create_server(("127.0.0.1", 0))
    # What systemd does: descriptor 3, and the pid of the process that execs.
    code = (
        "import os,sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); os.environ['LISTEN_PID']=str(os.getpid());"
        "os.environ['LISTEN_FDS']='1'; os.execv(sys.executable, [sys.executable, '-m', 'tenantry.cli.main', 'serve'])"
    )
    environment = {**place.environment, "NOTIFY_SOCKET": str(place.folder / "notify"), "WATCHDOG_USEC": "1000000"}
    with place.log.open("ab") as log:
        served = subprocess.Popen(
            [sys.executable, "-c", code, str(listener.fileno())], pass_fds=[listener.fileno()], cwd=place.folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    place.served = served
    port = listener.getsockname()[1]
    listener.close()
    try:
        place.until(lambda: "READY=1" in heard.said)
        place.port = port
        assert place.get("test.ping")["result"]["data"] == "pong"
        assert place.status()["keeper"] is None
        place.until(lambda: "WATCHDOG=1" in heard.said)
        assert place.command("restart").returncode == 0
        place.until(lambda: heard.said.count("READY=1") == 2)
        assert place.get("test.ping")["result"]["data"] == "pong"
        assert place.command("reload").returncode == 0
        place.until(lambda: heard.said.count("READY=1") == 3)
        assert any(word.startswith("RELOADING=1\nMONOTONIC_USEC=") for word in heard.said)
        os.kill(served.pid, 15)
        assert served.wait(20) == 0
        place.until(lambda: "STOPPING=1" in heard.said)
    finally:
        heard.close()


def test_children_do_not_see_what_is_the_supervisors(place: Place) -> None:
    place.serve(NODE_CHANNEL_FD="99", NOTIFY_SOCKET="/nowhere")
    if Path("/proc").exists():
        seen = Path(f"/proc/{place.workers[0]}/environ").read_text()
        assert "NODE_CHANNEL_FD" not in seen
        assert "NOTIFY_SOCKET" not in seen
