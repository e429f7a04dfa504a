"""An operator enters a tenant for a moment, as the tenant's senior member: sealed, and with a line in the tenant's trail."""

from __future__ import annotations

import getpass
import json
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct

from tenantry.errors import StartError
from tenantry.settings import DatabaseUrl

LIVES = "1 hour"
"""It only has to be alive when the transaction enters; it is ended by hand."""


class VisitRefused(StartError):
    """An operator could not enter a tenant."""

    code = "VISIT_REFUSED"
    says = "Tenant {tenant} cannot be entered: {why}."
    remedy = "Name one that has a member, by slug or id. It needs the login that migrates (DATABASE_ADMIN_URL)."


class Visit(Struct, frozen=True):
    """What `tenantry.enter` takes, and where it leads."""

    token: bytes
    tenant_id: str
    slug: str


@contextmanager
def visiting(
    admin: DatabaseUrl,
    auth: DatabaseUrl,
    tenant: str,
    action: Literal["operator_plan", "operator_export"],
    **detail: object,
) -> Generator[Visit]:
    """A session of the tenant's senior member, ended afterwards. Raises VisitRefused."""
    import psycopg

    token = secrets.token_urlsafe(32).encode()
    words = json.dumps({"by": getpass.getuser(), **detail})
    with psycopg.connect(admin.reveal(), cursor_factory=psycopg.RawCursor) as connection:
        try:
            row = connection.execute(
                "select tenant_id::text, slug from tenantry.visit_tenant($1, $2, $3, $4, $5::interval)",
                (token, tenant, action, words, LIVES),
            ).fetchone()
        except psycopg.Error as error:
            why = error.diag.message_primary or "it was refused"
            raise VisitRefused(tenant=repr(tenant[:70]), why=why) from None
    assert row is not None  # a function's answer
    try:
        yield Visit(token, row[0], row[1])
    finally:
        with psycopg.connect(auth.reveal(), cursor_factory=psycopg.RawCursor) as connection:
            connection.execute("select tenantry.sign_out($1, '{}')", (token,))
