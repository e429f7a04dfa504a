"""The built-in procedures on a tenant and its people: `users.*` and `tenants.*`.

Every right is decided in PostgreSQL, in the statement that acts (tenancy/sql): owner > admin > member, nobody grants above
themselves, an admin never touches an owner's role, and a tenant keeps one owner whatever happens at once. What is not in the
caller's tenant does not exist for it, so its answer is NOT_FOUND and not FORBIDDEN.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from tenantry.context import Ctx, Person
from tenantry.db import Statement, sql
from tenantry.errors import BadRequest
from tenantry.identity import Role
from tenantry.rpc import UNSET, Meta, Page, Record, Router, Tracked, Unset

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=100)]

USER = sql("id, email, name, role, created_at")
CHANGED = "users.changed"
"""Published by a trigger (0011_events.sql), so that every way to change a membership does it."""


class User(Record):
    """A person's membership in the tenant."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


class UserChanged(Record):
    """A membership that was added, updated (name, role) or removed; who it is now, `users.get` tells."""

    id: UUID
    change: Literal["added", "updated", "removed"]


class Tenant(Record):
    """The tenant that the session is in."""

    id: UUID
    slug: str
    name: str
    status: str
    created_at: datetime


class TenantMembership(Record):
    """A tenant that the signed-in person belongs to."""

    id: UUID
    slug: str
    name: str
    role: Role
    is_current: bool
    created_at: datetime


class Switched(Record):
    """The session after a switch. `token` is null when the new session travels as a cookie."""

    tenant_id: UUID
    slug: str
    name: str
    role: Role
    expires: datetime
    token: str | None


def users_router() -> Router:
    """`users.list`, `users.get`, `users.update`, `users.delete`, `users.changed`."""
    users = Router("users")

    @users.query
    def list(ctx: Ctx[Any], after: str | None = None, limit: Limit = 20) -> Statement[Page[User]]:  # noqa: A001 - the wire's word
        """The tenant's people, oldest first."""
        return ctx.db.page(User, sql("select {} from users", USER), by="created_at, id", after=after, limit=limit)

    @users.query
    def get(ctx: Ctx[Any], id: UUID) -> Statement[User]:  # noqa: A002 - the wire's word
        """One person of the tenant."""
        return ctx.db.one(User, "select id, email, name, role, created_at from users where id = $1", id)

    @users.mutation
    def update(
        ctx: Ctx[Any],
        id: UUID,  # noqa: A002 - the wire's word
        name: Name | Unset = UNSET,
        role: Role | Unset = UNSET,
    ) -> Statement[User]:
        """Rename a person (oneself, or anyone as admin), or give another role (admin and up, never above one's own)."""
        if role is not UNSET:
            changed = ctx.db.one(
                User,
                "select id, email, name, role, created_at from tenantry.set_role($1, $2, $3, $4)",
                id,
                role,
                None if name is UNSET else name,
                ctx.visit(),
            )
            return ctx.db.announce(changed, CHANGED)
        if name is UNSET:
            message = "Nothing to change"
            raise BadRequest(message)
        renamed = ctx.db.one(
            User,
            # Who may: the table's policy asks, and raises (0008_members.sql).
            "update users set name = $2 where id = $1 returning id, email, name, role, created_at",
            id,
            name,
        )
        return ctx.db.announce(renamed, CHANGED)

    @users.mutation
    def delete(ctx: Ctx[Any], id: UUID) -> Statement[UUID]:  # noqa: A002 - the wire's word
        """End a membership: one's own (leave), or another's as admin and up."""
        return ctx.db.announce(ctx.db.one(UUID, "select tenantry.remove_member($1, $2)", id, ctx.visit()), CHANGED)

    @users.subscription
    async def changed(ctx: Ctx[Any], last_event_id: str | None = None) -> AsyncIterator[Tracked[UserChanged]]:
        """Whose membership was added, updated or removed, as it happens; after `lastEventId` first what was missed."""
        async for event in ctx.subscribe(UserChanged, CHANGED, after=last_event_id):
            yield event

    return users


def tenants_router() -> Router:
    """`tenants.current`, `tenants.update`, `tenants.list`, `tenants.switch`."""
    tenants = Router("tenants")

    @tenants.query
    def current(ctx: Ctx[Any]) -> Statement[Tenant]:
        """The tenant that this session is in."""
        return ctx.db.one(Tenant, "select id, slug, name, status, created_at from tenantry.current_tenant()")

    @tenants.mutation(role="admin")
    def update(ctx: Ctx[Any], name: Name) -> Statement[Tenant]:
        """Rename the tenant."""
        return ctx.db.one(Tenant, "select id, slug, name, status, created_at from tenantry.rename_tenant($1)", name)

    @tenants.query(scope="person")
    async def list(ctx: Person[Any]) -> list[TenantMembership]:  # noqa: A001 - the wire's word
        """Every tenant that the signed-in person belongs to."""
        rows = await ctx.accounts.fetch(
            "select id, slug, name, role, is_current, created_at from tenantry.tenants_of($1)", ctx.credential.token
        )
        return [
            TenantMembership(id=id_, slug=slug, name=name, role=role, is_current=is_current, created_at=created_at)
            for id_, slug, name, role, is_current, created_at in rows
        ]

    @tenants.mutation(scope="person")
    async def switch(ctx: Person[Any], tenant: Annotated[str, Meta(min_length=1, max_length=100)]) -> Switched:
        """Go on in another tenant, by its id or slug. The session's token rotates: the old one ends at once."""
        token = secrets.token_urlsafe(32)
        rows = await ctx.accounts.fetch(
            "select tenant_id, slug, name, role, expires from tenantry.switch_tenant($1, $2, $3, $4)",
            ctx.credential.token,
            token.encode("ascii"),
            tenant,
            ctx.visit(),
        )
        tenant_id, slug, name, role, expires = rows[0]
        by_cookie = ctx.credential.source == "cookie"
        if by_cookie:
            ctx.set_session(token, expires)
        return Switched(
            tenant_id=tenant_id, slug=slug, name=name, role=role, expires=expires, token=None if by_cookie else token
        )

    return tenants
