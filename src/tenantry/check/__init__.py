"""`tenantry check`: an application against its database, without a request. `reading` finds statements, `judging` asks PostgreSQL."""

from __future__ import annotations

from tenantry.check.judging import Finding, Judge
from tenantry.check.middleware import dear_middleware
from tenantry.check.reading import Found, Unseen, Wrong, statements
from tenantry.check.routers import loose_routers

__all__ = ["Finding", "Found", "Judge", "Unseen", "Wrong", "dear_middleware", "loose_routers", "statements"]
