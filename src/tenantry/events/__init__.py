"""Events: what was published and committed, to everyone in the tenant who subscribes, in one order, without gap or repeat.

`db` writes them (`ctx.publish`, in the mutation's transaction); this room reads them and fans them out: `Hub` is one worker's
part in it. Why it is built so: `docs/explanation/events.md`.
"""

from __future__ import annotations

from tenantry.events.hub import Hub

__all__ = ["Hub"]
