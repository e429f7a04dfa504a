"""Tenants and people of one test: made by an administrator's connection, as sign-up would make them; they act by their sessions."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString, ParamSpec, TypeVar, overload
from uuid import UUID

from tenantry.errors import NotFound
from tenantry.testing.calling import body_of, call, ids_in
from tenantry.testing.rows import make

if TYPE_CHECKING:
    import httpx

    from tenantry.identity import Role
    from tenantry.rpc import Procedure
    from tenantry.testing.stage import Stage

P = ParamSpec("P")
R = TypeVar("R")

_KEYED = """
select c.oid::pg_catalog.regclass::text
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
 where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p') and a.attname = 'id'
   and a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
   and exists (select from pg_catalog.pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id')
"""


class Caller:
    """Who calls procedures: with a token, or as anybody (`tenants.anyone`)."""

    def __init__(self, tenants: Tenants, token: str | None, name: str, tenant: Tenant | None = None) -> None:
        self.tenants = tenants
        self.token = token
        self._name = name
        self._tenant = tenant

    @overload
    async def call(self, procedure: Procedure[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def call(self, procedure: str, *args: Any, **kwargs: Any) -> Any: ...

    async def call(self, procedure: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure, in this process, typed from its handler. Raises what a client would be told.

        A procedure may be named by its path, for those that are built in: `await ann.call("invitations.create", email="bob@acme.example")`.
        NotFound says so where the row is there, and another tenant's. Raises CallFailed for what a client hears as an internal error.
        """
        stage = self.tenants.stage
        if isinstance(procedure, str):
            procedure = self.tenants.procedure(procedure)
        body = body_of(procedure, args, kwargs)
        try:
            return await stage.run(call(stage.app, stage.settings.base_path, procedure, self.token, body))
        except NotFound as error:
            ids = ids_in([*args, *kwargs.values()])
            other = self.tenants.tenant_with(ids) if ids and self._tenant is not None else None
            if other is not None and self._tenant is not None and other != self._tenant.slug:
                error.add_note(
                    f"The row exists, in tenant {other}; you called as {self._name}, in {self._tenant.slug}."
                    " If that was the point, this test passes with pytest.raises(NotFound)."
                )
            raise

    @asynccontextmanager
    async def client(self, base_path: str | None = None) -> AsyncGenerator[httpx.AsyncClient]:
        """An HTTP client over a real socket, with this token, at the API's base path: `await http.get("notes.recent")`.

        `base_path="/"` reaches everything else that is served there, `/api/auth` for one.
        """
        import httpx

        stage = self.tenants.stage
        path = stage.settings.base_path if base_path is None else base_path
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        base = f"{stage.address()}{path.rstrip('/')}/"
        async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as http:
            yield http


class Tenants:
    """The fixture: `acme = await tenants.new("acme")`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.app = stage.app
        self.settings = stage.settings
        self.admin = stage.admin
        """A connection that may see every tenant; handlers never have it."""
        self.anyone = Caller(self, None, "anyone")
        """A visitor, who is not signed in."""
        self._numbers = itertools.count(1)

    async def new(self, slug: str | None = None, *, name: str | None = None) -> Tenant:
        """A tenant of that slug, or of one that is made up."""
        slug = slug or f"tenant{next(self._numbers)}"
        return Tenant(self, slug, self.value("select tenantry.create_tenant($1, $2)", slug, name or slug.title()))

    def value(self, text: LiteralString, *values: object) -> Any:
        """The first column of the first row, as an administrator who sees all tenants: for what a test wants to know."""
        row = self.admin.execute(text, values).fetchone()
        return None if row is None else row[0]

    def procedure(self, path: str) -> Procedure[..., Any]:
        """The procedure of that path, as a client names it. Raises LookupError."""
        found = self.app.procedures().get(path)
        if found is None:
            message = f"there is no procedure {path}"
            raise LookupError(message)
        return found

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
        """A member with a live session. The same `email` in two tenants is one person who is in both."""
        email = email or f"{role}{next(self._numbers)}@{self.slug}.example"
        user = self.tenants.value(
            "select tenantry.add_member($1, $2, $3, $4)", self.id, email, name or email.partition("@")[0].title(), role
        )
        return Person(self, user, email, self.tenants)

    async def make(self, table: str, **values: Any) -> dict[str, Any]:
        """A row of one of the application's tables, past its handlers: `note = await acme.make("notes", body="Book the hall")`.

        What else the table insists on is made up, rows that it refers to included. Gives the whole row. Constraints and triggers hold;
        row security does not, as for any administrator.
        """
        return make(self.tenants.admin, table, self.id, None, values)


class Person(Caller):
    """A member of a tenant, signed in to it."""

    token: str

    def __init__(
        self, tenant: Tenant, user_id: UUID, email: str, tenants: Tenants, ttl: timedelta = timedelta(days=1)
    ) -> None:
        token = secrets.token_urlsafe(32)
        tenants.value("select tenantry.create_session($1, $2, $3, $4::interval)", token.encode(), email, tenant.id, ttl)
        super().__init__(tenants, token, email, tenant)
        self.tenant = tenant
        self.user_id = user_id
        self.email = email

    async def session(self, ttl: timedelta = timedelta(days=1)) -> Person:
        """The same person at another browser: a session of its own."""
        return Person(self.tenant, self.user_id, self.email, self.tenants, ttl)

    async def key(self, name: str = "test", *, scopes: Sequence[str] = ("write",), role: Role = "member") -> Caller:
        """A program with an API key of this person's. Raises what the procedure `apiKeys.create` raises."""
        made = await self.call("apiKeys.create", name=name, scopes=list(scopes), role=role)
        return Caller(self.tenants, made.key, f"{self.email}'s key {name}", self.tenant)

    async def make(self, table: str, **values: Any) -> dict[str, Any]:
        """As `tenant.make`, and this person is whom columns with the default tenantry.user_id() name."""
        return make(self.tenants.admin, table, self.tenant.id, self.user_id, values)
