"""The worker's side: a Unix socket, a thread that sleeps in `accept`, and one thread a visitor.

Who may come: the account that runs the worker, and root. The folder is 0700, the socket 0600, and the kernel is asked who it is. A visitor
sends one line of JSON, and gets one. At most four are let in; of a kind of work that costs the worker time, one at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenantry.ops.inspect.folder import doors, is_private, pid_of

MOST_VISITORS = 4
MOST_BYTES = 4096
"""A request is a few words."""
WAIT_SECONDS = 5.0
"""How long a visitor may take to say what is wanted, and to take a piece of the answer."""
log = logging.getLogger("tenantry.inspect")
_numbers = itertools.count(1)

Question = dict[str, Any]
Work = Callable[[Question, Callable[[], bool]], dict[str, Any]]
"""Answers a question; the second argument tells whether the visitor has gone. Raises Refused."""


class Refused(Exception):
    """The question cannot be answered, for this reason."""


class Door:
    """Open from `start` to `stop`. `works` by the name of what is wanted."""

    def __init__(self, home: Path, works: dict[str, Work]) -> None:
        self._folder = doors(home)
        self._works = {name: (work, threading.Lock()) for name, work in works.items()}
        self._visitors = threading.BoundedSemaphore(MOST_VISITORS)
        self._socket: socket.socket | None = None
        self._path: Path | None = None

    def start(self) -> None:
        """Listen. Where it cannot, a warning says why, and the worker serves on."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_private(self._folder):
                log.warning("tenantry heap and profile cannot reach this worker: %s is not private", self._folder)
                return
            self._sweep()
            self._listen()
        except OSError as error:
            log.warning(
                "tenantry heap and profile cannot reach this worker: %s", error.strerror or type(error).__name__
            )

    def _sweep(self) -> None:
        """Doors of processes that are gone, however they went."""
        from tenantry.db.embedded.postmaster import is_alive

        for left in self._folder.glob("inspect-*.sock"):
            with contextlib.suppress(OSError, ValueError):
                if not is_alive(pid_of(left)):
                    left.unlink()

    def _listen(self) -> None:
        path = self._folder / f"inspect-{os.getpid()}-{next(_numbers)}.sock"
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(str(path))
            path.chmod(0o600)  # the folder is private already: nobody came between
            made.listen(MOST_VISITORS)
        except OSError:
            made.close()
            raise
        self._socket, self._path = made, path
        threading.Thread(target=self._wait, args=(made,), name="tenantry-door", daemon=True).start()

    def stop(self) -> None:
        """Close it; who is inside gets an answer still."""
        made, self._socket = self._socket, None
        if made is None:
            return
        with contextlib.suppress(OSError):
            made.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        made.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _wait(self, made: socket.socket) -> None:
        while True:
            try:
                visitor, _ = made.accept()
            except OSError:
                return
            if not _may_enter(visitor) or not self._visitors.acquire(blocking=False):
                visitor.close()
                continue
            threading.Thread(target=self._serve, args=(visitor,), name="tenantry-inspect", daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        try:
            with visitor:
                visitor.settimeout(WAIT_SECONDS)
                answer = self._answer(visitor)
                visitor.settimeout(WAIT_SECONDS)
                visitor.sendall(json.dumps(answer).encode() + b"\n")
        except (OSError, ValueError):
            pass  # the visitor has gone, or is none of ours
        except Exception:
            log.exception("looking into this worker failed")
        finally:
            self._visitors.release()

    def _answer(self, visitor: socket.socket) -> dict[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            piece = visitor.recv(MOST_BYTES)
            if not piece or len(line) > MOST_BYTES:
                message = "no question"
                raise ValueError(message)
            line += piece
        question: Question = json.loads(line)
        work, lock = self._works.get(question.get("want", ""), (None, None))
        if work is None or lock is None:
            return {"refused": "this worker does not know that: it runs another version"}
        if not lock.acquire(blocking=False):
            return {"refused": "the same is being done for somebody else; try again when that is over"}
        try:
            return work(question, lambda: _has_gone(visitor))
        except Refused as refused:
            return {"refused": str(refused)}
        finally:
            lock.release()


def _has_gone(visitor: socket.socket) -> bool:
    visitor.setblocking(False)
    try:
        return visitor.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _may_enter(visitor: socket.socket) -> bool:
    """The account of this process, or root; where the kernel does not say who it is, the folder's mode alone decides."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    try:
        _, uid, _ = struct.unpack("3i", visitor.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    except OSError:
        return False
    return uid in (0, os.geteuid())
