"""Tenancy: how PostgreSQL keeps tenants apart (`sql/`), the proof that it does, and the procedures on a tenant's people.

Each name is loaded when it is first asked for: the watcher needs the proof, and not the procedures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.lazy import names_from

if TYPE_CHECKING:
    from tenantry.tenancy.migrations import REPAIRS, builtin_migrations, harden
    from tenantry.tenancy.procedures import tenants_router, users_router
    from tenantry.tenancy.verify import holes

_HOMES = {
    "REPAIRS": "tenantry.tenancy.migrations",
    "builtin_migrations": "tenantry.tenancy.migrations",
    "harden": "tenantry.tenancy.migrations",
    "tenants_router": "tenantry.tenancy.procedures",
    "users_router": "tenantry.tenancy.procedures",
    "holes": "tenantry.tenancy.verify",
}
__all__ = ["REPAIRS", "builtin_migrations", "harden", "holes", "tenants_router", "users_router"]

__getattr__ = names_from(__name__, _HOMES)
