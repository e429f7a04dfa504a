"""The network between API and database, broken by the proxy."""

from __future__ import annotations

from tenantry.drills.faults.signs import OUTAGE, is_down, is_worse
from tenantry.drills.model import Do, Drill
from tenantry.drills.stage import Stage


def _mode(mode: str) -> Do:
    async def put(stage: Stage) -> None:
        assert stage.proxy is not None
        stage.proxy.mode = mode

    return put


_PASS = _mode("pass")
DRILLS = (
    Drill(5, "network-silent", "packets vanish both ways", _mode("blackhole"), _PASS, is_down, OUTAGE, pages=True,
          causes=("server-no-reply", "server-silent"), variant="proxied"),
    Drill(6, "network-reset", "every connection is reset", _mode("reset"), _PASS, is_down, OUTAGE, pages=True,
          causes=("server-cut-off",), variant="proxied"),
    Drill(7, "network-half", "requests arrive, replies do not", _mode("half"), _PASS, is_down, OUTAGE, pages=True,
          causes=("server-no-reply", "server-silent"), variant="proxied"),
    Drill(8, "network-slow", "120 ms each way", _mode("delay:120"), _PASS, is_worse, {"DatabaseSlow": 75.0, "HealthDegraded": 45.0},
          causes=("network-slow",), variant="proxied"),
)  # fmt: skip
