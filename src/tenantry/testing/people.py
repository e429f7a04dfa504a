"""Tenants and people of one test: made by an administrator's connection, as sign-up would make them; they act by their sessions."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, LiteralString, ParamSpec, TypeVar
from uuid import UUID

from tenantry.errors import NotFound
from tenantry.testing.calling import body_of, call, ids_in

if TYPE_CHECKING:
    import httpx

    from tenantry.app import Tenantry
    from tenantry.identity import Role
    from tenantry.rpc import Procedure
    from tenantry.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_KEYED = """
select c.oid::regclass::text
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
 where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p') and a.attname = 'id'
   and a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
   and exists (select from pg_catalog.pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id')
"""


class Tenants:
    """The fixture: `acme = await tenants.new("acme")`."""

    def __init__(self, app: Tenantry[Any], settings: Settings, admin: Any) -> None:
        """`admin` is a connection that may see every tenant; handlers never have it."""
        self.app = app
        self.settings = settings
        self.admin = admin

    async def new(self, slug: str) -> Tenant:
        """A tenant of that slug."""
        return Tenant(self, slug, self.value("select tenantry.create_tenant($1, $2)", slug, slug.title()))

    def value(self, text: LiteralString, *values: object) -> Any:
        """The first column of the first row, as an administrator who sees all tenants: for what a test wants to know."""
        row = self.admin.execute(text, values).fetchone()
        return None if row is None else row[0]

    def tenant_with(self, ids: list[UUID]) -> str | None:
        """The slug of a tenant that has a row of one of these ids."""
        for (table,) in self.admin.execute(_KEYED).fetchall():
            found = self.admin.execute(
                f"select n.slug from {table} t join tenantry.tenants n on n.id = t.tenant_id where t.id = any($1)",
                (ids,),
            ).fetchone()
            if found is not None:
                return str(found[0])
        return None


class Tenant:
    """One tenant."""

    def __init__(self, tenants: Tenants, slug: str, id: UUID) -> None:  # noqa: A002 - the tenant's
        self.tenants = tenants
        self.slug = slug
        self.id = id
        self._numbers = itertools.count(1)

    async def person(self, role: Role = "member", *, email: str | None = None, name: str | None = None) -> Person:
        """A member with a live session."""
        email = email or f"{role}{next(self._numbers)}@{self.slug}.example"
        tenants = self.tenants
        user = tenants.value(
            "select tenantry.add_member($1, $2, $3, $4)", self.id, email, name or email.partition("@")[0].title(), role
        )
        token = secrets.token_urlsafe(32)
        tenants.value("select tenantry.create_session($1, $2, $3, interval '1 day')", token.encode(), email, self.id)
        return Person(self, user, email, token)


class Person:
    """A member of a tenant, signed in to it."""

    def __init__(self, tenant: Tenant, user_id: UUID, email: str, token: str) -> None:
        self.tenant = tenant
        self.user_id = user_id
        self.email = email
        self.token = token

    async def call(self, procedure: Procedure[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a procedure as this person, in this process, typed from its handler. Raises what a client would be told.

        NotFound says so where the row is there, and another tenant's. Raises CallFailed for what a client hears as an internal error.
        """
        tenants = self.tenant.tenants
        body = body_of(procedure, args, kwargs)
        try:
            return await call(tenants.app, tenants.settings.base_path, procedure, self.token, body)
        except NotFound as error:
            ids = ids_in([*args, *kwargs.values()])
            other = tenants.tenant_with(ids) if ids else None
            if other is not None and other != self.tenant.slug:
                error.add_note(
                    f"The row exists, in tenant {other}; you called as {self.email}, in {self.tenant.slug}."
                    " If that was the point, this test passes with pytest.raises(NotFound)."
                )
            raise

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[httpx.AsyncClient]:
        """An HTTP client over a real socket, signed in as this person, at the API's base path: `await http.get("notes.recent")`."""
        import httpx

        from tenantry.http import HttpLimits, NativeServer
        from tenantry.processes.listener import bind_where_free

        tenants = self.tenant.tenants
        listener = bind_where_free("127.0.0.1", [0])
        listener.setblocking(False)
        server = NativeServer(tenants.app.handler, HttpLimits())
        await server.start([listener])
        base = f"http://127.0.0.1:{listener.getsockname()[1]}{tenants.settings.base_path}/"
        try:
            async with httpx.AsyncClient(
                base_url=base, headers={"authorization": f"Bearer {self.token}"}, trust_env=False
            ) as http:
                yield http
        finally:
            await server.drain(1.0)
            listener.close()
