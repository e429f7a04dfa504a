"""Tenancy: how PostgreSQL keeps tenants apart (`sql/`), the proof that it does, and the procedures on a tenant's people.

Each name is loaded when it is first asked for: the watcher needs the proof, and not the procedures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(import_module(home), name)
    return value
