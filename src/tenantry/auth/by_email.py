"""The e-mail link. Opening it changes nothing, since mail scanners open links first; the button on its page signs in.

The same mail has a code of 8 characters for the window that waits. It is bound to the browser that asked, by its flow cookie: so
five wrong codes void this browser's code and nobody else's.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tenantry.auth import cookie, flow, pages, seal
from tenantry.auth.address import address, go_on_to
from tenantry.auth.answer import Answer, as_json, redirect
from tenantry.auth.arrival import arrived, now
from tenantry.auth.configuration import BASE
from tenantry.auth.flow import Flow
from tenantry.auth.mail import sign_in_mail
from tenantry.auth.visit import Visit

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn

SECONDS = 900
CODE_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
"""Without the look-alikes I, L, O, U, 0 and 1: 30^8 codes, and five tries."""
LINK, CODE = "e-mail link", "e-mail code"
FAILED = ("code", 30, 60)


async def begin(sign_in: SignIn, visit: Visit) -> Answer:
    """POST signin/email. The answer is the same whether anybody has this address."""
    c = sign_in.configuration
    to = address(visit.field("email"))
    if to is None:
        return sign_in.error(visit, "EmailSignin")
    if c.has_limits:
        wait = await sign_in.accounts.wait_of(
            [(f"mail:{to}:{visit.sender_key()}", 3, 900, 1), (f"mails:{visit.sender_key()}", 20, 3600, 1)]
        )
        if wait:
            return sign_in.too_many(visit, wait)
    token = secrets.token_urlsafe(32)
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
    id_, is_to_send = await sign_in.accounts.begin_email(
        to,
        seal.token_hash(token, c.secrets[0], LINK),
        seal.token_hash(code, c.secrets[0], CODE),
        SECONDS,
        c.sign_up,
        visit.note(),
    )
    callback = sign_in.callback_url(visit)
    if is_to_send:
        query = urlencode({"callbackUrl": callback, "token": token, "email": to})
        host = urlsplit(visit.origin).netloc
        await sign_in.post.send(
            sign_in_mail(to, f"{visit.origin}{BASE}/callback/email?{query}", code, c.theme_name, host)
        )
    theirs = c.pages.verify_request
    url = f"{visit.origin}{BASE}/verify-request?provider=email&type=email"
    if theirs:
        url = f"{visit.origin + theirs if theirs.startswith('/') else theirs}?provider=email&type=email"
    answer = sign_in.go(visit, url)
    made = Flow("email", secrets.token_urlsafe(32), id_, "", callback, "signin", visit.origin, now())
    answer.cookies += flow.cookies_for(visit, made, c.secrets)
    sign_in.keep_callback(answer, visit, callback)
    return answer


async def look(sign_in: SignIn, visit: Visit) -> Answer:
    """GET callback/email, the link: a page with a button."""
    c = sign_in.configuration
    to, token = address(visit.query.get("email", [None])[0]), visit.query.get("token", [""])[0]
    hashes = [seal.token_hash(token, secret, LINK) for secret in c.secrets]
    if to is None or not token or not await sign_in.accounts.peek_email(to, hashes):
        wait = await sign_in.wait(visit, [("link", *FAILED[1:], 1)])
        return sign_in.too_many(visit, wait) if wait else sign_in.error(visit, "Verification")
    csrf, line = sign_in.csrf_token(visit)
    nonce = secrets.token_urlsafe(16)
    callback = go_on_to(visit.query.get("callbackUrl", [None])[0], visit.origin, c.redirect_origins)
    html = pages.confirm_email(c, nonce, BASE, csrf, to, token, callback)
    return sign_in.page(visit, html, nonce, csrf_cookie=line)


async def confirm(sign_in: SignIn, visit: Visit) -> Answer:
    """POST callback/email: the link's button, or the code."""
    c = sign_in.configuration
    if visit.provider is None or visit.provider.type != "email":
        answer = as_json({"message": "This method is not allowed here"}, 405)
        answer.headers.append((b"allow", b"GET, HEAD"))
        return answer
    if not sign_in.is_ours(visit):
        return sign_in.error(visit, "MissingCSRF")
    wait = await sign_in.wait(visit, [(*FAILED, 0)])
    if wait:
        return sign_in.too_many(visit, wait)
    facts = {"sign_up": c.sign_up, "intent": "signin", "max_age": c.first_age}
    to, token = address(visit.field("email")), visit.field("token")
    made: Flow | None = None
    if token is not None:
        hashes = [seal.token_hash(token, secret, LINK) for secret in c.secrets]
        facts |= {"email": to, "hashes": ",".join(h.hex() for h in hashes)}
        callback = sign_in.callback_url(visit)
    else:
        made = flow.opened(visit, "flow." + (visit.field("flow") or ""), c.secrets, now())
        if made is None or made.provider != "email":
            return sign_in.error(visit, "Verification")
        code = "".join(ch for ch in (visit.field("code") or "").upper() if ch.isalnum())[:16]
        facts |= {"id": made.nonce, "code_hashes": ",".join(seal.token_hash(code, s, CODE).hex() for s in c.secrets)}
        callback = made.callback
    new = secrets.token_urlsafe(32)
    signed_in = await sign_in.accounts.finish_email(facts, new.encode(), sign_in.token(visit), visit.note())
    if signed_in.outcome == "Verification":
        await sign_in.wait(visit, [(*FAILED, 1)])
        if made is not None:
            return redirect(f"{visit.origin}{BASE}/verify-request?provider=email&type=email&error=InvalidCode")
    answer = arrived(sign_in, visit, signed_in, new, callback)
    if made is not None:
        answer.cookies.append(cookie.clear(flow.kind_of(made.state), is_secure=visit.is_secure))
    return answer


async def verify_request(sign_in: SignIn, visit: Visit) -> Answer:
    """GET verify-request: look into your mail, or type the code."""
    c = sign_in.configuration
    if c.pages.verify_request:
        return redirect(c.pages.verify_request)
    made = flow.newest(visit, "email", c.secrets, now())
    csrf, line = sign_in.csrf_token(visit)
    nonce = secrets.token_urlsafe(16)
    wrong = visit.query.get("error", [None])[0]
    kind = None if made is None else flow.kind_of(made.state).removeprefix("flow.")
    html = pages.verify_request(c, nonce, BASE, csrf, kind, wrong)
    return sign_in.page(visit, html, nonce, csrf_cookie=line)
