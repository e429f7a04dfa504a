"""The embedded PostgreSQL: a server of one's own under TENANTRY_HOME, for those who give no DATABASE_URL.

`Embedded(home).ensure()` answers with URLs; it makes the data, starts the server, or finds it running. The server is a
daemon: it outlives the command that started it, and `tenantry db stop` ends it. `server.py` is the whole way;
`account.py` says as whom it runs, `binaries.py` with which programs, `folders.py` where, `postmaster.py` how a process
is started, found and ended. Synchronous code: commands call it before any event loop runs.
"""

from __future__ import annotations

from tenantry.db.embedded.binaries import client_programs
from tenantry.db.embedded.inside import LOGINS
from tenantry.db.embedded.server import Embedded, Status

__all__ = ["LOGINS", "Embedded", "Status", "client_programs"]
