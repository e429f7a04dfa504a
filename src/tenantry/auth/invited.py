"""The invitation's page: GET shows what it is to, POST accepts, for the person whose address it was sent to."""

from __future__ import annotations

import hashlib
import secrets
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from tenantry.auth import pages
from tenantry.auth.address import go_on_to
from tenantry.auth.answer import Answer
from tenantry.auth.configuration import BASE
from tenantry.auth.mail import Mail
from tenantry.auth.pages import Field
from tenantry.auth.visit import Visit
from tenantry.errors import Unauthorized

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn

FAILED = ("invitation", 30, 60, 1)
A = {"owner": "an owner", "admin": "an admin", "member": "a member"}


def link(origin: str, token: str) -> str:
    """Where an invitation is accepted."""
    return f"{origin}{BASE}/invitation?token={quote(token, safe='')}"


def mail(origin: str, to: str, tenant: str, role: str, token: str, theme: str) -> Mail:
    """The invitation."""
    url = link(origin, token)
    tenant = "".join(c for c in tenant if c.isprintable())
    text = (
        f"You were invited to join {tenant} on {theme} as {A[role]}:\n\n{url}\n\n"
        "The link works once, for seven days. If you do not know why you got it, you need do nothing.\n"
    )
    return Mail(to, f"Invitation to {tenant}", text, url)


def _hash(token: str | None) -> bytes:
    return hashlib.sha256((token or "").encode("utf-8", "replace")).digest()


async def look(sign_in: SignIn, visit: Visit) -> Answer:
    """GET invitation: changes nothing."""
    token = visit.query.get("token", [""])[0]
    found = await sign_in.accounts.peek_invitation(_hash(token))
    if found is None:
        wait = await sign_in.wait(visit, [FAILED])
        return sign_in.too_many(visit, wait) if wait else sign_in.error(visit, "Verification")
    tenant, email, role = found
    session = sign_in.token(visit)
    c = sign_in.configuration
    row = (
        None if session is None else await sign_in.accounts.session(session, (c.max_age, c.update_age, c.absolute_age))
    )
    csrf, line = sign_in.csrf_token(visit)
    nonce = secrets.token_urlsafe(16)
    body = f"<p>You are invited to <strong>{escape(tenant)}</strong> as {A[role]}, as <strong>{escape(email)}</strong>.</p>"
    here = link(visit.origin, token)
    if row is not None and row.email == email:
        fields = [Field("csrfToken", csrf), Field("token", token)]
        body += pages.form(f"{BASE}/invitation", fields, '<button class="first">Join</button>')
    elif row is not None:
        body += f"<p>You are signed in as <strong>{escape(row.email)}</strong>. Sign out first, then open the link again.</p>"
        fields = [Field("csrfToken", csrf), Field("callbackUrl", here)]
        body += pages.form(f"{BASE}/signout", fields, '<button class="first">Sign out</button>')
    else:
        body += f'<p><a class="button" href="{BASE}/signin?callbackUrl={quote(here, safe="")}">Sign in to join</a></p>'
    return sign_in.page(visit, pages.document(c, nonce, f"Join {tenant}", body), nonce, csrf_cookie=line)


async def accept(sign_in: SignIn, visit: Visit) -> Answer:
    """POST invitation: one becomes a member, and goes on in the tenant under a new token."""
    if not sign_in.is_ours(visit):
        return sign_in.error(visit, "MissingCSRF")
    token = visit.field("token")
    session = sign_in.token(visit)
    if session is None:
        return sign_in.go(
            visit,
            f"{visit.origin}{BASE}/signin?error=SessionRequired&callbackUrl={quote(link(visit.origin, token or ''), safe='')}",
        )
    wait = await sign_in.wait(visit, [(*FAILED[:3], 0)])
    if wait:
        return sign_in.too_many(visit, wait)
    new = secrets.token_urlsafe(32)
    try:
        outcome, expires = await sign_in.accounts.accept_invitation(session, _hash(token), new.encode(), visit.note())
    except Unauthorized:
        return sign_in.error(visit, "SessionRequired")
    if outcome != "ok" or expires is None:
        await sign_in.wait(visit, [FAILED])
        return sign_in.error(visit, "AccessDenied" if outcome == "other_address" else "Verification")
    # Not the cookie's address: that is this very page, from before one signed in.
    answer = sign_in.go(
        visit, go_on_to(visit.field("callbackUrl"), visit.origin, sign_in.configuration.redirect_origins)
    )
    sign_in.set_session(answer, visit, new, expires)
    return answer
