"""A process that counts in a run directory until it is killed: `counter.py FOLDER CALLS`. Says "ready" when all is counted."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tenantry.ops.metrics import Slots
from tenantry.signals import Signals

slots = Slots(Path(sys.argv[1]))
signals = Signals({"users.get": "query", f"own.p{sys.argv[2]}": "mutation"}, slots.claim())
signals.set("db_connections_active", 2)
signals.set("db_pool_utilization_ratio", int(sys.argv[2]) / 1000)
for number in range(int(sys.argv[2])):
    signals.request("users.get", number / 100, "TIMEOUT" if number % 2 else None)
    signals.error("db", f"C{number % 3}")
sys.stdout.write("ready\n")
sys.stdout.flush()
time.sleep(600)
