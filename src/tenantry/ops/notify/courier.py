"""The courier: a short-lived process that has apprise loaded. Lines of JSON in, one line of JSON back for each.

apprise and what it brings take 44 MB that a watcher needs for some seconds a month, so they live here. It begins when a message is
about to leave, and ends when its standard input does: with its watcher, or half a minute after the last message. URLs hold secrets:
they come by the pipe, never by an argument, and standard error is closed to everything that a plugin says.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

MOST_AT_ONCE = 16
LAST_SECONDS = 5.0
"""What is under way when the input ends may still be answered; then the process is gone, whatever hangs in it."""


def main() -> None:
    """Carry messages until the input ends."""
    # The watcher decides: a terminal and PM2 send these to the whole tree.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a plugin prints is no answer
    lock = threading.Lock()

    def answer(line: dict[str, Any]) -> None:
        with lock:
            os.write(answers, json.dumps(line).encode() + b"\n")

    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines hold URLs
    load(apprise)
    answer({})

    def carry(line: bytes) -> None:
        message = json.loads(line)
        try:
            is_taken = give(apprise, message)
        except Exception:  # a plugin may raise anything; its words may hold the URL
            is_taken = False
        answer({"id": message["id"], "taken": is_taken})

    threads = ThreadPoolExecutor(MOST_AT_ONCE)
    under_way: list[Future[None]] = []
    for line in sys.stdin.buffer:
        under_way = [future for future in under_way if not future.done()]
        under_way.append(threads.submit(carry, line))
    wait(under_way, LAST_SECONDS)
    os._exit(0)  # threads that hang would hold an ordinary exit


def load(apprise: Any) -> None:
    """The first URL makes it load all its plugins: half a second, two where the machine is busy, and better now than with a page."""
    apprise.Apprise().add("json://127.0.0.1")


def give(apprise: Any, message: dict[str, Any]) -> bool:
    """Whether the channel took the message."""
    target = apprise.Apprise()
    if not target.add(message["url"]):
        return False
    kind = {"over": apprise.NotifyType.SUCCESS, "critical": apprise.NotifyType.FAILURE}.get(
        message["kind"], apprise.NotifyType.WARNING
    )
    return bool(target.notify(title=message["title"], body=message["body"], notify_type=kind))


if __name__ == "__main__":
    main()
