"""What a process is given by whoever started it: standard output and error that may fail, and a limit of descriptors."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

MOST_DESCRIPTORS = 65_536
"""Enough for every client that the listening queue and the memory limit let in."""


class Lossy(io.FileIO):
    """A descriptor whose reader may have gone, or whose disk may be full: what it does not take is lost, and nothing fails by it.

    A line of progress is no reason for a start, a restart or a handler's `print` to fail.
    """

    def write(self, data: Buffer, /) -> int:
        """Write, or lose it."""
        size = memoryview(data).nbytes
        try:
            # None of a descriptor that does not wait and is full.
            return super().write(data) or size
        except OSError:
            return size


def soften() -> None:
    """Standard output and error of this process: by the line, and never an exception. Not where they are replaced already."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        try:
            if stream is None or stream.fileno() != descriptor:
                continue
        except (OSError, ValueError):
            continue
        with contextlib.suppress(OSError):
            stream.flush()
        raw = io.BufferedWriter(Lossy(descriptor, "w", closefd=False))
        setattr(
            sys, name, io.TextIOWrapper(raw, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)
        )


def raise_descriptors() -> None:
    """As many descriptors as the system lets us have: the usual 1,024 are used up by a thousand idle clients. Children inherit it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
