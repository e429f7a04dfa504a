"""What PM2 and systemd are told: ready, reloading, stopping. A few lines each, for which no library is worth its weight.

PM2 gives its child a pipe to Node's IPC, whose number is in NODE_CHANNEL_FD: a line of JSON is a message, `"ready"` what
`wait_ready` waits for. systemd names a datagram socket in NOTIFY_SOCKET (sd_notify(3)). Children must see neither.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_OURS = ("NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
         "LISTEN_PID", "LISTEN_FDNAMES")  # fmt: skip


def children_environment() -> dict[str, str]:
    """The environment without what is meant for the supervisor alone."""
    return {name: value for name, value in os.environ.items() if name not in _OURS}


def memory_limit(environ: Mapping[str, str] = os.environ) -> int:
    """PM2's `max_memory_restart` in bytes, or 0: PM2 looks at its own child only, so the supervisor looks at the workers."""
    text = environ.get("max_memory_restart", "").strip()
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper(), 1)
    digits = text if factor == 1 else text[:-1]
    return int(digits) * factor if digits.isdigit() else 0


def say_ready() -> None:
    """Requests are answered now."""
    descriptor = os.environ.get("NODE_CHANNEL_FD", "")
    if descriptor.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(descriptor), b'"ready"\n')
    notify("READY=1")


def say_reloading() -> None:
    """The workers are replaced; `say_ready` follows."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def say_stopping() -> None:
    """No new requests; what is under way is finished."""
    notify("STOPPING=1")


def notify(state: str) -> None:
    """One datagram to systemd, if it is there to hear it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # a manager that does not read must not hold us up
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.send(state.encode())
