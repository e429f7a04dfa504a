"""What some drills need of the machine: a small disk (a tmpfs, mounted by root), and libfaketime. Each says why it is not to be had."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SMALL = "160m"
"""A fresh cluster and its migrations take half of it."""
_FAKETIME = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)


def faketime() -> Path | None:
    """The library that gives one process another wall clock; None where it is not installed."""
    return next((path for pattern in _FAKETIME for path in Path("/").glob(pattern.lstrip("/"))), None)


def no_faketime() -> str | None:
    """Why there is no other clock here."""
    return None if faketime() is not None else "libfaketime is not installed (Debian: apt-get install libfaketime)"


def mount(folder: Path) -> None:
    """A small disk at a folder. Raises subprocess.CalledProcessError, OSError."""
    _run("mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0755", "tmpfs", str(folder)).check_returncode()


def unmount(folder: Path) -> None:
    """Take it away, also while somebody still looks into it."""
    _run("umount", "-l", str(folder))


def _run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, check=False, capture_output=True)  # noqa: S603 - constants, and a folder made here


@cache
def no_small_disk() -> str | None:
    """Why there is no small disk here: tried, once."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "a small disk is mounted by root, on Linux"
    folder = Path(tempfile.mkdtemp(prefix="tenantry-drill-"))
    try:
        mount(folder)
    except (OSError, subprocess.CalledProcessError):
        return "this machine lets nobody mount a small disk"
    else:
        unmount(folder)
    finally:
        folder.rmdir()
    return None
