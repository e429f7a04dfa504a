"""GET and POST session, and signing out."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tenantry.auth import pages
from tenantry.auth.accounts import SessionRow
from tenantry.auth.answer import Answer, as_json, redirect
from tenantry.auth.configuration import BASE
from tenantry.auth.visit import Visit
from tenantry.errors import Forbidden, Unauthorized

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn

FAILED_TOKENS = ("token", 30, 60, 1)
NOT_A_MEMBER = {"message": "Not a member of this tenant"}
"""One answer for a tenant that is another's, suspended, or nowhere."""


async def read(sign_in: SignIn, visit: Visit) -> Answer:
    """GET session: `null`, or the session with its cookie set anew."""
    token = sign_in.token(visit)
    if token is None:
        return as_json(None, is_kept=False)
    return await _shown(sign_in, visit, token)


async def _shown(sign_in: SignIn, visit: Visit, token: bytes) -> Answer:
    c = sign_in.configuration
    row = await sign_in.accounts.session(token, (c.max_age, c.update_age, c.absolute_age))
    if row is None:
        return await _over(sign_in, visit)
    answer = as_json(shown(row), is_kept=False)
    sign_in.set_session(answer, visit, token.decode("latin-1"), row.expires)
    return answer


async def _over(sign_in: SignIn, visit: Visit) -> Answer:
    """No session: `null`, and its cookie goes. Good tokens are never refused for what their neighbours do: only those that fail count."""
    wait = await sign_in.wait(visit, [FAILED_TOKENS])
    answer = sign_in.too_many(visit, wait) if wait else as_json(None, is_kept=False)
    sign_in.clear_session(answer, visit)
    return answer


def shown(row: SessionRow) -> dict[str, Any]:
    """The session as the front end sees it; never the token."""
    is_member = row.tenant_id is not None
    return {
        "user": {
            "name": row.name,
            "email": row.email,
            "image": row.image,
            "id": str(row.identity_id),
            "role": row.role if is_member else None,
        },
        "tenant": {"id": str(row.tenant_id), "slug": row.slug, "name": row.tenant_name} if is_member else None,
        "expires": iso(row.expires),
    }


def iso(when: datetime) -> str:
    """As JavaScript's toISOString writes it."""
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def update(sign_in: SignIn, visit: Visit) -> Answer:
    """POST session: `update()` of useSession. Never edits the person; `data.tenant` goes on in another tenant."""
    if not sign_in.is_ours(visit):
        return as_json(None, 400, is_kept=False)
    token = sign_in.token(visit)
    if token is None:
        return as_json(None, is_kept=False)
    given: object = visit.fields.get("data")
    # Any: a stranger's JSON; only the one key is looked at.
    tenant = given.get("tenant") if isinstance(given, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if tenant is None:
        return await _shown(sign_in, visit, token)
    return await _switch(sign_in, visit, token, tenant)  # pyright: ignore[reportUnknownArgumentType] - see above


async def _switch(sign_in: SignIn, visit: Visit, token: bytes, tenant: object) -> Answer:
    if not isinstance(tenant, str) or not 0 < len(tenant) <= 100 or "\0" in tenant:
        return as_json(NOT_A_MEMBER, 403, is_kept=False)
    new = secrets.token_urlsafe(32)
    try:
        await sign_in.accounts.switch(token, new.encode(), tenant, visit.note())
    except Forbidden:  # TenantSuspended is one
        return as_json(NOT_A_MEMBER, 403, is_kept=False)
    except Unauthorized:
        return await _over(sign_in, visit)
    return await _shown(sign_in, visit, new.encode())


async def sign_out_page(sign_in: SignIn, visit: Visit) -> Answer:
    """GET signout: asks, and signs nobody out."""
    callback = sign_in.callback_url(visit)
    theirs = sign_in.configuration.pages.sign_out
    if theirs:
        return redirect(theirs)
    token, line = sign_in.csrf_token(visit)
    nonce = secrets.token_urlsafe(16)
    html = pages.sign_out(sign_in.configuration, nonce, BASE, token, callback)
    return sign_in.page(visit, html, nonce, csrf_cookie=line)


async def sign_out(sign_in: SignIn, visit: Visit) -> Answer:
    """POST signout: the row goes, the cookie goes; the same answer without a session."""
    if not sign_in.is_ours(visit):
        return sign_in.error(visit, "MissingCSRF")
    token = sign_in.token(visit)
    if token is not None:
        await sign_in.accounts.sign_out(token, visit.note())
    answer = sign_in.go(visit, sign_in.callback_url(visit))
    sign_in.clear_session(answer, visit)
    return answer
