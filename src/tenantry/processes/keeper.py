"""The keeper: holds the listening socket over restarts, so that a client waits a moment instead of being refused.

Run as a script by its path (`python -I -S keeper.py`), with the standard library alone: some 9 MB that live for months.
It is nobody's child (a double fork), in a session of its own, without terminal and without PM2's pipe: PM2 ends a whole
tree of processes, and this one must outlive it. A supervisor connects to its Unix socket, proves to be of the same
account, and is handed the listening socket (SCM_RIGHTS); as long as that connection is open the socket has an owner.
Without an owner the keeper waits `hold` seconds for the next one and then ends: clients are refused again, instead of
waiting for a server that nobody will start.

Lines to it: `take` hands the socket on, `look` only answers, `end` ends it. Each answer is one line of JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time

_LOOK_SECONDS = 2.0
_MOST_CALLERS = 64


def peer_uid(connection: socket.socket) -> int:
    """The account at the other end of a Unix socket, as the kernel tells it."""
    if hasattr(socket, "SO_PEERCRED"):
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", raw)[1])
    # macOS and the BSDs: struct xucred {unsigned version; uid_t uid; …} of LOCAL_PEERCRED (1) at SOL_LOCAL (0).
    return int(struct.unpack_from("2I", connection.getsockopt(0, 1, 76))[1])


class Keeper:
    """One listening socket, and who may have it."""

    def __init__(self, listener: socket.socket, path: str, hold_seconds: float) -> None:
        self.listener = listener
        self.path = path
        self.hold_seconds = hold_seconds
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.selector = selectors.DefaultSelector()
        self.owners: set[socket.socket] = set()
        self.callers: set[socket.socket] = set()
        self.orphaned_at = time.monotonic()
        self.is_ending = False

    def open(self) -> None:
        """Make the Unix socket; what a dead keeper left there goes."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # noqa: PTH108 - pathlib would be a third of this process's memory
        self.door.bind(self.path)
        os.chmod(self.path, 0o600)  # noqa: PTH101 - see above
        self.inode = os.stat(self.path).st_ino  # noqa: PTH116 - see above
        self.door.listen(16)
        self.door.setblocking(False)
        self.selector.register(self.door, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until told to end, orphaned for too long, or cut off from the run directory."""
        while not self.is_ending and not self._is_forsaken():
            for key, _ in self.selector.select(_LOOK_SECONDS):
                if key.fileobj is self.door:
                    self._accept()
                else:
                    self._hear(key.fileobj)  # pyright: ignore[reportArgumentType] - only sockets are registered
        if self._is_mine():
            os.unlink(self.path)  # noqa: PTH108 - see above

    def _is_forsaken(self) -> bool:
        if not self._is_mine():
            return True  # the folder was removed: nobody can ever ask for the socket again
        return not self.owners and time.monotonic() - self.orphaned_at > self.hold_seconds

    def _is_mine(self) -> bool:
        try:
            return os.stat(self.path).st_ino == self.inode  # noqa: PTH116 - see above
        except OSError:
            return False

    def _accept(self) -> None:
        try:
            caller, _ = self.door.accept()
        except OSError:
            return
        if peer_uid(caller) not in (os.geteuid(), 0) or len(self.callers) >= _MOST_CALLERS:
            caller.close()
            return
        caller.setblocking(False)
        self.callers.add(caller)
        self.selector.register(caller, selectors.EVENT_READ)

    def _hear(self, caller: socket.socket) -> None:
        try:
            line = caller.recv(256)
        except BlockingIOError:
            return
        except OSError:
            line = b""
        if not line:
            self._forget(caller)
            return
        answer = json.dumps({"pid": os.getpid(), "hold": self.hold_seconds}).encode() + b"\n"
        try:
            if line.strip() == b"take":
                socket.send_fds(caller, [answer], [self.listener.fileno()])
                self.owners.add(caller)
                return
            if line.strip() == b"end":
                self.is_ending = True
            caller.send(answer)
        except OSError:
            self._forget(caller)

    def _forget(self, caller: socket.socket) -> None:
        self.selector.unregister(caller)
        self.callers.discard(caller)
        caller.close()
        if caller in self.owners:
            self.owners.discard(caller)
            if not self.owners:
                self.orphaned_at = time.monotonic()


def main(arguments: list[str]) -> None:
    """Arguments: lock file, socket's path, descriptor of the listener, seconds to hold, descriptor to say "ready" on."""
    lock, path, listener, hold, ready = arguments
    if os.fork():
        os._exit(0)
    if os.getsid(0) != os.getpid():
        with contextlib.suppress(OSError):
            os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os._exit(1)  # another keeper of this home lives
    keeper = Keeper(socket.socket(fileno=int(listener)), path, float(hold))
    keeper.open()
    os.write(int(ready), b"ready\n")
    os.close(int(ready))
    keeper.run()


if __name__ == "__main__":
    main(sys.argv[1:])
