"""What stock Auth.js clients call under /api/auth: the list of actions, and what all of them share.

A request becomes a `Visit`, an action makes an `Answer` of it, and whatever fails inside becomes an answer too: never a 5xx for
what a stranger sends. GET starts nothing, HEAD does nothing at all; whatever acts is a POST with a CSRF token from a page of ours.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from urllib.parse import quote

from tenantry.auth import by_email, cookie, csrf, invited, pages, session_actions, signing_in
from tenantry.auth.accounts import Accounts, Limit
from tenantry.auth.address import go_on_to
from tenantry.auth.answer import Answer, as_json, as_page, redirect
from tenantry.auth.configuration import BASE, Configuration, Provider
from tenantry.auth.credential import Headers
from tenantry.auth.failing import Failing
from tenantry.auth.housekeeping import Housekeeping
from tenantry.auth.mail import Post
from tenantry.auth.oidc import Client
from tenantry.auth.visit import BadVisit, HttpRequest, Sent, Visit, origin, sender
from tenantry.errors import PreconditionFailed, TenantryError
from tenantry.signals import Signals

log = logging.getLogger("tenantry.auth")
Respond = Callable[[int, bytes, Headers], None]
Action = Callable[["SignIn", Visit], Awaitable[Answer]]
REQUEST_ID = re.compile(r"[0-9a-f-]{1,40}")
ON_ERROR_PAGE = frozenset({"AccessDenied", "Verification", "Configuration"})


class SignIn:
    """The Auth.js surface of one application."""

    def __init__(self, configuration: Configuration, accounts: Accounts, post: Post, signals: Signals) -> None:
        self.signals = signals
        self.loop = asyncio.get_running_loop()
        self.configuration = configuration
        self.accounts = accounts
        self.post = post
        self.clients = {
            provider.id: Client(provider, self._report)
            for provider in configuration.providers.values()
            if provider.type == "oidc"
        }
        self._running: set[asyncio.Task[None]] = set()
        self.failing = Failing(accounts, is_on=configuration.has_limits)
        self.upkeep = Housekeeping(accounts, configuration.secrets[0] if configuration.secrets else None)

    def _report(self, provider: str, is_up: bool) -> None:
        """From worker threads: counters are the loop's."""
        self.loop.call_soon_threadsafe(partial(self.signals.provider, provider, is_up=is_up))

    # ------------------------------------------------------------------ one request

    def handle(self, request: HttpRequest, respond: Respond, request_id: str) -> None:
        """Answer one request under /api/auth, later, in a task of its own: sign-in is rare, and waits for other machines."""
        task = asyncio.get_running_loop().create_task(self._answer(request, respond, request_id))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, request: HttpRequest, respond: Respond, request_id: str) -> None:
        try:
            answer = await self.act(request, request_id)
        except BadVisit as bad:
            answer = as_json({"message": bad.message}, bad.status, is_kept=False)
        except TenantryError as error:
            answer = self._failed(request, error, request_id)
        except Exception as error:  # the last line: a stranger sees an id, the log has the trace
            log.exception("sign-in failed: %s (request %s)", type(error).__name__, request_id)
            answer = self._broken(request, 500)
        answer.headers.append((b"x-request-id", request_id.encode("ascii")))
        respond(answer.status, answer.body, answer.lines())

    def _failed(self, request: HttpRequest, error: TenantryError, request_id: str) -> Answer:
        log.error("sign-in failed: %s (request %s)", error.code, request_id)
        is_away = error.trpc in ("SERVICE_UNAVAILABLE", "TIMEOUT")
        answer = self._broken(request, 503 if is_away else 500)
        if is_away:
            answer.headers.append((b"retry-after", b"1"))
        return answer

    def _broken(self, request: HttpRequest, status: int) -> Answer:
        body: dict[str, str] = {"message": "Signing in does not work at the moment; try again."}
        origin = self.configuration.origin
        if origin is not None and any(name == b"x-auth-return-redirect" for name, _ in request.headers):
            body["url"] = f"{origin}{BASE}/error?error=Configuration"
        return as_json(body, status, is_kept=False)

    async def act(self, request: HttpRequest, request_id: str) -> Answer:
        """Find the action and let it answer. Raises BadVisit and TenantryError."""
        if not self.configuration.is_on:
            return as_json({"message": "Sign-in is not set up here"}, 404)
        name, *rest = request.path[len(BASE) :].strip("/").split("/")
        shape = f"{name}/:provider" if len(rest) == 1 and name in ("signin", "callback") else "/".join([name, *rest])
        methods = ACTIONS.get(shape)
        if methods is None:
            return as_json({"message": "There is no such action"}, 404)
        method = request.method
        if method == "HEAD" and "GET" in methods:
            return Answer(200, b"", None)
        action = methods.get(method)
        if action is None:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
            answer = (
                Answer(204, b"", None)
                if method == "OPTIONS"
                else as_json({"message": "This method is not allowed here"}, 405)
            )
            answer.headers.append((b"allow", allowed.encode()))
            return answer
        visit = Visit(request, self.configuration, request_id)
        if rest:
            provider = self.configuration.providers.get(rest[0])
            if provider is None:
                return (
                    as_json({"message": "There is no such provider"}, 404)
                    if method == "GET"
                    else self.error(visit, "OAuthCallbackError")
                )
            visit.provider = provider
        if method == "POST":
            visit.fields  # noqa: B018 - a body that cannot be read is refused before anything else
        await self._note_doubles(visit)
        return await action(self, visit)

    def note_key_in_url(self, request: Sent, request_id: str) -> None:
        """A key that came in a URL stands in histories and proxies' logs: it is refused, and that is written down, without it."""
        task = self.loop.create_task(self._note_key_in_url(request, request_id))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _note_key_in_url(self, request: Sent, request_id: str) -> None:
        address = sender(request.headers, request.peer, self.configuration.proxies)
        visit = json.dumps({"ip": address, "request": request_id})
        try:
            if not await self.limited(f"key-in-url:{address}", 10, 600):
                await self.accounts.note("api_key_in_url", "refused", visit)
        except TenantryError as error:
            log.warning("the trail was not written: %s", error.code)

    async def _note_doubles(self, visit: Visit) -> None:
        """Two session cookies: the first counts, and somebody may be planting one."""
        if cookie.name_of(cookie.SESSION, is_secure=visit.is_secure) in visit.doubled and not await self.wait(
            visit, [("double", 10, 600, 1)]
        ):
            await self.accounts.note("cookie_duplicate", "session-token", visit.note())

    async def close(self) -> None:
        """Stop what runs beside; let what runs end, within two seconds."""
        await self.upkeep.close()
        if self._running:
            await asyncio.wait(self._running, timeout=2.0)
        await self.post.close()

    # ------------------------------------------------------------------ what actions share

    def token(self, visit: Visit) -> bytes | None:
        """The session token that the request came with; by the cookie's exact name."""
        value = visit.cookies.get(cookie.name_of(cookie.SESSION, is_secure=visit.is_secure))
        return value.encode("latin-1")[:4096] if value else None

    def set_session(self, answer: Answer, visit: Visit, token: str, expires: datetime) -> None:
        """The answer brings the session."""
        answer.cookies.append(cookie.set_cookie(cookie.SESSION, token, is_secure=visit.is_secure, expires=expires))

    def clear_session(self, answer: Answer, visit: Visit) -> None:
        """The session cookie goes, and the chunks that an earlier Auth.js may have left."""
        kinds = cookie.session_kinds(visit.cookies, is_secure=visit.is_secure)
        answer.cookies += [cookie.clear(kind, is_secure=visit.is_secure) for kind in kinds]

    def csrf_token(self, visit: Visit) -> tuple[str, str | None]:
        """The token of this browser, and the `Set-Cookie` value if it needs one: absent, forged, or under an older secret."""
        known = self.configuration.secrets
        name = cookie.name_of(cookie.CSRF, is_secure=visit.is_secure)
        token, is_old = csrf.token_of(visit.cookies.get(name), known)
        if token is None:
            token, value = csrf.make(known)
        elif is_old:
            value = csrf.value_of(token, known)
        else:
            return token, None
        return token, cookie.set_cookie(cookie.CSRF, value, is_secure=visit.is_secure)

    def is_ours(self, visit: Visit) -> bool:
        """Whether a POST comes from a page of ours."""
        return csrf.is_good(
            visit.cookies.get(cookie.name_of(cookie.CSRF, is_secure=visit.is_secure)),
            visit.field("csrfToken"),
            self.configuration.secrets,
            own=visit.origin,
            allowed=self.configuration.asking_origins,
            origin=visit.header(b"origin"),
            fetch_site=visit.header(b"sec-fetch-site"),
        )

    def callback_url(self, visit: Visit) -> str:
        """Where to go on: the field of a POST, else the query, else the cookie, else our origin; never anywhere else."""
        from urllib.parse import unquote

        given = visit.field("callbackUrl") if visit.method == "POST" else None
        if given is None:
            given = visit.query.get("callbackUrl", [None])[0]
        if given is None:
            given = unquote(visit.cookies.get(cookie.name_of(cookie.CALLBACK, is_secure=visit.is_secure), ""))
        return go_on_to(given, visit.origin, self.configuration.redirect_origins)

    def keep_callback(self, answer: Answer, visit: Visit, url: str) -> None:
        """Remember where to go on, for a sign-in that takes several pages."""
        value = quote(url, safe="")
        answer.cookies.append(cookie.set_cookie(cookie.CALLBACK, value, is_secure=visit.is_secure))

    def go(self, visit: Visit, url: str) -> Answer:
        """On to `url`: 302, or `{url}` for the stock client."""
        return as_json({"url": url}, is_kept=False) if visit.wants_json else redirect(url)

    def error(self, visit: Visit, code: str) -> Answer:
        """The page that says what went wrong, as Auth.js names it. Sets no cookie."""
        theirs = self.configuration.pages
        own = theirs.error if code in ON_ERROR_PAGE else theirs.sign_in
        page = own or f"{BASE}/{'error' if code in ON_ERROR_PAGE else 'signin'}"
        url = visit.origin + page if page.startswith("/") else page
        return self.go(visit, f"{url}{'&' if '?' in url else '?'}error={code}")

    async def wait(self, visit: Visit, limits: list[Limit]) -> int:
        """Seconds that this sender must wait; 0 where it need not, or limits are off. The sender joins each key."""
        if not self.configuration.has_limits:
            return 0
        sender = visit.sender_key()
        return await self.accounts.wait_of([(f"{key}:{sender}", *rest) for key, *rest in limits])  # pyright: ignore[reportArgumentType] - the tuple's tail

    async def limited(self, key: str, most: int, seconds: int) -> bool:
        """Count something that is no sender; whether it was too often."""
        return self.configuration.has_limits and await self.accounts.wait_of([(key, most, seconds, 1)]) > 0

    def origin_for(self, headers: Headers) -> str:
        """The public origin, for a link in a mail that a procedure sends. Raises PreconditionFailed where none can be trusted."""
        try:
            return origin(headers, None, self.configuration)
        except BadVisit:
            message = "No link can be made: AUTH_URL is not set"
            raise PreconditionFailed(message) from None

    async def send_invitation(self, own: str, to: str, tenant: str, role: str, token: str) -> None:
        """The mail with the invitation's link."""
        await self.post.send(invited.mail(own, to, tenant, role, token, self.configuration.theme_name))

    def failed(self, visit: Visit, code: str) -> Answer:
        """As `error`, and the page that follows names this request, whose reason stands in the log and in the trail."""
        answer = self.error(visit, code)
        if not visit.wants_json:
            answer.cookies.append(
                cookie.set_cookie(
                    cookie.TROUBLE, visit.request_id, is_secure=visit.is_secure, max_age=cookie.TROUBLE_SECONDS
                )
            )
        return answer

    def request_told(self, visit: Visit) -> str:
        """The id that a page with an error shows: of the request that failed, if a moment ago one did, else of this one."""
        found = visit.cookies.get(cookie.name_of(cookie.TROUBLE, is_secure=visit.is_secure), "")
        return found if REQUEST_ID.fullmatch(found) else visit.request_id

    def too_many(self, visit: Visit, seconds: int) -> Answer:
        """429 in the shape that the client can read."""
        url = f"{visit.origin}{BASE}/signin?error=RateLimited"
        if visit.wants_json:
            answer = as_json({"url": url}, 429, is_kept=False)
        else:
            nonce = secrets.token_urlsafe(16)
            html = pages.document(self.configuration, nonce, "Please wait", f"<p>{pages.ERRORS['RateLimited']}</p>")
            answer = as_page(html, 429, nonce, "")
        answer.headers.append((b"retry-after", str(seconds).encode()))
        return answer

    def page(self, visit: Visit, html: str, nonce: str, *, status: int = 200, csrf_cookie: str | None = None) -> Answer:
        """A page of ours, whose forms may lead to the providers and to listed origins."""
        del visit
        origins = {
            pages.origin_of(p) for p in self.configuration.providers.values()
        } | self.configuration.redirect_origins
        for client in self.clients.values():
            origins |= client.form_origins()
        answer = as_page(html, status, nonce, " ".join(sorted(origins - {""})))
        if csrf_cookie is not None:
            answer.cookies.append(csrf_cookie)
        return answer


async def providers(sign_in: SignIn, visit: Visit) -> Answer:
    """GET providers."""

    def shown(provider: Provider) -> dict[str, str]:
        base = visit.origin + BASE
        return {
            "id": provider.id,
            "name": provider.name,
            "type": provider.type,
            "signinUrl": f"{base}/signin/{provider.id}",
            "callbackUrl": f"{base}/callback/{provider.id}",
        }

    return as_json({provider.id: shown(provider) for provider in sign_in.configuration.providers.values()})


async def csrf_token(sign_in: SignIn, visit: Visit) -> Answer:
    """GET csrf."""
    token, line = sign_in.csrf_token(visit)
    answer = as_json({"csrfToken": token}, is_kept=False)
    if line is not None:
        answer.cookies.append(line)
    return answer


async def error_page(sign_in: SignIn, visit: Visit) -> Answer:
    """GET error."""
    code = visit.query.get("error", ["Default"])[0]
    if sign_in.configuration.pages.error:
        return redirect(f"{sign_in.configuration.pages.error}?error={quote(code, safe='')}")
    nonce = secrets.token_urlsafe(16)
    html, status = pages.error(sign_in.configuration, nonce, BASE, code, sign_in.request_told(visit))
    return sign_in.page(visit, html, nonce, status=status)


ACTIONS: dict[str, dict[str, Action]] = {
    "providers": {"GET": providers},
    "csrf": {"GET": csrf_token},
    "session": {"GET": session_actions.read, "POST": session_actions.update},
    "signin": {"GET": signing_in.page},
    "signin/:provider": {"GET": signing_in.not_by_get, "POST": signing_in.begin},
    "callback/:provider": {"GET": signing_in.callback, "POST": by_email.confirm},
    "signout": {"GET": session_actions.sign_out_page, "POST": session_actions.sign_out},
    "error": {"GET": error_page},
    "verify-request": {"GET": by_email.verify_request},
    "invitation": {"GET": invited.look, "POST": invited.accept},
}
"""Path under /api/auth → method → what answers."""
