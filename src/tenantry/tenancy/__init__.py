"""Tenancy: how PostgreSQL keeps tenants apart (`sql/`), the proof that it does, and the procedures on a tenant's people."""

from __future__ import annotations

from tenantry.tenancy.migrations import REPAIRS, builtin_migrations
from tenantry.tenancy.procedures import tenants_router, users_router

__all__ = ["REPAIRS", "builtin_migrations", "tenants_router", "users_router"]
