"""The runbook's `pm2` commands, as written, with the real PM2: what it promises beside them happens."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Database
from tests.processes.place import Place, get_request, placed, under_load

PM2 = Path(__file__).parent.parent / "pm2" / "node_modules" / ".bin" / "pm2"
pytestmark = pytest.mark.skipif(not PM2.exists(), reason="PM2 is not here: scripts/test-needs.sh")


class Pm2:
    """A PM2 of its own, with its daemon and logs in a folder of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.home = tempfile.mkdtemp(prefix="pm2-")
        self.environment = {**place.environment, "PM2_HOME": self.home, "PM2_DISCRETE_MODE": "true"}

    def __call__(self, line: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", line.replace("pm2 ", f"'{PM2}' ", 1)], cwd=self.place.folder, env=self.environment, capture_output=True,
            text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def app(self) -> dict[str, Any]:
        lines = self("pm2 jlist").splitlines()
        return json.loads(next(line for line in lines if line.startswith("[")))[0]


@pytest.fixture
def pm2(database: Database) -> Iterator[Pm2]:
    with placed(database) as place:
        made = Pm2(place)
        try:
            yield made
        finally:
            made("pm2 kill")


async def test_every_command_of_the_runbook_works_as_written(pm2: Pm2) -> None:
    place = pm2.place
    assert place.command("pm2", "init", "served:app", "--workers", "1").returncode == 0
    started = time.monotonic()
    pm2("pm2 start ecosystem.config.js")
    assert time.monotonic() - started < 60
    assert place.status()["state"] == "ready"  # wait_ready: PM2 returns when requests are answered
    first = pm2.app()
    assert (first["name"], first["pm2_env"]["status"], first["pid"]) == (
        "platform-api",
        "online",
        place.status()["pid"],
    )
    assert "platform-api" in pm2("pm2 list")
    assert "Heap" in pm2('pm2 logs platform-api --lines 100 --nostream | grep "Heap"')

    async with under_load(place.port, get_request("test.ping"), clients=12) as load:
        for command in ("pm2 restart platform-api", "pm2 reload platform-api"):
            await asyncio.to_thread(pm2, command)
            assert place.status()["state"] == "ready"
        before = set(place.workers)
        await asyncio.to_thread(pm2, "pm2 sendSignal SIGHUP platform-api")
        await asyncio.to_thread(place.until, lambda: len(place.workers) == 1 and not before & set(place.workers))
    assert load.failures == []
    assert load.answers.keys() == {200}
    assert pm2.app()["pm2_env"]["restart_time"] == 2
    assert pm2.app()["pid"] != first["pid"]

    pm2("pm2 restart platform-api --max-memory-restart 150M")
    before = set(place.workers)
    place.get("test.grow", {"megabytes": 150})
    place.until(lambda: len(place.workers) == 1 and not before & set(place.workers))
    assert place.get("test.ping")["result"]["data"] == "pong"

    # `pm2 monit` is a screen for a person: that it starts is all that can be asked of it here.
    seen = subprocess.run(
        ["timeout", "3", PM2, "monit"],
        env={**pm2.environment, "TERM": "xterm"},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert seen.returncode in (0, 124)

    pid = pm2.app()["pid"]
    os.kill(pid, 9)
    place.until(lambda: place.status().get("state") == "ready" and place.status()["pid"] != pid)
    assert place.get("test.ping")["result"]["data"] == "pong"


def test_a_start_that_fails_is_an_errored_app_with_its_words_in_the_log(pm2: Pm2) -> None:
    place = pm2.place
    assert place.command("pm2", "init", "served:app").returncode == 0
    (place.folder / "served.py").write_text("raise RuntimeError('not today')\n")
    text = (place.folder / "ecosystem.config.js").read_text()
    (place.folder / "ecosystem.config.js").write_text(text.replace('"listen_timeout": 10000', '"listen_timeout": 2000'))
    pm2("pm2 start ecosystem.config.js || true")
    until = time.monotonic() + 30
    while pm2.app()["pm2_env"]["restart_time"] < 1:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert "not today" in pm2("pm2 logs platform-api --lines 100 --nostream")
