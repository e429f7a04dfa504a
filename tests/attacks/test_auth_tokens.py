"""Attacks by ID tokens and by a provider that lies: algorithms, keys, parties, times; discovery, keys and answers that are poisoned."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwk, jws, jwt

from tenantry.auth.configuration import Provider
from tenantry.auth.identity_token import Refused, claims_of
from tenantry.settings import Secret
from tests.auth.browser import Browser, signing_in
from tests.conftest import Cluster, Database

ISSUER, CLIENT, NONCE = "https://login.example", "our-client", "the-nonce"
RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EVIL = jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "ed", "use": "sig"})
KEYS = {"keys": [key.as_dict(private=False) for key in (RSA, EC, ED)]}
METADATA = {
    "issuer": ISSUER,
    "id_token_signing_alg_values_supported": ["RS256", "ES256", "PS256", "EdDSA", "Ed25519", "HS256", "none"],
}
PROVIDER = Provider("oidc-x", "X", "oidc", "oidc", ISSUER, CLIENT, Secret("the-client-secret-0123456789abcdef"))
NOW = int(time.time())
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": CLIENT, "sub": "1", "iat": NOW, "exp": NOW + 600, "nonce": NONCE}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(claims: dict[str, Any], key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    algorithms = ["RS256", "RS512", "PS256", "ES256", "EdDSA", "Ed25519", "HS256"]
    return jwt.encode({"alg": alg, "kid": key.kid, **header}, claims, key, algorithms=algorithms)


def judged(
    token: str, keys: dict[str, Any] = KEYS, metadata: dict[str, Any] = METADATA, provider: Provider = PROVIDER
) -> dict[str, Any]:
    return claims_of(token, keys, provider=provider, metadata=metadata, nonce=NONCE, access_token=None)


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")]
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_good_token_is_believed(key: Any, alg: str) -> None:
    assert judged(signed(GOOD, key, alg))["sub"] == "1"


CLAIMS: list[dict[str, Any]] = [
    {"iss": None}, {"iss": ISSUER + "/"}, {"iss": "https://LOGIN.example"}, {"iss": [ISSUER]}, {"aud": None}, {"aud": []}, {"aud": ""}, {"aud": "other"},
    {"aud": ["other"]}, {"aud": [CLIENT, "other"]}, {"aud": [CLIENT, "other"], "azp": "other"}, {"azp": "other"}, {"azp": ""}, {"azp": None, "aud": [CLIENT, "x"]},
    {"aud": {CLIENT: 1}}, {"aud": CLIENT + " other"}, {"aud": CLIENT.upper()}, {"nonce": None}, {"nonce": ""}, {"nonce": NONCE.upper()}, {"nonce": [NONCE]},
    {"nonce": True}, {"sub": None}, {"sub": ""}, {"sub": 1}, {"sub": ["1"]}, {"sub": "x" * 256}, {"exp": None}, {"exp": NOW - 61}, {"exp": "soon"},
    {"exp": True}, {"exp": float("nan")}, {"exp": float("inf")}, {"iat": float("nan")}, {"exp": 10**400}, {"iat": None}, {"iat": NOW + 900}, {"iat": "now"}, {"iat": True}, {"nbf": NOW + 900}, {"at_hash": "x"}, {"at_hash": ""}, {"at_hash": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", CLAIMS, ids=str)
def test_a_claim_that_is_wrong_refuses_the_token(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in {**GOOD, **change}.items() if value is not None or name not in change}
    with pytest.raises(Refused):
        judged(signed(claims))


def forged() -> dict[str, str]:
    """Tokens whose signature proves nothing."""
    body = b64(json.dumps(GOOD).encode())
    public = RSA.as_pem(private=False)

    def plain(header: dict[str, Any], signature: bytes = b"") -> str:
        return f"{b64(json.dumps(header).encode())}.{body}.{b64(signature)}"

    def hmacked(header: dict[str, Any], key: bytes, alg: str = "sha256") -> str:
        start = f"{b64(json.dumps(header).encode())}.{body}"
        return f"{start}.{b64(hmac.digest(key, start.encode(), alg))}"

    good = signed(GOOD)
    head, payload, signature = good.split(".")
    admin = b64(json.dumps({**GOOD, "sub": "admin"}).encode())
    return {
        "none": plain({"alg": "none"}), "None": plain({"alg": "None", "kid": "rsa"}), "empty alg": plain({"alg": ""}), "no alg": plain({"kid": "rsa"}),
        "none with a signature": plain({"alg": "none", "kid": "rsa"}, b"x"), "null alg": plain({"alg": None, "kid": "rsa"}),
        "HS256 by the public key": hmacked({"alg": "HS256", "kid": "rsa"}, public), "HS256 by its DER": hmacked({"alg": "HS256", "kid": "rsa"}, RSA.as_der(private=False)),
        "HS256 by the client secret": hmacked({"alg": "HS256"}, b"the-client-secret-0123456789abcdef"), "HS256 by nothing": hmacked({"alg": "HS256"}, b""),
        "HS512 by the public key": hmacked({"alg": "HS512", "kid": "rsa"}, public, "sha512"), "another's key of that name": signed(GOOD, EVIL),
        "its key in its head": signed(GOOD, EVIL, jwk=EVIL.as_dict(private=False)), "its keys' place": signed(GOOD, EVIL, jku="https://evil.example/keys"),
        "its certificate": signed(GOOD, EVIL, x5c=["MIIB"], x5u="https://evil.example/x"), "another kid": signed(GOOD, EVIL, kid="nobody"),
        "kid as a path": signed(GOOD, EVIL, kid="../../../dev/null"), "kid as SQL": signed(GOOD, EVIL, kid="' or '1'='1"), "kid of another kind": signed(GOOD, RSA, kid="ec"),
        "other claims under a good signature": f"{head}.{admin}.{signature}", "no signature": f"{head}.{payload}.", "two parts": f"{head}.{payload}",
        "four parts": good + ".x", "five parts": "a.b.c.d.e", "nothing": "", "words": "not a token", "crit": signed_with_crit(), "RS512": signed(GOOD, RSA, "RS512"),
        "ES256 of zeros": plain({"alg": "ES256", "kid": "ec"}, b"\0" * 64), "an EC token under the RSA name": plain({"alg": "ES256", "kid": "rsa"}, b"\0" * 64),
    }  # fmt: skip


def signed_with_crit() -> str:
    """A head that asks for an extension that nobody here understands."""
    head = {"alg": "RS256", "kid": "rsa", "crit": ["exp"], "exp": NOW + 600}
    start = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(GOOD).encode())}"
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return f"{start}.{b64(RSA.private_key.sign(start.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


FORGED = forged()


@pytest.mark.parametrize("name", FORGED)
def test_a_signature_that_proves_nothing_refuses_the_token(name: str) -> None:
    with pytest.raises(Refused):
        judged(FORGED[name])


@pytest.mark.parametrize(
    "keys",
    [
        {}, {"keys": []}, {"keys": None}, {"keys": "x"}, {"keys": [None, 7, "x"]}, {"keys": [{"kty": "oct", "k": "eHg", "kid": "rsa"}]},
        {"keys": [{"kty": "RSA", "kid": "rsa"}]}, {"keys": [{**RSA.as_dict(private=False), "use": "enc"}]}, {"keys": {"rsa": RSA.as_dict(private=False)}},
    ],
)  # fmt: skip
def test_keys_that_are_none_let_nobody_in(keys: dict[str, Any]) -> None:
    for token in (signed(GOOD), FORGED["HS256 by the public key"], FORGED["none"]):
        with pytest.raises(Refused):
            judged(token, keys)


@pytest.mark.parametrize("offered", [["none"], ["HS256"], [], "none", None, [None], [["RS256"]]])
def test_metadata_cannot_allow_what_is_never_allowed(offered: Any) -> None:
    metadata = {"issuer": ISSUER, "id_token_signing_alg_values_supported": offered}
    for name in ("none", "HS256 by the public key", "HS256 by the client secret"):
        with pytest.raises(Refused):
            judged(FORGED[name], metadata=metadata)


def test_a_claim_that_stands_twice_is_read_one_way_by_all() -> None:
    twice = json.dumps(GOOD)[:-1] + ', "aud": "other", "sub": "2"}'
    token = jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, twice.encode(), RSA, algorithms=["RS256"])
    with pytest.raises(Refused):
        judged(token)


# ------------------------------------------------------------------ a provider that lies


class Liar:
    """A provider of our own making; `answers` replace what it would say, by path."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.key = RSA
        self.asked: list[str] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                liar.answer(self)

            def do_POST(self) -> None:
                liar.answer(self, self.rfile.read(int(self.headers.get("content-length") or 0)))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.nonce = ""

    def said(self, path: str) -> Any:
        origin = self.origin
        if path.endswith("openid-configuration"):
            return {
                "issuer": origin, "authorization_endpoint": f"{origin}/authorize", "token_endpoint": f"{origin}/token", "jwks_uri": f"{origin}/keys",
                "id_token_signing_alg_values_supported": ["RS256"], "authorization_response_iss_parameter_supported": True,
            }  # fmt: skip
        if path == "/keys":
            return {"keys": [self.key.as_dict(private=False)]}
        now = int(time.time())
        claims = {
            "iss": origin, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600, "nonce": self.nonce, "email": "ann@example.com", "email_verified": True, **self.claims,
        }  # fmt: skip
        return {"id_token": signed(claims, self.key), "access_token": "secret-access-token", "token_type": "Bearer"}

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes = b"") -> None:
        self.asked.append(f"{handler.command} {handler.path} {body.decode()}")
        given = self.answers.get(handler.path, self.said(handler.path))
        status, headers = 200, {}
        if isinstance(given, tuple):
            status, headers, given = given
        raw = given if isinstance(given, bytes) else json.dumps(given).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def database(cluster18: Cluster) -> Iterator[Database]:
    with cluster18.database() as made:
        yield made


async def tried(database: Database, outbox: Path, liar: Liar, **query: str) -> tuple[str | None, str | None]:
    """A sign-in at the liar's: the error, and the token."""
    parts = {"issuer": Secret(liar.origin), "id": Secret(CLIENT), "secret": Secret("s" * 32), "label": Secret("Liar")}
    async with signing_in(database, outbox, oidc_providers={"liar": parts}) as app:
        browser = Browser(app)
        asked = await browser.post(
            "/api/auth/signin/oidc-liar", {"csrfToken": await browser.csrf()}, {"x-auth-return-redirect": "1"}
        )
        sent = parse_qs(urlsplit(asked.json["url"]).query)
        if "state" not in sent:
            return asked.error, browser.token
        liar.nonce = sent["nonce"][0]
        given = {"state": sent["state"][0], "code": "c", "iss": liar.origin, **query}
        answer = await browser.fetch(
            "/api/auth/callback/oidc-liar?" + "&".join(f"{k}={v}" for k, v in given.items() if v)
        )
        assert answer.status == 302
        return answer.error, browser.token


async def test_the_liar_tells_the_truth(database: Database, tmp_path: Path, liar: Liar) -> None:
    error, token = await tried(database, tmp_path, liar)
    assert error is None and token
    exchange = next(line for line in liar.asked if line.startswith("POST /token"))
    assert (
        "code_verifier=" in exchange and "client_secret" not in exchange
    )  # the secret goes in the Authorization header
    assert "secret-access-token" not in str(database.admin.execute("select * from auth_accounts").fetchall())


def discovery(liar: Liar, **change: Any) -> Any:
    return {k: v for k, v in {**liar.said("openid-configuration"), **change}.items() if v is not None}


LIES = [
    "another issuer", "issuer with a slash", "no issuer", "token endpoint in clear", "keys in clear", "file keys", "no endpoint", "redirect", "redirect of keys",
    "redirect of tokens", "huge", "not JSON", "a list", "deep", "an error with 200", "no token", "token is a number", "an error page", "gone",
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_of_the_provider_signs_nobody_in_and_breaks_nothing(  # noqa: PLR0912 - a table in the form of code
    database: Database, tmp_path: Path, liar: Liar, lie: str
) -> None:
    place, away = "/.well-known/openid-configuration", {"location": "https://evil.example/"}
    match lie:
        case "another issuer":
            liar.answers[place] = discovery(liar, issuer="https://evil.example")
        case "issuer with a slash":
            liar.answers[place] = discovery(liar, issuer=liar.origin + "/")
        case "no issuer":
            liar.answers[place] = discovery(liar, issuer=None)
        case "token endpoint in clear":
            liar.answers[place] = discovery(liar, token_endpoint="http://evil.example/token")
        case "keys in clear":
            liar.answers[place] = discovery(liar, jwks_uri="http://169.254.169.254/latest/meta-data")
        case "file keys":
            liar.answers[place] = discovery(liar, jwks_uri="file:///etc/passwd")
        case "no endpoint":
            liar.answers[place] = discovery(liar, authorization_endpoint=None)
        case "redirect":
            liar.answers[place] = (302, away, b"")
        case "redirect of keys":
            liar.answers["/keys"] = (302, away, b"")
        case "redirect of tokens":
            liar.answers["/token"] = (307, away, b"")
        case "huge":
            liar.answers["/keys"] = b'{"keys": [' + b" " * (1 << 21) + b"]}"
        case "not JSON":
            liar.answers["/token"] = b"<html>"
        case "a list":
            liar.answers["/token"] = [1]
        case "deep":
            liar.answers["/token"] = b"[" * 100_000
        case "an error with 200":
            liar.answers["/token"] = {**liar.said("/token"), "error": "invalid_grant"}
        case "no token":
            liar.answers["/token"] = {"access_token": "x"}
        case "token is a number":
            liar.answers["/token"] = {"id_token": 7}
        case "an error page":
            liar.answers["/token"] = (400, {}, {"error": "invalid_grant\r\nx: y"})
        case _:
            liar.answers["/keys"] = (404, {}, b"")
    assert await tried(database, tmp_path, liar) == ("OAuthCallbackError", None)


@pytest.mark.parametrize("iss", ["https://evil.example", "", "http://127.0.0.1"])
async def test_an_answer_of_another_issuer_is_mixed_up_and_refused(
    database: Database, tmp_path: Path, liar: Liar, iss: str
) -> None:
    assert await tried(database, tmp_path, liar, iss=iss) == ("OAuthCallbackError", None)
    # And the code was given to nobody.
    assert not any(line.startswith("POST /token") for line in liar.asked)


async def test_new_keys_are_fetched_once_and_a_flood_of_unknown_ones_fetches_none(
    database: Database, tmp_path: Path, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenantry.auth.configuration import Provider as Made
    from tenantry.auth.oidc import Client

    client = Client(Made("oidc-liar", "Liar", "oidc", "oidc", liar.origin, CLIENT, Secret("s" * 32)), lambda *_: None)
    liar.nonce = NONCE

    async def exchanged() -> str:
        return (await client.exchange("c", "v" * 43, "https://app.example", NONCE))[0]["sub"]

    assert await exchanged() == "1"
    liar.key = jwk.RSAKey.generate_key(2048, {"kid": "rotated", "use": "sig"})
    client.keys._asked -= 61  # pyright: ignore[reportPrivateUsage] - a minute later
    assert await exchanged() == "1"
    fetched = sum("/keys" in line for line in liar.asked)
    assert fetched == 2
    for n in range(5):
        key = jwk.RSAKey.generate_key(2048, {"kid": f"unknown-{n}", "use": "sig"})
        liar.answers["/token"] = {"id_token": signed({**GOOD, "iss": liar.origin}, key)}
        with pytest.raises(Refused):
            await exchanged()
    assert sum("/keys" in line for line in liar.asked) == fetched


@pytest.mark.parametrize(
    "claims",
    [
        {"name": "<script>alert(1)</script>\u202e\x00", "picture": "javascript:alert(1)"}, {"name": {"a": 1}, "picture": ["x"]}, {"name": "x" * 3000},
        {"email": ["ann@example.com"]}, {"email": "ann@example.com\r\nBcc: x@y.zz"}, {"email": None, "email_verified": True},
    ],
    ids=str,
)  # fmt: skip
async def test_what_a_provider_says_of_a_person_is_kept_tame(
    database: Database, tmp_path: Path, liar: Liar, claims: dict[str, Any]
) -> None:
    liar.claims = claims
    error, token = await tried(database, tmp_path, liar)
    if "email" in claims:
        assert (error, token) == ("AccessDenied", None)
        return
    assert error is None and token
    name, image = database.admin.execute("select name, image from auth_identities").fetchone() or (None, None)
    assert image is None
    assert name is None or (len(name) <= 200 and name.isprintable())


def test_hash_of_the_access_token_is_checked_where_it_is_given() -> None:
    digest = hashlib.sha256(b"access").digest()[:16]
    token = signed({**GOOD, "at_hash": b64(digest)})
    good = claims_of(token, KEYS, provider=PROVIDER, metadata=METADATA, nonce=NONCE, access_token="access")
    assert good["sub"] == "1"
    for other in (None, "", "other"):
        with pytest.raises(Refused):
            claims_of(token, KEYS, provider=PROVIDER, metadata=METADATA, nonce=NONCE, access_token=other)
