"""What the tests of an application import: tenants, people who call procedures typed, and an HTTP client.

The pytest plugin (installed with Tenantry) gives the fixture `tenants`: a database of its own for each test, made from a template that
has every migration. Real PostgreSQL, real commits, the real way of a request: what passes here is what a client would get.
"""

from __future__ import annotations

from tenantry.testing.calling import CallFailed
from tenantry.testing.people import Person, Tenant, Tenants

__all__ = ["CallFailed", "Person", "Tenant", "Tenants"]
