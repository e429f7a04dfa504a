"""The built-in procedures around people: invitations, members, sessions, API keys, permissions, the audit trail.

Every right is decided in PostgreSQL, in the statement that acts (tenancy/sql/0015); each act leaves its line in the trail in the
same transaction. Tokens and keys are made here, leave once, and are kept as hashes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from tenantry.auth.address import address
from tenantry.auth.credential import BASE62, KEY_PREFIX, checksum
from tenantry.context import Ctx, Person
from tenantry.db import Statement
from tenantry.errors import BadRequest, Forbidden, PreconditionFailed, TooManyRequests
from tenantry.identity import Role
from tenantry.rpc import Meta, Page, Record, Router

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn

INVITATION_SECONDS = 7 * 86_400
Limit = Annotated[int, Meta(ge=1, le=100)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
_SCOPE = re.compile(r"(read|write|admin:\*|[a-zA-Z][a-zA-Z0-9]*\.(\*|[a-zA-Z][a-zA-Z0-9.]*))\Z")
Known = Callable[[], "SignIn | None"]
"""Sign-in of the application that is open."""


class Invitation(Record):
    """An open invitation; its token went to the address alone."""

    id: UUID
    email: str
    role: Role
    expires: datetime
    created_at: datetime | None = None
    invited_by: UUID | None = None


class Member(Record):
    """A person's membership in the tenant."""

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


class SessionInfo(Record):
    """A signed-in device of one's own."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime | None
    expires: datetime
    provider: str | None
    ip: str | None
    user_agent: str | None
    tenant_name: str | None
    is_current: bool


class ApiKey(Record):
    """A key, without the key."""

    id: str
    name: str
    role: Role
    scopes: list[str]
    is_service: bool
    user_id: UUID | None
    expires: datetime | None
    created_at: datetime
    last_used_at: datetime | None
    """To about a minute; null: never since it was made."""


class NewKey(Record):
    """A key as it is shown, once."""

    id: str
    key: str
    expires: datetime | None


class Permission(Record):
    """A permission as it holds in this tenant."""

    name: str
    says: str
    least: Role
    is_regranted: bool


class TrailLine(Record):
    """A line of the audit trail."""

    id: UUID
    at: datetime
    action: str
    identity_id: UUID | None
    email: str | None
    subject: str | None
    detail: str
    ip: str | None
    user_agent: str | None
    request_id: str | None


class Founded(Record):
    """The tenant that was made; `token` is null when the new session travels as a cookie."""

    tenant_id: UUID
    expires: datetime
    token: str | None


def routers(known: Known) -> list[Router]:
    """All of them; `known` gives the application's sign-in."""
    return [
        _invitations(known), _members(), _sessions(), _api_keys(), _permissions(), _audit(), _tenants(known),
    ]  # fmt: skip


def _sign_in(known: Known) -> SignIn:
    found = known()
    if found is None:
        message = "The server is starting or stopping"
        raise PreconditionFailed(message)
    return found


def _invitations(known: Known) -> Router:
    invitations = Router("invitations")

    @invitations.mutation(role="admin")
    async def create(ctx: Ctx[Any], email: Text, role: Role = "member") -> Invitation:
        """Ask an address into the tenant, by mail; an older invitation of it goes. Nobody invites above themselves."""
        sign_in = _sign_in(known)
        to = address(email)
        if to is None:
            message = "This is no e-mail address"
            raise BadRequest(message, field="email")
        if not sign_in.post.is_on:
            message = "No mail can be sent here: AUTH_EMAIL_SERVER is not set"
            raise PreconditionFailed(message)
        origin = sign_in.origin_for(ctx.headers)
        token = secrets.token_urlsafe(32)
        async with ctx.transaction() as tx:
            made = await tx.one(
                _Made, "select id, email, role, expires, tenant_name, tenant from tenantry.invite($1, $2, $3, $4, $5)",
                to, role, hashlib.sha256(token.encode()).digest(), INVITATION_SECONDS, ctx.visit(),
            )  # fmt: skip
            if await sign_in.limited(f"invite:{made.tenant}:{to}", 5, 86_400):
                message = "This address was invited often enough today"
                raise TooManyRequests(message)
        # Only what is committed is told.
        await sign_in.send_invitation(origin, made.email, made.tenant_name, made.role, token)
        return Invitation(id=made.id, email=made.email, role=made.role, expires=made.expires)

    @invitations.query(role="admin")
    def list(ctx: Ctx[Any]) -> Statement[list[Invitation]]:  # noqa: A001 - the wire's word
        """The open invitations."""
        return ctx.db.all(
            Invitation, "select id, email, role, expires, created_at, invited_by from tenantry.invitations()"
        )

    @invitations.mutation(role="admin")
    def revoke(ctx: Ctx[Any], id: UUID) -> Statement[UUID]:  # noqa: A002 - the wire's word
        """Take an invitation back."""
        return ctx.db.one(UUID, "select tenantry.revoke_invitation($1, $2)", id, ctx.visit())

    return invitations


class _Made(Record):
    id: UUID
    email: str
    role: Role
    expires: datetime
    tenant_name: str
    tenant: UUID


def _members() -> Router:
    members = Router("members")

    @members.mutation
    async def leave(ctx: Ctx[Any]) -> UUID:
        """End one's own membership; the last owner cannot."""
        return await ctx.db.one(UUID, "select tenantry.remove_member(tenantry.user_id(), $1)", ctx.visit())

    @members.mutation(role="owner")
    def transfer(ctx: Ctx[Any], id: UUID) -> Statement[Member]:  # noqa: A002 - the wire's word
        """Make another member owner, and oneself admin, at once."""
        return ctx.db.one(
            Member, "select id, email, name, role, created_at from tenantry.transfer_ownership($1, $2)", id, ctx.visit()
        )

    @members.mutation(role="owner")
    def end_sessions(ctx: Ctx[Any], id: UUID) -> Statement[int]:  # noqa: A002 - the wire's word
        """Move a member's sessions out of this tenant; how many."""
        return ctx.db.one(int, "select tenantry.end_sessions($1, $2)", id, ctx.visit())

    return members


def _sessions() -> Router:
    sessions = Router("sessions")

    @sessions.query(scope="person")
    async def list(ctx: Person[Any]) -> list[SessionInfo]:  # noqa: A001 - the wire's word
        """One's own signed-in devices, this one first."""
        rows = await ctx.accounts.fetch(
            "select id, created_at, last_seen_at, expires, provider, ip, user_agent, tenant_name, is_current"
            "  from tenantry.sessions_of($1)",
            ctx.credential.token,
        )
        names = SessionInfo.__struct_fields__
        return [SessionInfo(**dict(zip(names, row, strict=True))) for row in rows]

    @sessions.mutation(scope="person")
    async def revoke(ctx: Person[Any], id: UUID) -> int:  # noqa: A002 - the wire's word
        """Sign one device out."""
        rows = await ctx.accounts.fetch(
            "select tenantry.revoke_sessions($1, $2::text::uuid, $3)", ctx.credential.token, str(id), ctx.visit()
        )
        return rows[0][0]

    @sessions.mutation(scope="person")
    async def revoke_others(ctx: Person[Any]) -> int:
        """Sign out everywhere but here; how many."""
        rows = await ctx.accounts.fetch(
            "select tenantry.revoke_sessions($1, null, $2)", ctx.credential.token, ctx.visit()
        )
        return rows[0][0]

    return sessions


def new_key() -> tuple[str, str]:
    """A key's id, and the whole key."""
    id_ = "".join(chr(secrets.choice(BASE62)) for _ in range(10))
    body = KEY_PREFIX + id_.encode() + b"_" + secrets.token_urlsafe(32).encode()
    return id_, (body + checksum(body)).decode()


def _api_keys() -> Router:
    keys = Router("api_keys")

    @keys.mutation
    async def create(
        ctx: Ctx[Any],
        name: Annotated[str, Meta(min_length=1, max_length=100)],
        scopes: Annotated[list[str], Meta(min_length=1, max_length=50)],
        role: Role = "member",
        expires_in_days: Annotated[int, Meta(ge=1, le=3650)] = 90,
        is_service: bool = False,
    ) -> NewKey:
        """Make a key; it is shown this once. It never does more than its maker may, and dies with the membership.

        Scopes: "read" or "write", and procedures ("notes.*", "notes.add"); "admin:*" and service keys are an owner's to give.
        """
        wrong = next((scope for scope in scopes if _SCOPE.match(scope) is None), None)
        if wrong is not None or not {"read", "write", "admin:*"} & {*scopes}:
            message = 'Scopes are "read" or "write", and procedures: "notes.*", "notes.add"'
            raise BadRequest(message, field="scopes")
        id_, key = new_key()
        expires = await ctx.db.one(
            datetime,
            "select tenantry.create_key($1, $2, $3, $4, $5, $6, $7, $8)",
            id_, hashlib.sha256(key.encode()).digest(), name, role, scopes,
            int(timedelta(days=expires_in_days).total_seconds()), is_service, ctx.visit(),
        )  # fmt: skip
        return NewKey(id=id_, key=key, expires=expires)

    @keys.query
    def list(ctx: Ctx[Any]) -> Statement[list[ApiKey]]:  # noqa: A001 - the wire's word
        """One's own keys; for admins all of the tenant's."""
        return ctx.db.all(
            ApiKey,
            "select id, name, role, scopes, is_service, user_id, expires, created_at, last_used_at from tenantry.api_keys()",
        )

    @keys.mutation
    def revoke(ctx: Ctx[Any], id: Annotated[str, Meta(max_length=10)]) -> Statement[str]:  # noqa: A002 - the wire's word
        """End a key, at once."""
        return ctx.db.one(str, "select tenantry.revoke_key($1, $2)", id, ctx.visit())

    return keys


def _permissions() -> Router:
    permissions = Router("permissions")

    @permissions.query
    def list(ctx: Ctx[Any]) -> Statement[list[Permission]]:  # noqa: A001 - the wire's word
        """Every permission of the application, with the least role that has it in this tenant."""
        return ctx.db.all(
            Permission, "select name, says, least_role as least, is_regranted from tenantry.permissions_here()"
        )

    @permissions.mutation(role="owner")
    def regrant(ctx: Ctx[Any], name: Text, least: Role | None = None) -> Statement[str]:
        """Another least role in this tenant, or null for the application's own."""
        return ctx.db.one(str, "select tenantry.regrant($1, $2, $3)", name, least, ctx.visit())

    return permissions


def _audit() -> Router:
    audit = Router("audit")

    @audit.query(role="admin")
    def list(  # noqa: A001 - the wire's word
        ctx: Ctx[Any],
        action: Annotated[str, Meta(max_length=50)] | None = None,
        subject: Annotated[str, Meta(max_length=300)] | None = None,
        identity_id: UUID | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: Limit = 50,
    ) -> Statement[Page[TrailLine]]:
        """The tenant's trail, newest first; narrowed by action, subject, person and time."""
        return ctx.db.page(
            TrailLine,
            "select l.id, l.at, l.action, l.identity_id, u.email, l.subject, l.detail::text as detail,"
            "       pg_catalog.host(l.ip) as ip, l.user_agent, l.request_id"
            "  from audit_log l left join users u on u.identity_id = l.identity_id"
            " where ($1::text is null or l.action = $1) and ($2::text is null or l.subject = $2)"
            "   and ($3::uuid is null or l.identity_id = $3)"
            "   and ($4::timestamptz is null or l.at >= $4) and ($5::timestamptz is null or l.at < $5)",
            action, subject, identity_id, since, until, by="at desc, id desc", after=after, limit=limit,
        )  # fmt: skip

    return audit


def _tenants(known: Known) -> Router:
    tenants = Router("tenants")

    @tenants.mutation(scope="person")
    async def create(ctx: Person[Any], slug: Slug, name: Text) -> Founded:
        """Found a tenant and own it; the session goes on in it. Where TENANTRY_TENANT_SIGN_UP lets anybody do so."""
        if not _sign_in(known).configuration.founds_tenants:
            message = "Tenants are made by whoever runs this"
            raise Forbidden(message)
        token = secrets.token_urlsafe(32)
        rows = await ctx.accounts.fetch(
            "select tenant_id, expires from tenantry.found_tenant($1, $2, $3, $4, $5)",
            ctx.credential.token, token.encode(), slug, name, ctx.visit(),
        )  # fmt: skip
        tenant_id, expires = rows[0]
        by_cookie = ctx.credential.source == "cookie"
        if by_cookie:
            ctx.set_session(token, expires)
        return Founded(tenant_id=tenant_id, expires=expires, token=None if by_cookie else token)

    return tenants
