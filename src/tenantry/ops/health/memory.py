"""The memory check: how far from the limit at which the process would be ended?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tenantry.ops.health.check import Check
from tenantry.ops.health.figures import Memory

FULL = 0.8
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_limit(set_bytes: int = 0) -> int:
    """Bytes: the least of what was set (0 is nothing), the control group's limit (version 2, then 1), and the machine's."""
    limit = _PAGE * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        try:
            limit = min(limit, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such group, or the word "max"
            continue
    return min(limit, set_bytes) if set_bytes else limit


def memory_bytes() -> tuple[int, int]:
    """Bytes of memory that this process has in use, and of its address space; 0 where the system does not tell."""
    try:
        virtual, resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
    except (OSError, ValueError):
        return 0, 0
    return int(resident) * _PAGE, int(virtual) * _PAGE


def resident_bytes() -> int:
    """Bytes of memory that this process has in use."""
    return memory_bytes()[0]


def check_memory(processes: Sequence[Memory]) -> Check:
    """Degraded above 80 % of the limit; never down: a process over its limit is ended, not asked."""
    if not processes:
        return Check("up", "No process has told its size yet")
    largest = max(processes, key=lambda process: process.resident / process.limit)
    ratio = largest.resident / largest.limit
    details = {"ratio": round(ratio, 4), "residentBytes": largest.resident, "limitBytes": largest.limit}
    return Check("degraded" if ratio > FULL else "up", f"{ratio:.0%} of the memory limit is in use", 0.0, details)
