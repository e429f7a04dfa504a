"""Signing in at a provider: the page, the way out, and the way back."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tenantry.auth import by_email, cookie, flow, pages, seal
from tenantry.auth.answer import Answer, redirect
from tenantry.auth.arrival import arrived, now
from tenantry.auth.configuration import BASE
from tenantry.auth.fetching import ProviderFailed
from tenantry.auth.flow import Flow
from tenantry.auth.identity_token import Refused, Who, who
from tenantry.auth.mail import linked_mail
from tenantry.auth.visit import Visit

if TYPE_CHECKING:
    from tenantry.auth.surface import SignIn

log = logging.getLogger("tenantry.auth")
BEGINNINGS = ("signin", 30, 60, 1)
FAILED_CALLBACKS = 20, 600
TOKENS_IN_ANSWERS = ("access_token", "id_token", "refresh_token", "token")


async def page(sign_in: SignIn, visit: Visit) -> Answer:
    """GET signin."""
    callback = sign_in.callback_url(visit)
    error = visit.query.get("error", [None])[0]
    theirs = sign_in.configuration.pages.sign_in
    if theirs:
        mark = "&" if "?" in theirs else "?"
        return redirect(
            f"{theirs}{mark}callbackUrl={quote(callback, safe='')}"
            + (f"&error={quote(error, safe='')}" if error else "")
        )
    for client in sign_in.clients.values():
        await client.learn_form_origin()
    token, line = sign_in.csrf_token(visit)
    nonce = secrets.token_urlsafe(16)
    html = pages.sign_in(sign_in.configuration, nonce, BASE, token, callback, error, sign_in.request_told(visit))
    answer = sign_in.page(visit, html, nonce, csrf_cookie=line)
    sign_in.keep_callback(answer, visit, callback)
    return answer


async def not_by_get(sign_in: SignIn, visit: Visit) -> Answer:
    """GET signin/:provider starts nothing."""
    callback = sign_in.callback_url(visit)
    return redirect(f"{visit.origin}{BASE}/signin?callbackUrl={quote(callback, safe='')}")


async def begin(sign_in: SignIn, visit: Visit) -> Answer:
    """POST signin/:provider: off to the provider, or a mail."""
    if not sign_in.is_ours(visit):
        return sign_in.error(visit, "MissingCSRF")
    wait = await sign_in.wait(visit, [BEGINNINGS])
    if wait:
        return sign_in.too_many(visit, wait)
    provider = visit.provider
    assert provider is not None  # the route has one
    if provider.type == "email":
        return await by_email.begin(sign_in, visit)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    callback = sign_in.callback_url(visit)
    intent = "link" if visit.field("intent") == "link" else "signin"
    try:
        url = await sign_in.clients[provider.id].authorization_url(
            redirect=f"{visit.origin}{BASE}/callback/{provider.id}", state=state, nonce=nonce, verifier=verifier,
            extra={name: values[0] for name, values in visit.query.items()},
            # Who is signed in and signs in again means another account: without asking, the provider would give the same one.
            asks_who=sign_in.token(visit) is not None,
        )  # fmt: skip
    except ProviderFailed as failed:
        log.warning("provider %s: %s (request %s)", provider.id, failed, visit.request_id)
        return sign_in.error(visit, "OAuthCallbackError")
    answer = sign_in.go(visit, url)
    session = sign_in.token(visit)
    left = session if intent == "signin" else None
    made = Flow(
        provider.id, state, nonce, verifier, callback, intent, visit.origin, now(), left.decode("latin-1") if left else "",
        flow.bound_to(session) if intent == "link" else "",
    )  # fmt: skip
    if left is not None:
        # Who begins another sign-in is nobody until it ends: on a shared machine the next person never goes on as the last one.
        sign_in.clear_session(answer, visit)
    answer.cookies += flow.cookies_for(visit, made, sign_in.configuration.secrets)
    sign_in.keep_callback(answer, visit, callback)
    return answer


async def callback(sign_in: SignIn, visit: Visit) -> Answer:
    """GET callback/:provider: back from the provider."""
    provider = visit.provider
    assert provider is not None  # the route has one
    if provider.type == "email":
        return await by_email.look(sign_in, visit)
    if await sign_in.wait(visit, [("callback", *FAILED_CALLBACKS, 0)]):
        return sign_in.error(visit, "RateLimited")
    kind = flow.kind_of(visit.query.get("state", [""])[0])
    made = flow.opened(visit, kind, sign_in.configuration.secrets, now())
    try:
        answer = await _come_back(sign_in, visit, made)
    except (Refused, ProviderFailed) as refused:
        answer = await _refused(sign_in, visit, str(refused))
    if made is not None and made.session and sign_in.token(visit) is None:
        await _give_back(sign_in, visit, answer, made.session)
    if cookie.name_of(kind, is_secure=visit.is_secure) in visit.cookies:
        answer.cookies.append(cookie.clear(kind, is_secure=visit.is_secure))
    return answer


async def _give_back(sign_in: SignIn, visit: Visit, answer: Answer, session: str) -> None:
    """A sign-in that failed changes nothing: the session that was left for it goes on, if it still lives."""
    name = cookie.name_of(cookie.SESSION, is_secure=visit.is_secure) + "="
    if any(line.startswith(name) for line in answer.cookies):
        return
    c = sign_in.configuration
    row = await sign_in.accounts.session(session.encode("latin-1"), (c.max_age, c.update_age, c.absolute_age))
    if row is not None:
        sign_in.set_session(answer, visit, session, row.expires)


async def _refused(sign_in: SignIn, visit: Visit, reason: str, code: str = "OAuthCallbackError") -> Answer:
    provider = visit.provider
    log.warning("sign-in by %s refused: %s (request %s)", provider.id if provider else "?", reason, visit.request_id)
    if not await sign_in.wait(visit, [("callback", *FAILED_CALLBACKS, 1)]):
        await sign_in.accounts.note("sign_in_failed", reason, visit.note())
    return sign_in.failed(visit, code)


async def _come_back(sign_in: SignIn, visit: Visit, made: Flow | None) -> Answer:
    """The answer of a provider, judged. Raises Refused, ProviderFailed."""
    provider = visit.provider
    assert provider is not None  # the route has one
    if made is None or made.provider != provider.id:
        raise Refused("no_flow")  # noqa: EM101 - the word is the reason
    if any(len(values) > 1 for values in visit.query.values()):
        raise Refused("repeated_parameters")  # noqa: EM101
    if any(name in visit.query for name in TOKENS_IN_ANSWERS):
        raise Refused("token_in_answer")  # noqa: EM101
    if made.intent == "link" and made.bound != flow.bound_to(sign_in.token(visit)):
        # Somebody else is signed in here by now, or nobody: nothing is added to anyone.
        return await _refused(sign_in, visit, "session_changed", "AccountNotLinked")
    client = sign_in.clients[provider.id]
    await client.check_issuer(visit.query.get("iss", [None])[0])
    if "error" in visit.query:
        given = visit.query["error"][0]
        raise Refused(
            "provider_said_" + given
            if given.replace("_", "").isalpha() and given.isascii() and len(given) < 40
            else "provider_said_no"
        )
    code = visit.query.get("code", [""])[0]
    if not code:
        raise Refused("no_code")  # noqa: EM101
    claims, tokens = await client.exchange(
        code, made.verifier, f"{visit.origin}{BASE}/callback/{provider.id}", made.nonce
    )
    new = secrets.token_urlsafe(32)
    facts = facts_of(sign_in, provider.id, who(provider, claims), made.intent, tokens)
    old = sign_in.token(visit) or made.session.encode("latin-1") or None
    signed_in = await sign_in.accounts.sign_in(facts, new.encode(), old, visit.note())
    if signed_in.linked_of is not None:
        await sign_in.post.send(
            linked_mail(
                signed_in.linked_of, provider.name, sign_in.configuration.theme_name, visit.origin, visit.address
            )
        )
    return arrived(sign_in, visit, signed_in, new, made.callback)


def facts_of(sign_in: SignIn, provider: str, person: Who, intent: str, tokens: dict[str, Any]) -> dict[str, Any]:
    """What `tenantry.sign_in` is told."""
    c = sign_in.configuration
    kept = None
    if c.stores_tokens:
        import json

        chosen = {k: tokens[k] for k in ("access_token", "refresh_token", "expires_in", "scope") if k in tokens}
        kept = seal.seal(json.dumps(chosen).encode(), c.secrets, "provider tokens").encode().hex()
    return {
        "provider": provider, "account": person.account, "type": "oidc", "email": person.email, "is_verified": person.is_verified,
        "name": person.name, "image": person.image, "facts": person.facts, "tokens": kept, "intent": intent,
        "sign_up": c.sign_up, "is_linking_verified": c.links_verified, "max_age": c.first_age,
    }  # fmt: skip
