"""What the tests of an application import: tenants, people who call procedures typed, rows, a clock, the mails, an HTTP client.

The pytest plugin (installed with Tenantry) gives the fixtures `tenants`, `clock` and `outbox`. Real PostgreSQL, real commits, the real way
of a request: what passes here is what a client would get. What a test left is taken away after it.
"""

from __future__ import annotations

from tenantry.testing.calling import CallFailed
from tenantry.testing.clock import Clock
from tenantry.testing.outbox import Outbox, SentMail
from tenantry.testing.people import Caller, Person, Tenant, Tenants

__all__ = ["CallFailed", "Caller", "Clock", "Outbox", "Person", "SentMail", "Tenant", "Tenants"]
