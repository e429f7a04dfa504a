"""PostgreSQL: the wire (connection, pool), the statements on it (session, plan), and our own server (embedded).

What handlers use is `Session` and `sql`; what dispatch uses is `Pool`, `Entry`, `Session.submit`. Nothing here knows of HTTP.
"""

from __future__ import annotations

from tenantry.db.connect import NotConnected, connect
from tenantry.db.failures import error_of
from tenantry.db.outbox import Outlet
from tenantry.db.pool import Pool, PoolStats
from tenantry.db.session import Session, Transaction
from tenantry.db.shares import Limits, Noisy
from tenantry.db.sql import Sql, changes, sql
from tenantry.db.statement import Statement
from tenantry.db.trip import Entry, Outcome, Query, Shape, Trip, WireError, WireFailure

__all__ = [
    "Entry", "Limits", "Noisy", "NotConnected", "Outcome", "Outlet", "Pool", "PoolStats", "Query", "Session", "Shape", "Sql", "Statement",
    "Transaction", "Trip", "WireError", "WireFailure", "changes", "connect", "error_of", "sql",
]  # fmt: skip
