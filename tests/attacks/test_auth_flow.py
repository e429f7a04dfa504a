"""Attacks on a sign-in under way: forged answers, stolen flows, bad ID tokens, other people's accounts. All of a real provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tenantry import Tenantry
from tests.auth.browser import BASE, Browser, mails, signing_in
from tests.auth.provider import CONTOSO, FABRIKAM, HTTPS, Provider, begin, person, provider, sign_in
from tests.conftest import Cluster, Database

__all__ = ["provider"]


@pytest.fixture
def database(cluster18: Cluster) -> Iterator[Database]:
    """One kind of database is enough here: none of these attacks is on rows."""
    with cluster18.database() as made:
        yield made


@pytest.fixture
async def app(database: Database, tmp_path: Path, provider: Provider) -> AsyncIterator[Tenantry]:
    await provider.control()
    async with signing_in(database, tmp_path, **provider.settings()) as app:
        yield app


def changed(url: str, old: str, new: str) -> str:
    assert old in url
    return url.replace(old, new)


BAD_TOKENS = [
    "nonce", "no_nonce", "iss", "aud", "azp", "expired", "future", "signature", "alg_none", "hs256", "hs256_pub", "jwk_header", "jku",
    "kid_path", "no_id_token", "no_sub", "resp_iss", "access_denied",
]  # fmt: skip


@pytest.mark.parametrize("fault", BAD_TOKENS)
async def test_a_bad_answer_of_the_provider_signs_nobody_in(app: Tenantry, provider: Provider, fault: str) -> None:
    await provider.control(user=person("ann"), fault=fault)
    browser = Browser(app)
    answer = await sign_in(browser)
    assert (answer.status, answer.error) == (302, "OAuthCallbackError")
    assert browser.token is None
    assert not any(name.startswith("authjs.flow") for name in browser.jar)


@pytest.mark.parametrize("fault", ["iss_tenant", "tid_path", "tid_common", "no_tid", "signature", "alg_none"])
async def test_entras_tenant_is_what_the_issuer_says(app: Tenantry, provider: Provider, fault: str) -> None:
    await provider.control(user=person("ann"), fault=fault)
    browser = Browser(app)
    assert (await sign_in(browser, "microsoft-entra-id")).error == "OAuthCallbackError"
    assert browser.token is None


@pytest.mark.parametrize("only", ["issuer", "list"])
async def test_only_the_tenant_that_is_let_in_gets_in(
    database: Database, tmp_path: Path, provider: Provider, only: str
) -> None:
    bound = (
        {"auth_microsoft_entra_id_issuer": f"{provider.origin}/{CONTOSO}/v2.0"} if only == "issuer"
        else {"auth_microsoft_entra_id_tenants": CONTOSO}
    )  # fmt: skip
    async with signing_in(database, tmp_path, **provider.settings(**bound)) as app:
        await provider.control(user=person("ann"), tenant=CONTOSO)
        inside = Browser(app)
        assert (await sign_in(inside, "microsoft-entra-id")).error is None
        if only == "list":
            await provider.control(user=person("eve"), tenant=FABRIKAM)
            assert (await sign_in(Browser(app), "microsoft-entra-id")).error == "OAuthCallbackError"


@pytest.mark.parametrize(
    "how", ["other browser", "state", "no state", "provider", "twice", "repeated", "token", "old", "no code"]
)
async def test_a_callback_that_is_not_this_browsers_own_is_refused(
    app: Tenantry, provider: Provider, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    _, url = await begin(browser)
    match how:
        case "other browser":
            browser = Browser(app)
        case "state":
            url = changed(url, "state=", "state=x")
        case "no state":
            url = changed(url, "&state=", "&other=")
        case "provider":
            url = changed(url, "/callback/google", "/callback/microsoft-entra-id")
        case "twice":
            jar = dict(browser.jar)
            assert (await browser.fetch(url)).error is None
            browser.jar = jar
        case "repeated":
            url += "&code=other"
        case "token":
            url += "&id_token=e30.e30."
        case "old":
            from tenantry.auth import signing_in as module

            later = module.now() + 901_000
            monkeypatch.setattr(module, "now", lambda: later)
        case _:
            url = changed(url, "code=", "kode=")
    answer = await browser.fetch(url)
    assert (answer.status, answer.error) == (302, "OAuthCallbackError")
    assert browser.token is None


async def test_anothers_code_fails_by_the_verifier(app: Tenantry, provider: Provider) -> None:
    await provider.control(user=person("ann"))
    thief, victim = Browser(app), Browser(app)
    _, theirs = await begin(thief)
    _, url = await begin(victim)
    code = theirs.partition("code=")[2].partition("&")[0]
    own = url.partition("code=")[2].partition("&")[0]
    assert (await victim.fetch(url.replace(own, code))).error == "OAuthCallbackError"
    assert victim.token is None


async def test_two_tabs_do_not_disturb_each_other_and_flows_are_bounded(app: Tenantry, provider: Provider) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    tabs = [await begin(browser) for _ in range(7)]
    assert len([name for name in browser.jar if name.startswith("authjs.flow")]) == 5
    assert (await browser.fetch(tabs[-2][1])).error is None
    assert (await browser.fetch(tabs[-1][1])).error is None
    assert (await browser.fetch(tabs[0][1])).error == "OAuthCallbackError"


async def test_where_to_go_on_is_sealed_into_the_flow(app: Tenantry, provider: Provider) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    _, url = await begin(browser)
    browser.jar["authjs.callback-url"] = "https%3A%2F%2Fevil.example%2F"
    assert (await browser.fetch(url + "&callbackUrl=https://evil.example/")).location == f"{BASE}/home"


async def test_the_front_end_cannot_replace_what_is_ours_in_the_request(app: Tenantry) -> None:
    browser = Browser(app)
    query = "redirect_uri=https://evil.example&client_id=x&scope=all&state=s&nonce=n&response_type=token&code_challenge=c&response_mode=fragment&prompt=consent"
    asked = await browser.post(
        f"/api/auth/signin/google?{query}", {"csrfToken": await browser.csrf()}, {"x-auth-return-redirect": "1"}
    )
    url = asked.json["url"]
    assert "evil.example" not in url
    assert "response_mode" not in url
    assert "client_id=kit-google" in url
    assert "prompt=consent" in url


async def test_the_same_address_at_another_provider_is_not_the_same_person(
    app: Tenantry, provider: Provider, database: Database
) -> None:
    await provider.control(user=person("ann"))
    await sign_in(Browser(app))
    for address in ("ann@example.com", "ANN@EXAMPLE.COM", "ａnn@example.com", "ann@ｅxample.com"):
        await provider.control(user=person("eve", email=address))
        eve = Browser(app)
        assert (await sign_in(eve, "microsoft-entra-id")).error == "OAuthAccountNotLinked", address
        assert eve.token is None
    assert database.value("select count(*) from auth_identities") == 1


@pytest.mark.parametrize(
    ("user", "links"),
    [({"hd": "example.com"}, True), ({}, False), ({"hd": "example.com", "email_verified": False}, False)],
)
async def test_accounts_link_by_address_only_where_both_sides_proved_it(
    database: Database, tmp_path: Path, provider: Provider, user: dict[str, object], links: bool
) -> None:
    async with signing_in(database, tmp_path, **provider.settings(auth_link_verified_email=True)) as app:
        await Browser(app).sign_in_by_mail("ann@example.com", tmp_path)
        await provider.control(user=person("ann", **user))
        browser = Browser(app)
        assert (await sign_in(browser)).error == (None if links else "OAuthAccountNotLinked")


async def test_entras_email_claim_proves_nothing(database: Database, tmp_path: Path, provider: Provider) -> None:
    async with signing_in(database, tmp_path, **provider.settings(auth_link_verified_email=True)) as app:
        await Browser(app).sign_in_by_mail("ann@example.com", tmp_path)
        await provider.control(user=person("eve", email="ann@example.com", email_verified=True))
        assert (await sign_in(Browser(app), "microsoft-entra-id")).error == "OAuthAccountNotLinked"
        await provider.control(user=person("ann", email="ann@example.com", xms_edov=True))
        assert (await sign_in(Browser(app), "microsoft-entra-id")).error is None


async def test_who_squats_an_address_is_put_out_by_its_owner(app: Tenantry, provider: Provider, tmp_path: Path) -> None:
    """An Entra directory says ann's address; ann herself never signed in. When she does, by mail, the squatter's account goes."""
    await provider.control(user=person("eve", email="ann@example.com"))
    eve = Browser(app)
    assert (await sign_in(eve, "microsoft-entra-id")).error is None
    ann = Browser(app)
    await ann.sign_in_by_mail("ann@example.com", tmp_path)
    assert await eve.session() is None
    assert (await sign_in(Browser(app), "microsoft-entra-id")).error == "OAuthAccountNotLinked"
    assert (await ann.session())["user"]["email"] == "ann@example.com"


async def test_a_plain_sign_in_links_nothing(app: Tenantry, provider: Provider, database: Database) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    await sign_in(browser)
    await provider.control(user=person("eve"))
    await sign_in(browser)
    assert (await browser.session())["user"]["email"] == "eve@example.com"
    assert database.value("select count(distinct identity_id) from auth_accounts") == 2


async def test_an_account_of_another_is_not_taken_and_one_stays_who_one_was(app: Tenantry, provider: Provider) -> None:
    await provider.control(user=person("eve"))
    await sign_in(Browser(app))
    await provider.control(user=person("ann"))
    browser = Browser(app)
    await sign_in(browser)
    await provider.control(user=person("eve"))
    assert (await sign_in(browser)).error == "OAuthAccountNotLinked"
    assert (await browser.session())["user"]["email"] == "ann@example.com"


@pytest.mark.parametrize("state", ["live", "expired", "too old", "signed out"])
async def test_linking_wants_a_live_and_fresh_session(
    app: Tenantry, provider: Provider, database: Database, state: str
) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    await sign_in(browser)
    if state == "expired":
        database.admin.execute("update auth_sessions set expires = now() - interval '1 second'")
    elif state == "too old":
        database.admin.execute("update auth_sessions set auth_time = now() - interval '11 minutes'")
    elif state == "signed out":
        browser = Browser(app)
    await provider.control(user=person("other", email="other@example.com"))
    answer = await sign_in(browser, "microsoft-entra-id", intent="link")
    linked = database.value("select count(*) from auth_accounts where provider = 'microsoft-entra-id'")
    assert (answer.error, linked) == ((None, 1) if state == "live" else ("AccountNotLinked", 0))
    if state == "live":
        assert (await browser.session())["user"]["email"] == "ann@example.com"


async def test_the_owner_of_an_account_is_told_by_mail_of_what_was_added(
    app: Tenantry, provider: Provider, tmp_path: Path
) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app, peer="203.0.113.9")
    await sign_in(browser)
    assert mails(tmp_path) == []
    await provider.control(user=person("other", email="other@example.com"))
    await sign_in(browser, "microsoft-entra-id", intent="link")
    (mail,) = mails(tmp_path)
    assert (mail["to"], mail["url"], mail["code"]) == ("ann@example.com", BASE, None)
    assert "Microsoft Entra ID was added to your account" in mail["subject"]
    assert "203.0.113.9" in mail["text"]
    # Once: signing in by it later adds nothing.
    await sign_in(browser, "microsoft-entra-id")
    assert len(mails(tmp_path)) == 1


async def test_whose_account_is_linked_by_a_proved_address_is_told_too(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    async with signing_in(database, tmp_path, **provider.settings(auth_link_verified_email=True)) as app:
        await Browser(app).sign_in_by_mail("ann@example.com", tmp_path)
        await provider.control(user=person("ann", hd="example.com"))
        assert (await sign_in(Browser(app))).error is None
        assert [mail["subject"].partition(" was")[0] for mail in mails(tmp_path)][1:] == ["Google"]


@pytest.mark.parametrize("then", ["another signed in", "nobody is"])
async def test_an_account_is_added_to_who_began_it_and_to_nobody_else(
    app: Tenantry, provider: Provider, database: Database, then: str, tmp_path: Path
) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    await sign_in(browser)
    await provider.control(user=person("other", email="other@example.com"))
    _, url = await begin(browser, "microsoft-entra-id", intent="link")
    flows = dict(browser.jar)
    browser.jar = {}
    if then == "another signed in":
        await browser.sign_in_by_mail("bob@example.com", tmp_path)
    browser.jar = {**flows, **browser.jar} if browser.token else {k: v for k, v in flows.items() if "session" not in k}
    assert (await browser.fetch(url)).error == "AccountNotLinked"
    assert database.value("select count(*) from auth_accounts where provider = 'microsoft-entra-id'") == 0


async def test_a_person_sees_the_id_under_which_log_and_trail_have_the_reason(
    app: Tenantry, provider: Provider, database: Database
) -> None:
    await provider.control(user=person("ann"), fault="nonce")
    browser = Browser(app)
    answer = await sign_in(browser)
    id_ = answer.header("x-request-id")
    assert id_ and id_ in (await browser.fetch(answer.location)).text
    assert database.value("select request_id from audit_log where action = 'sign_in_failed'") == id_
    browser.jar["authjs.trouble"] = "<b>evil</b>"
    assert "evil" not in (await browser.fetch(answer.location)).text


async def test_signing_in_again_kills_the_old_token(app: Tenantry, provider: Provider) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    await sign_in(browser)
    old = browser.token
    await sign_in(browser)
    assert browser.token not in (None, old)
    thief = Browser(app)
    thief.jar["authjs.session-token"] = old or ""
    assert await thief.session() is None


async def test_a_planted_token_is_not_adopted(app: Tenantry, provider: Provider) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    browser.jar["authjs.session-token"] = "planted-by-an-attacker-0123456789abcdef"
    await sign_in(browser)
    assert browser.token != "planted-by-an-attacker-0123456789abcdef"
    assert await browser.session() is not None


async def test_nobody_signs_up_where_only_the_invited_may(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    async with signing_in(database, tmp_path, **provider.settings(auth_sign_up="invited")) as app:
        await provider.control(user=person("eve"))
        assert (await sign_in(Browser(app))).error == "AccessDenied"
        tenant = database.add_tenant("acme")
        database.value("select tenantry.invite_owner($1, 'ann@example.com', sha256('token'), 3600)", tenant)
        await provider.control(user=person("ann"))
        assert (await sign_in(Browser(app))).error is None
    assert database.value("select array_agg(email) from auth_identities") == ["ann@example.com"]


@pytest.mark.parametrize("fault", ["token_500", "down"])
async def test_a_provider_that_fails_gives_a_page_and_a_gauge(app: Tenantry, provider: Provider, fault: str) -> None:
    await provider.control(user=person("ann"))
    browser = Browser(app)
    _, url = await begin(browser)
    await provider.control(fault=fault)
    assert (await browser.fetch(url)).error == "OAuthCallbackError"


async def test_a_provider_that_comes_back_with_other_keys_is_believed_again(app: Tenantry, provider: Provider) -> None:
    """A restarted provider may have new keys under the old name: asked for anew, and soon, not after an hour."""
    await provider.control(user=person("ann"), fault="signature")
    assert (await sign_in(Browser(app))).error == "OAuthCallbackError"
    await provider.control(user=person("ann"))
    assert (await sign_in(Browser(app))).error is None


async def test_behind_https_cookies_are_secure_and_named_so(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    async with signing_in(database, tmp_path, **provider.settings(auth_url=HTTPS)) as app:
        await provider.control(user=person("ann"))
        browser = Browser(app, HTTPS)
        asked, url = await begin(browser)
        names = {line.partition("=")[0] for line in asked.cookies} | set(browser.jar)
        answer = await browser.fetch(url)
        assert answer.location == f"{HTTPS}/home"
        for line in [*asked.cookies, *answer.cookies]:
            assert {"; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"} <= {f"; {p}" for p in line.split("; ")}
            assert "Domain" not in line
        assert all(name.startswith("__Host-" if "csrf" in name else "__Secure-") for name in names), names
        # A plain-http cookie of another name is no session here.
        browser.jar["authjs.session-token"] = browser.jar.pop("__Secure-authjs.session-token")
        assert await browser.session() is None


async def test_the_providers_tokens_are_kept_only_where_asked_and_sealed(
    database: Database, tmp_path: Path, provider: Provider
) -> None:
    await provider.control(user=person("ann"))
    for stores in (False, True):
        async with signing_in(database, tmp_path, **provider.settings(auth_store_provider_tokens=stores)) as app:
            await sign_in(Browser(app))
        kept = database.value("select tokens from auth_accounts")
        assert (kept is not None) is stores
        assert b"access_token" not in (kept or b"")


def test_urls_of_the_kit_are_parsed() -> None:
    assert urlunsplit(urlsplit(BASE)) == BASE
