"""What supervisor and children say to each other: lines of JSON over a socket pair that ends with either of them.

The end of the line is the news that matters most: a child that reads it has lost its supervisor, however that ended
(`kill -9` too, and on every system: no parent-death signal is needed), and must end as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
MOST_BYTES = 1 << 20
"""A line that is longer is none of ours."""


class Channel:
    """One end, in an event loop. `heard` is called with each message, `ended` once, when the other end is gone."""

    def __init__(self, end: socket.socket, heard: Callable[[Message], None], ended: Callable[[], None]) -> None:
        self._end = end
        self._heard = heard
        self._ended = ended
        self._part = b""
        self._is_open = True
        end.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end.fileno(), self._read)

    def say(self, **message: Any) -> None:
        """Send a message. What the other end is too slow or too dead to take is dropped: it will be ended for that."""
        if self._is_open:
            try:
                self._end.send(json.dumps(message).encode() + b"\n")
            except OSError:
                return

    def close(self) -> None:
        """Hear no more."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._end.fileno())
            self._end.close()

    def _read(self) -> None:
        try:
            piece = self._end.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._part += piece
        if not piece or len(self._part) > MOST_BYTES:
            self.close()
            self._ended()
            return
        *lines, self._part = self._part.split(b"\n")
        for line in lines:
            if self._is_open:
                self._heard(json.loads(line))


def from_argument(text: str) -> socket.socket:
    """The child's end, from the descriptor that its command line names."""
    descriptor = int(text)
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
