"""Attacks on /api/auth from outside: other sites' pages, planted cookies, poisoned hosts and redirects, floods, mails of others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantry import Tenantry
from tenantry.auth.address import address, go_on_to
from tenantry.settings import Secret
from tests.auth.browser import BASE, JSON_ANSWER, Browser, mails, signing_in
from tests.conftest import Cluster, Database


@pytest.fixture
def database(cluster18: Cluster) -> Iterator[Database]:
    """One kind of database is enough here: none of these attacks is on rows."""
    with cluster18.database() as made:
        yield made


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[Tenantry]:
    async with signing_in(database, tmp_path) as app:
        yield app


@pytest.fixture
async def ann(app: Tenantry, tmp_path: Path) -> Browser:
    browser = Browser(app)
    await browser.sign_in_by_mail("ann@acme.example", tmp_path)
    return browser


# ------------------------------------------------------------------ cookies

PLANTED = [
    "%",
    "%00",
    "http://[",
    "a" * 9000,
    "//[::1",
    "https://evil.example/\\",
    "\xff\xfe",
    "%E0%A4%A",
    '"',
    "javascript:alert(1)",
]


@pytest.mark.parametrize("value", PLANTED)
async def test_a_planted_cookie_shuts_nobody_out(ann: Browser, value: str) -> None:
    ann.jar |= {"authjs.callback-url": value, "authjs.flow.00000000": value, "authjs.csrf-token": value, "junk": value}
    for path in ("session", "csrf", "providers", "signin", "signout", "error", "verify-request"):
        assert (await ann.fetch(f"/api/auth/{path}")).status == 200, path
        assert (await ann.fetch(f"/api/auth/{path}?callbackUrl={quote(value)}")).status == 200, path
    assert (await ann.session())["user"]["email"] == "ann@acme.example"


async def test_the_session_cookie_is_read_by_its_exact_name(ann: Browser) -> None:
    token = ann.jar.pop("authjs.session-token")
    for name in (
        "authjs.session-token.0",
        "authjs.session-tokenx",
        "authjs.session-token-evil",
        "Authjs.session-token",
        "__Secure-authjs.session-token",
    ):
        ann.jar = {name: token}
        assert await ann.session() is None, name
        if not name.startswith("__Secure"):
            assert (await ann.call("tenants.list"))["error"] == "UNAUTHORIZED", name


async def test_of_two_session_cookies_the_first_counts_and_it_is_written_down(ann: Browser, database: Database) -> None:
    good = ann.token
    first = await ann.fetch("/api/auth/session", cookie=f"authjs.session-token={good}; authjs.session-token=planted")
    second = await ann.fetch("/api/auth/session", cookie=f"authjs.session-token=planted; authjs.session-token={good}")
    assert first.json["user"]["email"] == "ann@acme.example"
    assert second.json is None
    assert database.value("select count(*) from audit_log where action = 'cookie_duplicate'") == 2


async def test_whatever_sets_a_cookie_is_kept_by_no_cache(ann: Browser, app: Tenantry) -> None:
    stranger = Browser(app)
    pages = [
        await stranger.fetch("/api/auth/csrf"), await stranger.fetch("/api/auth/signin?callbackUrl=/x"), await ann.fetch("/api/auth/session"),
        await Browser(app).fetch("/api/auth/signout"), await Browser(app).fetch("/api/auth/verify-request"),
        await stranger.post("/api/auth/signin/email", {"csrfToken": await stranger.csrf(), "email": "x@acme.example"}),
        await ann.post("/api/auth/signout", {"csrfToken": await ann.csrf()}),
    ]  # fmt: skip
    for page in pages:
        assert page.cookies, page.url
        assert {"private", "no-store"} <= set((page.header("cache-control") or "").split(", ")), page.url


async def test_signing_out_clears_an_older_auth_js_chunks_and_the_row(ann: Browser, database: Database) -> None:
    ann.jar |= {"authjs.session-token.0": "x", "authjs.session-token.1": "y"}
    await ann.post("/api/auth/signout", {"csrfToken": await ann.csrf()})
    assert not any("session" in name for name in ann.jar)
    assert database.value("select count(*) from auth_sessions") == 0


async def test_a_token_is_stored_as_a_hash_and_shown_nowhere(
    ann: Browser, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    token = ann.token or ""
    assert len(token) == 43
    assert token not in str(await ann.session()) + caplog.text
    dump = str(database.admin.execute("select * from auth_sessions, audit_log, auth_verifications").fetchall())
    assert token not in dump


# ------------------------------------------------------------------ other sites

ACTS = ["signin/email", "signout", "callback/email", "invitation"]
SENT = [
    ({}, {}), ({"csrfToken": "0" * 64}, {}), ({"csrfToken": "own"}, {"origin": "https://evil.example"}),
    ({"csrfToken": "own"}, {"origin": "null"}), ({"csrfToken": "own"}, {"origin": "null", "sec-fetch-site": "cross-site"}),
    ({"csrfToken": "own"}, {"origin": "null", "sec-fetch-site": "same-site"}), ({"csrfToken": "own"}, {"sec-fetch-site": "cross-site", "origin": ""}),
    ({"csrfToken": "own"}, {"origin": BASE + ".evil.example"}), ({"csrfToken": "own"}, {"origin": BASE.upper()}),
    ({"csrfToken": "own"}, {"origin": "http://127.0.0.1"}),
]  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(("fields", "headers"), SENT)
async def test_another_sites_page_acts_for_nobody(
    ann: Browser, tmp_path: Path, act: str, fields: dict[str, str], headers: dict[str, str]
) -> None:
    own = await ann.csrf()
    before = len(mails(tmp_path))
    sent = {"email": "x@acme.example", "token": "x", **fields}
    if sent.get("csrfToken") == "own":
        sent["csrfToken"] = own
    for more in ({}, JSON_ANSWER):
        answer = await ann.post(f"/api/auth/{act}", sent, {**headers, **more})
        assert answer.error == "MissingCSRF"
        assert answer.status == (200 if more else 302)
        assert answer.cookies == []
    assert len(mails(tmp_path)) == before
    assert await ann.session() is not None


async def test_a_form_of_our_own_page_is_ours_though_browsers_hide_its_origin(ann: Browser) -> None:
    """A page without referrer posts `Origin: null` (Fetch, "serializing a request origin"): found in Chromium."""
    answer = await ann.post(
        "/api/auth/signout", {"csrfToken": await ann.csrf()}, {"origin": "null", "sec-fetch-site": "same-origin"}
    )
    assert (answer.status, answer.error) == (302, None)


async def test_the_session_is_not_updated_without_a_token(ann: Browser) -> None:
    for value in ({}, {"csrfToken": "0" * 64}, {"csrfToken": 7}, [], None, "x"):
        answer = await ann.post_json("/api/auth/session", value)
        assert (answer.status, answer.text) == (400, "null")


async def test_update_edits_nobody(ann: Browser) -> None:
    data = {"user": {"name": "Eve", "email": "eve@evil.example", "role": "owner", "id": "x"}, "expires": "9999-01-01"}
    answer = await ann.post_json("/api/auth/session", {"csrfToken": await ann.csrf(), "data": data})
    assert answer.status == 200
    assert answer.json["user"]["email"] == "ann@acme.example"


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site", "origin": BASE}],
)
async def test_a_procedure_is_not_called_with_a_cookie_from_elsewhere(ann: Browser, headers: dict[str, str]) -> None:
    answer = await ann.post_json("/trpc/sessions.revokeOthers", {}, headers)
    assert answer.status == 403
    form = await ann.fetch(
        "/trpc/sessions.revokeOthers",
        "POST",
        b"x=1",
        {"content-type": "application/x-www-form-urlencoded", "origin": BASE},
    )
    assert form.status in (400, 403, 415)


async def test_no_other_origin_reads_anything(ann: Browser) -> None:
    for method in ("GET", "OPTIONS"):
        answer = await ann.fetch(
            "/api/auth/session",
            method,
            headers={"origin": "https://evil.example", "access-control-request-method": "GET"},
        )
        assert not any(name.startswith(b"access-control") for name, _ in answer.headers)


# ------------------------------------------------------------------ hosts and redirects

AWAY = [
    "https://evil.example/", "//evil.example", "/\\evil.example", "https:evil.example", "\thttps://evil.example", "javascript:alert(1)",
    "data:text/html,x", f"{BASE}@evil.example/", f"{BASE}.evil.example", "http://127.0.0.1:39990", "https://127.0.0.1:3999", "http://evil@127.0.0.1:3999/",
    "http://127.0.0.1:3999\\@evil.example", "HTTP://EVIL.EXAMPLE", "%2f%2fevil.example", "/x\r\nset-cookie: evil=1", "ftp://127.0.0.1:3999", "x" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("url", AWAY)
async def test_no_redirect_leaves_the_origin(app: Tenantry, url: str) -> None:
    browser = Browser(app)
    token = await browser.csrf()
    for headers in ({}, JSON_ANSWER):
        answer = await browser.post("/api/auth/signout", {"csrfToken": token, "callbackUrl": url}, headers)
        to = answer.json["url"] if headers else answer.location
        assert to == BASE or to.startswith((BASE + "/", BASE + "?")), to
        assert not any(name == b"set-cookie" and b"evil" in value for name, value in answer.headers)
    page = await browser.fetch(f"/api/auth/signin?callbackUrl={quote(url)}")
    assert "evil" not in page.form()[1]["callbackUrl"].removeprefix(BASE + "/") or page.form()[1][
        "callbackUrl"
    ].startswith(BASE + "/")


async def test_a_listed_origin_may_be_gone_on_to_and_no_other(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, auth_redirect_origins="https://admin.example") as app:
        browser = Browser(app)
        for url, to in (
            ("https://admin.example/x", "https://admin.example/x"),
            ("https://admin.example.evil/", BASE),
            ("https://x.admin.example/", BASE),
        ):
            answer = await browser.post(
                "/api/auth/signout", {"csrfToken": await browser.csrf(), "callbackUrl": url}, JSON_ANSWER
            )
            assert answer.json == {"url": to}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        {"forwarded": "host=evil.example"},
    ],
)
async def test_with_auth_url_nobody_else_says_who_we_are(app: Tenantry, headers: dict[str, str]) -> None:
    answer = await Browser(app).fetch("/api/auth/providers", headers=headers)
    assert "evil" not in answer.text
    assert BASE in answer.text


async def test_without_auth_url_only_loopback_and_trusted_proxies_say_who_we_are(
    database: Database, tmp_path: Path
) -> None:
    async with signing_in(database, tmp_path, auth_url=None) as app:
        browser = Browser(app)
        assert (await browser.fetch("/api/auth/providers", headers={"host": "localhost:3001"})).status == 200
        for host in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1@evil.example",
            "",
            "localhost:99999999",
            "[::1",
        ):
            answer = await browser.fetch("/api/auth/providers", headers={"host": host})
            assert (answer.status, "evil" in answer.text) == (400, False), host
    forwarded = {"host": "internal", "x-forwarded-host": "app.example", "x-forwarded-proto": "https"}
    trusting = {
        "auth_url": None,
        "env": "production",
        "auth_rate_limits": "on",
        "auth_trust_host": True,
        "trusted_proxies": "10.0.0.0/8",
    }
    async with signing_in(database, tmp_path, **trusting) as app:
        assert (
            (await Browser(app, peer="10.1.2.3").fetch("/api/auth/csrf", headers=forwarded))
            .cookies[0]
            .startswith("__Host-")
        )
        assert (await Browser(app, peer="192.0.2.7").fetch("/api/auth/csrf", headers=forwarded)).status == 400
    async with signing_in(database, tmp_path, **trusting, auth_hosts="other.example") as app:
        assert (await Browser(app, peer="10.1.2.3").fetch("/api/auth/csrf", headers=forwarded)).status == 400


# ------------------------------------------------------------------ pages


async def test_every_page_has_a_policy_and_no_script(app: Tenantry, ann: Browser, tmp_path: Path) -> None:
    stranger = Browser(app)
    await stranger.post("/api/auth/signin/email", {"csrfToken": await stranger.csrf(), "email": "bob@acme.example"})
    link = mails(tmp_path, "bob@acme.example")[0]["url"]
    for path in (
        "/api/auth/signin?error=OAuthCallbackError",
        "/api/auth/signout",
        "/api/auth/error?error=Configuration",
        "/api/auth/verify-request",
        link,
    ):
        page = await stranger.fetch(path)
        policy = page.header("content-security-policy") or ""
        nonce = re.search(r"style-src 'nonce-([\w-]{16,})'", policy)
        assert nonce, path
        assert f'<style nonce="{nonce[1]}">' in page.text
        assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= {
            part.strip() for part in policy.split(";")
        }
        assert "form-action 'self'" in policy
        assert page.header("referrer-policy") == "no-referrer"
        assert page.header("x-content-type-options") == "nosniff"
        assert not re.search(r"<script|javascript:|\son\w+=|<img|<link|src=", page.text, re.IGNORECASE)
        assert (await stranger.fetch(path)).header("content-security-policy") != policy  # a nonce is used once


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'-alert(1)-'",
        "</style><script>",
        "&lt;script&gt;",
        "{{7*7}}",
    ],
)
async def test_nothing_that_is_said_to_a_page_becomes_markup(app: Tenantry, evil: str) -> None:
    for path in (
        "signin?error=",
        "signin?callbackUrl=/",
        "error?error=",
        "verify-request?error=",
        "callback/email?token=x&email=",
        "invitation?token=",
    ):
        page = await Browser(app).fetch(f"/api/auth/{path}{quote(evil)}")
        assert evil not in page.text or evil == "{{7*7}}"
        assert "<script" not in page.text


@pytest.mark.parametrize(
    ("code", "status"),
    [("Configuration", 500), ("AccessDenied", 403), ("Verification", 403), ("Default", 200), ("x", 200)],
)
async def test_the_error_page_says_so_by_its_status(app: Tenantry, code: str, status: int) -> None:
    assert (await Browser(app).fetch(f"/api/auth/error?error={code}")).status == status


# ------------------------------------------------------------------ shapes

SHAPES = [
    ("GET", "nope", 404), ("GET", "", 404), ("GET", "session/google", 404), ("GET", "signin/google/x", 404), ("GET", "signin/nope", 404),
    ("PUT", "session", 405), ("DELETE", "session", 405), ("POST", "providers", 405), ("PATCH", "signout", 405), ("POST", "signin", 405),
    ("GET", "callback/nope", 404), ("GET", "../trpc/health.check", 404), ("POST", "csrf", 405),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), SHAPES)
async def test_what_is_not_served_is_refused_in_json(app: Tenantry, method: str, path: str, status: int) -> None:
    request_path = f"/api/auth/{path}"
    browser = Browser(app)
    from tenantry.http import Request, Response

    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    app.handler(Request(method, request_path, b"", [(b"host", b"x")], b"", "127.0.0.1"), answered.set_result)
    answer = await answered
    assert answer.status == status
    if status == 405:
        assert any(name == b"allow" for name, _ in answer.headers)
    assert browser.token is None


async def test_head_does_nothing(app: Tenantry, tmp_path: Path, database: Database) -> None:
    browser = Browser(app)
    await browser.post("/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "bob@acme.example"})
    link = mails(tmp_path)[0]["url"]
    for path in ("/api/auth/session", "/api/auth/csrf", "/api/auth/signout", link):
        answer = await browser.fetch(path, "HEAD")
        assert (answer.status, answer.text, answer.cookies) == (200, "", [])
    assert (await browser.fetch(link)).status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"x" * 70_000, "application/x-www-form-urlencoded", 413), (b"{", "application/json", 400), (b"[" * 60_000, "application/json", 400),
        (b"&".join(b"a%d=1" % n for n in range(500)), "application/x-www-form-urlencoded", 400), (b"x", "text/plain", 415), (b"x", "multipart/form-data", 415),
    ],
)  # fmt: skip
async def test_a_body_that_cannot_be_read_is_refused(
    app: Tenantry, body: bytes, content_type: str, status: int
) -> None:
    answer = await Browser(app).fetch("/api/auth/signout", "POST", body, {"content-type": content_type})
    assert answer.status == status


async def test_of_two_fields_with_one_name_the_last_counts(app: Tenantry) -> None:
    browser = Browser(app)
    token = await browser.csrf()
    body = f"csrfToken={'0' * 64}&csrfToken={token}&callbackUrl=https://evil.example&callbackUrl=/x".encode()
    headers = {"content-type": "application/x-www-form-urlencoded", **JSON_ANSWER}
    assert (await browser.fetch("/api/auth/signout", "POST", body, headers)).json == {"url": f"{BASE}/x"}


text = st.text(max_size=60)
names = st.sampled_from(
    [
        "session",
        "csrf",
        "providers",
        "signin",
        "signin/email",
        "callback/email",
        "signout",
        "error",
        "verify-request",
        "invitation",
        "x",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names,
    st.dictionaries(st.sampled_from(["callbackUrl", "error", "token", "email", "state", "code"]), text),
    text,
    st.binary(max_size=80),
)
async def test_nothing_that_a_stranger_sends_is_a_fault_of_ours(
    app: Tenantry, name: str, query: dict[str, str], cookie: str, body: bytes
) -> None:
    browser = Browser(app)
    path = f"/api/auth/{name}?" + "&".join(f"{k}={quote(v)}" for k, v in query.items())
    planted = "".join(c for c in cookie if ord(c) < 256 and c not in "\r\n\0")
    sent = f"authjs.session-token={planted}; authjs.callback-url={planted}; authjs.csrf-token={planted}"
    for method, content in (("GET", b""), ("POST", body)):
        answer = await browser.fetch(
            path,
            method,
            content,
            {"content-type": "application/x-www-form-urlencoded", "x-auth-return-redirect": planted or "1"},
            sent,
        )
        assert answer.status < 500 or (name == "error" and query.get("error") == "Configuration")


# ------------------------------------------------------------------ the e-mail link


async def test_a_link_works_once_and_opening_it_changes_nothing(app: Tenantry, tmp_path: Path) -> None:
    browser = Browser(app)
    await browser.post("/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "bob@acme.example"})
    link = mails(tmp_path)[0]["url"]
    scanner = Browser(app)
    for _ in range(3):
        assert (await scanner.fetch(link)).status == 200
    page = await browser.fetch(link)
    assert (await browser.submit(page)).error is None
    assert (await browser.fetch(link)).error == "Verification"
    assert (await browser.submit(page)).error == "Verification"


async def test_a_link_is_bound_to_its_address_and_its_time(app: Tenantry, tmp_path: Path, database: Database) -> None:
    browser = Browser(app)
    await browser.post("/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "bob@acme.example"})
    link = mails(tmp_path)[0]["url"]
    page = await browser.fetch(link)
    assert (await browser.submit(page, email="ann@acme.example")).error == "Verification"
    database.admin.execute("update auth_verifications set expires = now()")
    assert (await browser.submit(page)).error == "Verification"
    assert browser.token is None


async def test_the_code_works_in_the_window_that_asked_and_five_tries_void_it(app: Tenantry, tmp_path: Path) -> None:
    asked = Browser(app)
    await asked.post("/api/auth/signin/email", {"csrfToken": await asked.csrf(), "email": "bob@acme.example"})
    code = mails(tmp_path)[0]["code"]
    page = await asked.fetch("/api/auth/verify-request")
    elsewhere = Browser(app)
    stolen = page.form()[1]["flow"]
    assert (
        await elsewhere.post(
            "/api/auth/callback/email", {"csrfToken": await elsewhere.csrf(), "flow": stolen, "code": code}
        )
    ).error == "Verification"
    assert (await asked.submit(page, code=f" {code[:4].lower()}-{code[4:].lower()} ")).error is None
    assert (await asked.session())["user"]["email"] == "bob@acme.example"

    eve = Browser(app)
    await eve.post("/api/auth/signin/email", {"csrfToken": await eve.csrf(), "email": "bob@acme.example"})
    page = await eve.fetch("/api/auth/verify-request")
    for _ in range(5):
        assert (await eve.submit(page, code="AAAA-AAAA")).error == "InvalidCode"
    assert (await eve.submit(page, code=mails(tmp_path)[-1]["code"])).error == "InvalidCode"
    # Her five tries voided her own code; bob signs in by link all the same.
    assert (await Browser(app).fetch(mails(tmp_path)[-1]["url"])).status == 200


async def test_the_answer_is_the_same_whether_anybody_has_the_address(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path) as app:
        await Browser(app).sign_in_by_mail("ann@acme.example", tmp_path)
    async with signing_in(database, tmp_path, auth_sign_up="invited") as app:
        answers = []
        for email in ("ann@acme.example", "nobody@acme.example"):
            browser = Browser(app)
            answer = await browser.post(
                "/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": email}, JSON_ANSWER
            )
            answers.append(
                (
                    answer.status,
                    answer.text,
                    [line.partition("=")[0][:12] for line in answer.cookies],
                    [n for n, _ in answer.headers],
                )
            )
            assert (await browser.fetch("/api/auth/verify-request")).text.count("<form") == 1
        assert answers[0] == answers[1]
        assert mails(tmp_path, "nobody@acme.example") == []


@pytest.mark.parametrize(
    "email",
    [
        "",
        "no-at",
        "a@b@c",
        '"x@evil.example"@victim.com',
        "a@b.c\r\nBcc: x@y.z",
        "a＠b@c.d",
        "a@b,c.d",
        "a b@c.d",
        "a@",
        "@b.c",
        "a@b..c",
        "a" * 250 + "@b.c",
        "a@-b.c",
        "<a@b.c>",
        "a@b.c\0",
    ],
)
async def test_an_address_that_cannot_be_gets_no_mail(app: Tenantry, tmp_path: Path, email: str) -> None:
    browser = Browser(app)
    answer = await browser.post(
        "/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": email}, JSON_ANSWER
    )
    assert answer.error == "EmailSignin"
    assert mails(tmp_path) == []


async def test_full_width_twins_and_other_cases_are_one_person(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    for email in (
        "ann@acme.example",
        "ANN@Acme.Example",
        "ａｎｎ@acme.example",
        " ann@acme.example ",
        "ann＠acme.example",
    ):
        browser = Browser(app)
        await browser.post("/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": email})
        await browser.submit(await browser.fetch(mails(tmp_path)[-1]["url"]))
        assert (await browser.session())["user"]["email"] == "ann@acme.example", email
    assert database.value("select count(*) from auth_identities") == 1


@given(st.text(max_size=40))
def test_an_address_is_stable_or_none(text: str) -> None:
    found = address(text)
    assert found is None or (address(found) == found and found.count("@") == 1 and not set(found) & set('",;<> \r\n\0'))


@given(st.text(max_size=80))
def test_go_on_to_never_leaves(text: str) -> None:
    found = go_on_to(text, "https://app.example", frozenset())
    assert found == "https://app.example" or found.startswith(
        ("https://app.example/", "https://app.example?", "https://app.example#")
    )


# ------------------------------------------------------------------ floods


async def test_limits_are_by_sender_and_lock_nobody_out(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, auth_rate_limits="on") as app:
        flood = Browser(app, peer="203.0.113.5")
        token = await flood.csrf()
        answers = [
            await flood.post("/api/auth/signin/email", {"csrfToken": token, "email": "ann@acme.example"}, JSON_ANSWER)
            for _ in range(5)
        ]
        assert [a.status for a in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].json == {"url": f"{BASE}/api/auth/signin?error=RateLimited"}
        assert int(answers[-1].header("retry-after") or 0) > 0
        plain = await flood.post("/api/auth/signin/email", {"csrfToken": token, "email": "ann@acme.example"})
        assert (plain.status, "Too many" in plain.text) == (429, True)
        victim = Browser(app, peer="198.51.100.9")
        await victim.sign_in_by_mail("ann@acme.example", tmp_path)
        assert await victim.session() is not None


async def test_an_ipv6_network_is_one_sender(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, auth_rate_limits="on") as app:
        statuses = []
        for n in range(32):
            browser = Browser(app, peer=f"2001:db8:1:2::{n:x}")
            statuses.append(
                (
                    await browser.post(
                        "/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "no"}, JSON_ANSWER
                    )
                ).status
            )
        assert statuses.count(429) == 2
        other = Browser(app, peer="2001:db8:1:3::1")
        assert (
            await other.post("/api/auth/signin/email", {"csrfToken": await other.csrf(), "email": "no"}, JSON_ANSWER)
        ).status == 200


async def test_a_stranger_does_not_choose_who_is_counted(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, auth_rate_limits="on") as app:
        statuses = []
        for n in range(32):
            browser = Browser(app, peer="203.0.113.5")
            headers = {
                **JSON_ANSWER,
                "x-forwarded-for": f"198.51.100.{n}",
                "forwarded": f"for=198.51.100.{n}",
                "x-real-ip": f"198.51.100.{n}",
            }
            statuses.append(
                (
                    await browser.post(
                        "/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": "no"}, headers
                    )
                ).status
            )
        assert statuses.count(429) == 2


async def test_failing_tokens_are_counted_and_good_ones_pass(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, auth_rate_limits="on") as app:
        ann = Browser(app, peer="203.0.113.5")
        await ann.sign_in_by_mail("ann@acme.example", tmp_path)
        eve = Browser(app, peer="203.0.113.5")
        statuses = []
        for n in range(33):
            eve.jar = {"authjs.session-token": f"guess-{n}"}
            statuses.append((await eve.fetch("/api/auth/session")).status)
        assert statuses.count(429) == 3
        assert (await ann.session())["user"]["email"] == "ann@acme.example"


async def test_without_a_secret_in_production_nothing_is_served(database: Database, tmp_path: Path) -> None:
    over = {"auth_secret": None, "env": "production", "auth_rate_limits": "on", "auth_email_server": None}
    async with signing_in(database, tmp_path, **over) as app:
        assert (await Browser(app).fetch("/api/auth/session")).status == 404


def test_secrets_are_never_printed() -> None:
    assert "SECRET" not in repr(Secret("SECRET"))
