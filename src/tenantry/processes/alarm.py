"""The watcher's alarm: what it sees itself and what all processes count, judged each tick, and people told.

The rules, incidents and channels are `ops.watch`; here they get their samples. The watcher's own look comes first in each, so that
what is judged is what was true a moment ago, whatever the workers do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tenantry.ops.alerts import Series
from tenantry.ops.metrics import Slots
from tenantry.ops.sample import Sampler
from tenantry.ops.watch import Watch
from tenantry.processes.isolation import Isolation
from tenantry.processes.probe import Probe
from tenantry.settings import Settings
from tenantry.signals import Signals


async def alarm(settings: Settings, ended: asyncio.Event) -> None:
    """Watch until the end."""
    slots = Slots(settings.home / "run")
    signals = Signals({}, slots.claim())
    probe = Probe(settings, signals)
    isolation = Isolation(settings)
    sampler = Sampler(Slots(settings.home / "run"))

    async def sample() -> Mapping[Series, float | None]:
        await probe.look()
        isolation.tick()
        watch.breach([*probe.breaches, *isolation.breaches])
        return await sampler()

    watch = Watch(settings, sample, tick_seconds=float(settings.tick), signals=signals)
    try:
        await watch.run(ended)
    finally:
        isolation.close()
        probe.close()
        slots.close()
