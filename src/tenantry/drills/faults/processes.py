"""Our own processes, settings and channels: a worker and the watcher killed, the watcher stopped, a secret written twice, a deaf channel."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from tenantry.drills.faults.isolation import drop_policy, push
from tenantry.drills.faults.requests import workers
from tenantry.drills.faults.signs import UNSOUND, is_unsound
from tenantry.drills.model import Drill
from tenantry.drills.stage import Stage

SILENT_BEATS = 3
"""Heartbeats that do not come: five minutes at the usual tick, for whoever watches outside."""


def _watcher(stage: Stage) -> int | None:
    pid = stage.processes().get("watcher")
    return int(pid) if pid else None


async def _kill(stage: Stage) -> None:
    watcher = _watcher(stage)
    stage.marks["watcher"] = watcher or 0
    for pid in [*workers(stage), *([watcher] if watcher else [])]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_replaced(stage: Stage) -> bool:
    watcher = _watcher(stage)
    return bool(workers(stage)) and watcher is not None and watcher != stage.marks.get("watcher")


async def _stop_watcher(stage: Stage) -> None:
    watcher = _watcher(stage)
    if watcher:
        os.kill(watcher, signal.SIGSTOP)
        stage.held.append(watcher)


def _beats_no_more(stage: Stage) -> bool:
    last = stage.sink.last("heartbeat") or stage.injected_at
    return time.monotonic() - last > SILENT_BEATS * 60.0 * stage.tick / 15.0


async def _double(stage: Stage) -> None:
    """As the older runbook does it: `echo "AUTH_SECRET=…" >> .env`."""
    stage.write_dotenv("AUTH_SECRET=second-of-two-lines-that-differ-00000")


async def _single(stage: Stage) -> None:
    stage.write_dotenv()


async def _deaf(stage: Stage) -> None:
    stage.sink.broken.add("page")
    await drop_policy(stage)


async def _hear(stage: Stage) -> None:
    stage.sink.broken.clear()
    await push(stage)


async def _release(stage: Stage) -> None:
    await stage.release()


def _second_got_it(stage: Stage) -> bool:
    return stage.sink.first("second", stage.injected_at) is not None


DRILLS = (
    Drill(26, "secret-doubled", "AUTH_SECRET stands twice in .env", _double, _single, None, quiet=("HighErrorRate",),
          causes=("auth-secret-doubled", "setting-doubled"), spares_others=True, wait_seconds=2.0),
    Drill(31, "channel-deaf", "the first pager answers 500 while a policy is missing", _deaf, _hear, is_unsound, UNSOUND,
          causes=("policy-missing",), symptom=_second_got_it),
    Drill(32, "processes-killed", "kill -9 of the worker and of the watcher", _kill, _release, None, symptom=_is_replaced, heals_alone=True, wait_seconds=4.0),
    Drill(33, "watcher-stopped", "SIGSTOP to the watcher: the heartbeat ends", _stop_watcher, _release, None, symptom=_beats_no_more,
          causes=("watcher-silent",), spares_others=True),
)  # fmt: skip
