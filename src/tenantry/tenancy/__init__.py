"""Tenancy: how PostgreSQL keeps tenants apart (`sql/`), the proof that it does, and the procedures on a tenant's people."""

from __future__ import annotations

from tenantry.tenancy.migrations import REPAIRS, builtin_migrations, harden
from tenantry.tenancy.procedures import tenants_router, users_router
from tenantry.tenancy.verify import holes

__all__ = ["REPAIRS", "builtin_migrations", "harden", "holes", "tenants_router", "users_router"]
