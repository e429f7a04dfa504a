"""The four processes of `tenantry serve`: keeper, supervisor, workers, watcher.

| process | does | ends when |
| --- | --- | --- |
| keeper | holds the listening socket over restarts | orphaned, the port changes, `tenantry stop` |
| supervisor | starts, replaces and drains the others | SIGINT, SIGTERM |
| worker x N | the requests | drained, over its limit, dead |
| watcher | looks from the side each tick | with the supervisor |

Under a stock ASGI server none of this is there: one process, the application. Files: `serving.py` is the order of things,
`supervisor.py` the life of the others, `child.py` one of them from outside, `inside.py` from within.
"""

from __future__ import annotations

from tenantry.processes.application import AppNotFound, load
from tenantry.processes.control import NotServing, reload, restart, status, stop
from tenantry.processes.serving import serve

__all__ = ["AppNotFound", "NotServing", "load", "reload", "restart", "serve", "status", "stop"]
