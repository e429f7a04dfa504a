"""The memory check: how far from the limit at which the process would be ended?"""

from __future__ import annotations

import os
from pathlib import Path

from tenantry.ops.health.check import Check

FULL = 0.8
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit() -> int:
    """Bytes: the least of the machine's memory and the control group's limit (version 2, then 1)."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        try:
            limit = min(limit, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such group, or the word "max"
            continue
    return limit


def resident_bytes() -> int:
    """Bytes of memory that this process has in use; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def check_memory(resident: int, limit: int) -> Check:
    """Degraded above 80 % of the limit; never down: a process over its limit is ended, not asked."""
    ratio = resident / limit
    details = {"ratio": round(ratio, 4), "residentBytes": resident, "limitBytes": limit}
    return Check("degraded" if ratio > FULL else "up", f"{ratio:.0%} of the memory limit is in use", 0.0, details)
