"""A look into a running worker: what its memory holds, where its time goes, which statements it knows.

Each worker has a door, a Unix socket that its own account alone may open (`door`); a command knocks (`knock`). What goes through it are
names of types, counts, sizes, places in files, constant texts of SQL: never a value of an object.
"""

from __future__ import annotations

from tenantry.ops.inspect.door import Door
from tenantry.ops.inspect.knock import InspectFailed, Worker, ask, workers

__all__ = ["Door", "InspectFailed", "Worker", "ask", "workers"]
