"""Attacks by what a request says: planted cookies, tokens used twice, other sites' pages, hosts and senders that are made up, clocks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tenantry import Ctx, File, Tenantry
from tenantry.auth.address import address, go_on_to
from tenantry.auth.visit import counted_as, sender
from tests.auth.browser import BASE, JSON_ANSWER, Browser, mails, signing_in
from tests.auth.provider import HTTPS
from tests.auth.test_members import owner_of
from tests.conftest import Cluster, Database


@pytest.fixture
def database(cluster18: Cluster) -> Iterator[Database]:
    """One kind of database is enough here: none of these attacks is on rows."""
    with cluster18.database() as made:
        yield made


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[Tenantry]:
    app = Tenantry()
    files = app.router("files")

    @files.mutation
    async def put(ctx: Ctx, file: File) -> int:
        size = 0
        async for part in file:
            size += len(part)
        return size

    async with signing_in(database, tmp_path, app, tenant_sign_up="anyone") as app:
        yield app


# ------------------------------------------------------------------ cookies


async def test_behind_https_a_cookie_that_a_sibling_host_may_plant_is_no_session(
    database: Database, tmp_path: Path
) -> None:
    async with signing_in(database, tmp_path, auth_url=HTTPS, tenant_sign_up="anyone") as app:
        eve = Browser(app, HTTPS)
        await eve.sign_in_by_mail("eve@evil.example", tmp_path)
        await eve.call("tenants.create", {"slug": "evil", "name": "Evil"}, mutation=True)
        token = eve.token
        assert (await eve.fetch("/trpc/users.list")).status == 200
        victim = Browser(app, HTTPS)
        victim.jar = {"authjs.session-token": token or ""}
        assert (await victim.fetch("/trpc/users.list")).status == 401
        assert (await victim.fetch("/trpc/tenants.list")).status == 401
        assert await victim.session() is None
        # Beside the real one it is not even looked at, whichever comes first.
        both = f"authjs.session-token=planted; __Secure-authjs.session-token={token}"
        assert (await victim.fetch("/trpc/users.list", cookie=both)).status == 200


@pytest.mark.parametrize("size", [5000, 60_000])
async def test_oversized_cookies_are_nobodys_session_and_no_fault(app: Tenantry, size: int) -> None:
    for value in ("x" * size, "\xff" * size, "a=b=" * (size // 4)):
        for path in ("/api/auth/session", "/trpc/users.list", "/trpc/tenants.list"):
            answer = await Browser(app).fetch(path, cookie=f"authjs.session-token={value}")
            assert answer.status in (200, 401), (path, answer.status)


async def test_chunks_are_never_put_together(app: Tenantry, tmp_path: Path) -> None:
    ann = Browser(app)
    await ann.sign_in_by_mail("ann@acme.example", tmp_path)
    token = ann.token or ""
    chunks = f"authjs.session-token.0={token[:20]}; authjs.session-token.1={token[20:]}"
    assert (await ann.fetch("/api/auth/session", cookie=chunks)).json is None
    assert (await ann.fetch("/trpc/tenants.list", cookie=chunks)).status == 401


async def test_a_session_is_never_taken_from_a_url_a_body_or_another_header(app: Tenantry, tmp_path: Path) -> None:
    ann = Browser(app)
    await ann.sign_in_by_mail("ann@acme.example", tmp_path)
    token = ann.token or ""
    stranger = Browser(app)
    for name in ("token", "session", "sessionToken", "authjs.session-token", "access_token", "authorization"):
        assert (await stranger.fetch(f"/api/auth/session?{name}={token}")).json is None
        assert (await stranger.fetch(f"/trpc/tenants.list?{name}={token}")).status == 401
        assert (await stranger.fetch("/trpc/tenants.list", headers={f"x-{name}": token})).status == 401
    for header in (f"Basic {token}", f"Token {token}", token, f"Bearer\t{token}\x00"):
        assert (await stranger.fetch("/trpc/tenants.list", headers={"authorization": header})).status == 401


# ------------------------------------------------------------------ CSRF, login CSRF, other sites


async def test_a_csrf_token_of_one_browser_is_none_of_another(app: Tenantry, tmp_path: Path) -> None:
    eve, ann = Browser(app), Browser(app)
    theirs = await eve.csrf()
    await ann.sign_in_by_mail("ann@acme.example", tmp_path)
    assert (await ann.post("/api/auth/signout", {"csrfToken": theirs})).error == "MissingCSRF"
    del ann.jar["authjs.csrf-token"]
    assert (await ann.post("/api/auth/signout", {"csrfToken": theirs})).error == "MissingCSRF"
    assert await ann.session() is not None


@pytest.mark.parametrize("cookie", ["", "|", "x" * 64 + "|" + "y" * 64, "%7C".join(["0" * 64] * 2), "0" * 64])
async def test_a_csrf_cookie_that_is_made_up_opens_nothing(app: Tenantry, cookie: str) -> None:
    browser = Browser(app)
    browser.jar = {"authjs.csrf-token": cookie}
    for token in (cookie.partition("|")[0], cookie.partition("%7C")[0], "", "0" * 64):
        assert (await browser.post("/api/auth/signin/email", {"csrfToken": token, "email": "a@b.cd"})).error == (
            "MissingCSRF"
        )


async def test_a_link_for_the_attackers_account_signs_no_victim_in_by_being_opened(
    app: Tenantry, tmp_path: Path
) -> None:
    eve, victim = Browser(app), Browser(app)
    await victim.sign_in_by_mail("ann@acme.example", tmp_path)
    await eve.post("/api/auth/signin/email", {"csrfToken": await eve.csrf(), "email": "eve@evil.example"})
    page = await victim.fetch(mails(tmp_path)[-1]["url"])
    assert "eve@evil.example" in page.text  # and says whose it is
    assert (await victim.session())["user"]["email"] == "ann@acme.example"
    # Nor by a form of another site, which has the link's token, and no CSRF token of this browser.
    fields = {k: v for k, v in page.form()[1].items() if k != "csrfToken"}
    await victim.post(
        "/api/auth/callback/email", {**fields, "csrfToken": await eve.csrf()}, {"origin": "https://evil.example"}
    )
    await victim.post("/api/auth/callback/email", fields)
    assert (await victim.session())["user"]["email"] == "ann@acme.example"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403), ({"origin": "null"}, 403), ({"sec-fetch-site": "cross-site"}, 403), ({"origin": BASE}, 200),
        ({"sec-fetch-site": "same-origin"}, 200), ({}, 200),
    ],
)  # fmt: skip
async def test_another_sites_page_subscribes_to_nothing(
    app: Tenantry, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    """EventSource with credentials, which a listed origin may; what it meets is in the stream, as all that fails there."""
    ann = await owner_of(app, tmp_path, "acme")
    text = await streamed(app, ann, "/trpc/users.changed", headers)
    assert ("FORBIDDEN" in text) == (status == 403), text
    text = await streamed(
        app, ann, "/trpc/users.changed", {**headers, "cookie": "", "authorization": f"Bearer {ann.token}"}
    )
    assert "FORBIDDEN" not in text


async def streamed(app: Tenantry, browser: Browser, path: str, headers: dict[str, str]) -> str:
    """What a stream says within a moment."""
    from tenantry.http import Request, Stream

    sent = {**browser.headers, "cookie": "; ".join(f"{k}={v}" for k, v in browser.jar.items()), **headers}
    said: list[bytes] = []

    class Outlet:
        is_full = False

        def send(self, data: bytes) -> None:
            said.append(data)

        def end(self) -> None:
            pass

    answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    request = Request("GET", path, b"", [(k.encode(), v.encode()) for k, v in sent.items() if v], b"", "127.0.0.1")
    running = app.handler(request, answered.set_result)
    answer = await answered
    assert isinstance(answer, Stream)
    answer.begin(Outlet())  # pyright: ignore[reportArgumentType] - as much of an outlet as this needs
    await asyncio.sleep(0.3)
    if running is not None:
        running.cancel()
    return b"".join(said).decode()


async def test_an_upload_with_a_cookie_says_which_page_sent_it(app: Tenantry, tmp_path: Path) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nabc\r\n--b--\r\n'
    for headers, status in (
        ({}, 403), ({"origin": "https://evil.example"}, 403), ({"origin": "null"}, 403), ({"origin": BASE, "sec-fetch-site": "cross-site"}, 403),
        ({"origin": BASE}, 200),
    ):  # fmt: skip
        answer = await uploaded(app, ann, body, headers)
        assert answer == status, headers
    bearer = {"cookie": "", "authorization": f"Bearer {ann.token}"}
    assert await uploaded(app, ann, body, bearer) == 200


async def uploaded(app: Tenantry, browser: Browser, body: bytes, headers: dict[str, str]) -> int:
    from tenantry.http import Inflow, Request, Response

    sent = {
        **browser.headers, "cookie": "; ".join(f"{k}={v}" for k, v in browser.jar.items()), "content-type": "multipart/form-data; boundary=b",
        **headers,
    }  # fmt: skip
    inflow = Inflow(1 << 20)
    inflow.feed(body)
    inflow.end()
    request = Request(
        "POST",
        "/trpc/files.put",
        b"",
        [(k.encode(), v.encode()) for k, v in sent.items() if v],
        b"",
        "127.0.0.1",
        inflow,
    )
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    app.handler(request, answered.set_result)
    return (await answered).status


# ------------------------------------------------------------------ sessions


async def test_update_with_a_session_that_is_over_is_null_and_no_fault(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    ann = await owner_of(app, tmp_path, "acme")
    database.admin.execute("update auth_sessions set expires = now()")
    answer = await ann.switch("acme")
    assert (answer.status, answer.json) == (200, None)
    assert ann.token is None


async def test_an_absolute_age_ends_a_session_at_procedures_too(database: Database, tmp_path: Path) -> None:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone", auth_session_absolute_age=3600) as app:
        ann = await owner_of(app, tmp_path, "acme")
        bob = Browser(app)
        await bob.sign_in_by_mail("bob@acme.example", tmp_path)
        await bob.session()
        assert database.value("select bool_and(expires <= auth_time + interval '1 hour 1 second') from auth_sessions")
        database.admin.execute(
            "update auth_sessions set expires = expires - interval '1 hour', auth_time = auth_time - interval '1 hour'"
        )
        assert (await ann.fetch("/trpc/users.list")).status == 401
        assert await bob.session() is None


async def test_a_browser_that_signs_in_as_another_leaves_no_session_behind(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    ann = Browser(app)
    await ann.sign_in_by_mail("ann@acme.example", tmp_path)
    copied = ann.token or ""
    await ann.sign_in_by_mail("bob@acme.example", tmp_path)
    thief = Browser(app)
    thief.jar = {"authjs.session-token": copied}
    assert await thief.session() is None
    assert database.value("select count(*) from auth_sessions") == 1
    assert database.value("select subject from audit_log where action = 'sign_out'") == "replaced"


# ------------------------------------------------------------------ enumeration


async def test_asking_for_a_mail_does_the_same_work_for_an_address_that_nobody_has(
    database: Database, tmp_path: Path
) -> None:
    """A transaction that writes waits for the disk: whether one did would be told by a clock."""
    async with signing_in(database, tmp_path) as app:
        await Browser(app).sign_in_by_mail("ann@acme.example", tmp_path)
    sent = len(mails(tmp_path))
    async with signing_in(database, tmp_path, auth_sign_up="invited") as app:
        for email in ("ann@acme.example", "nobody@acme.example"):
            before = database.value("select pg_current_wal_insert_lsn()")
            rows = database.value("select count(*) from auth_verifications")
            browser = Browser(app)
            await browser.post("/api/auth/signin/email", {"csrfToken": await browser.csrf(), "email": email})
            assert database.value("select count(*) from auth_verifications") == rows + 1
            assert database.value("select pg_current_wal_insert_lsn() > $1::pg_lsn", before)
        assert len(mails(tmp_path)) == sent + 1
        # What stands there for nobody signs nobody in, by whatever code.
        page = await browser.fetch("/api/auth/verify-request")
        assert (await browser.submit(page, code="AAAAAAAA")).error == "InvalidCode"


async def test_many_guesses_at_one_code_at_once_are_tries_all_the_same(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    eve = Browser(app)
    await eve.post("/api/auth/signin/email", {"csrfToken": await eve.csrf(), "email": "ann@acme.example"})
    page = await eve.fetch("/api/auth/verify-request")
    answers = await asyncio.gather(*(eve.submit(page, code=f"AAAAAA{n:02}") for n in range(12)))
    assert {answer.error for answer in answers} == {"InvalidCode"}
    assert database.value("select tries from auth_verifications") == 5
    assert (await eve.submit(page, code=mails(tmp_path)[0]["code"])).error == "InvalidCode"


# ------------------------------------------------------------------ where to go on, who sends, which address


AWAY = [
    "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "https:\\\\evil.example", "https:/evil.example", "https:evil.example",
    "http://127.0.0.1:3999@evil.example", "http://127.0.0.1:3999\\@evil.example", "http://127.0.0.1:3999.evil.example", "http://127.0.0.1:39990",
    "http://evil.example#http://127.0.0.1:3999", "http://evil.example?http://127.0.0.1:3999", "javascript:alert(1)//http://127.0.0.1:3999",
    "data:text/html,x", "%2f%2fevil.example", "/%09/evil.example", "\t//evil.example", "http://127.0.0.1:3999%2eevil.example", "http://[::1]@evil.example",
    "http://127.0.0.1:3999%40evil.example", "http:///evil.example", "////evil.example", "http://127。0。0。1:3999", "http://127.1:3999", "http://2130706433:3999",
    "http://127.0.0.1:3999:80", "http://127.0.0.1:99999", "http://[", "vbscript:x", "ftp://127.0.0.1:3999/", "blob:http://127.0.0.1:3999/x",
]  # fmt: skip


@pytest.mark.parametrize("url", AWAY)
def test_every_spelling_of_elsewhere_ends_here(url: str) -> None:
    found = go_on_to(url, BASE, frozenset())
    assert found == BASE or found.startswith(BASE + "/")


async def test_no_answer_and_no_form_leads_away(app: Tenantry) -> None:
    browser = Browser(app)
    csrf = await browser.csrf()
    for url in AWAY:
        fields = {"csrfToken": csrf, "callbackUrl": url}
        found = go_on_to(url, BASE, frozenset())
        assert (await browser.post("/api/auth/signout", fields, JSON_ANSWER)).json["url"] == found, url
        place = (await browser.post("/api/auth/signout", fields)).location
        assert place.startswith(BASE) and place[len(BASE) : len(BASE) + 1] in ("", "/"), url
        page = await browser.fetch(f"/api/auth/signin?callbackUrl={quote(url)}")
        assert page.form()[1]["callbackUrl"] == found, url


NEAR = [("10.0.0.1", "6.6.6.6, 192.0.2.7", "192.0.2.7"), ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"), ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"), ("10.0.0.1", "evil", "10.0.0.1"), ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, evil", "10.0.0.1"), ("198.51.100.1", "192.0.2.7", "198.51.100.1"), ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "", "fe80::1"), ("", "192.0.2.7", None), ("/run/socket", "192.0.2.7", None), ("10.0.0.1", "fe80::2%25eth1", "fe80::2")]  # fmt: skip


@pytest.mark.parametrize(("peer", "forwarded", "found"), NEAR)
def test_the_sender_is_the_nearest_that_a_trusted_proxy_names(peer: str, forwarded: str, found: str | None) -> None:
    import ipaddress

    proxies = (ipaddress.ip_network("10.0.0.0/8"),)
    said = sender([(b"x-forwarded-for", forwarded.encode())], peer, proxies)
    assert said == found
    assert counted_as(said)


async def test_a_link_local_sender_is_written_down_like_any_other(
    app: Tenantry, tmp_path: Path, database: Database
) -> None:
    browser = Browser(app, peer="fe80::1%eth0")
    await browser.sign_in_by_mail("ann@acme.example", tmp_path)
    assert database.value("select host(ip) from audit_log where action = 'sign_in'") == "fe80::1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ann@straße.example", None), ("ann@ςigma.example", None), ("ann@ex\u200dample.com", None), ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--strae-oqa.example", "ann@xn--strae-oqa.example"), ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"), ("ann@exam\u00adple.com", None),
        ("a.nn@gmail.com", "a.nn@gmail.com"), ("ann+tag@gmail.com", "ann+tag@gmail.com"), ("аnn@acme.example", "аnn@acme.example"),
        ("ann\u202e@acme.example", None), ("ann@acme.example.", None), ("ann@[127.0.0.1]", None), ("ﬁn@acme.example", "fin@acme.example"),
    ],
)  # fmt: skip
def test_an_address_is_itself_and_never_its_neighbours(text: str, found: str | None) -> None:
    """IDNA 2003 wrote ß as ss: somebody else's domain, and somebody else's mail. A Cyrillic letter stays one."""
    assert address(text) == found


async def test_a_host_that_is_made_up_stands_in_no_mail_no_redirect_and_no_page(
    database: Database, tmp_path: Path
) -> None:
    async with signing_in(database, tmp_path, tenant_sign_up="anyone") as app:
        ann = await owner_of(app, tmp_path, "acme")
        evil = {
            "host": "evil.example",
            "x-forwarded-host": "evil.example",
            "x-forwarded-proto": "https",
            "forwarded": "host=evil.example",
        }
        await ann.post_json("/trpc/invitations.create", {"email": "bob@acme.example"}, {**evil, "origin": BASE})
        browser = Browser(app)
        await browser.post(
            "/api/auth/signin/email",
            {"csrfToken": await browser.csrf(), "email": "x@acme.example"},
            evil | {"origin": BASE},
        )
        for mail in mails(tmp_path):
            assert mail["url"].startswith(BASE)
            assert "evil" not in mail["text"]
        assert len(mails(tmp_path)) == 3
        for path in (
            "/api/auth/providers",
            "/api/auth/signin",
            "/api/auth/signin/email",
            "/api/auth/error?error=x",
            "/api/auth/verify-request",
        ):
            answer = await browser.fetch(path, headers=evil)
            assert "evil" not in answer.text + str(answer.headers), path


async def test_a_nonce_of_a_page_is_used_once(app: Tenantry) -> None:
    seen = {(await Browser(app).fetch("/api/auth/signin")).header("content-security-policy") for _ in range(3)}
    assert len(seen) == 3


async def test_no_answer_tells_which_tokens_are_near(app: Tenantry, tmp_path: Path) -> None:
    """Unknown, cut, changed by a letter, and of another kind: one answer."""
    ann = await owner_of(app, tmp_path, "acme")
    token = ann.token or ""
    key = (await ann.call("apiKeys.create", {"name": "x", "scopes": ["read"]}, mutation=True))["key"]
    tries = [
        token[:-1],
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token + "x",
        secrets.token_urlsafe(32),
        key[:-1],
        key[:-7] + "x" * 7,
        "x",
    ]
    answers = [
        await Browser(app).fetch("/trpc/users.list", headers={"authorization": f"Bearer {one}"}) for one in tries
    ]
    bodies = {
        str(
            {
                **a.json["error"],
                "data": {k: v for k, v in a.json["error"]["data"].items() if k not in ("stack", "requestId")},
            }
        )
        for a in answers
    }
    assert ({a.status for a in answers}, len(bodies)) == ({401}, 1)
