"""Who is answered at /_dev: this machine, by a loopback name, and a post only from a page of ours. Nobody in production."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tenantry.dev.guard import refusal

HOST = (b"host", b"127.0.0.1:3001")
ORIGIN = (b"origin", b"http://127.0.0.1:3001")


@pytest.mark.parametrize(
    "host",
    [b"localhost", b"localhost:3001", b"LOCALHOST:3001", b"127.0.0.1", b"127.0.0.1:80", b"127.8.8.8:80", b"[::1]:3001"],
)
def test_a_loopback_name_is_answered(host: bytes) -> None:
    assert refusal("GET", "127.0.0.1", [(b"host", host)]) is None


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example", b"evil.example:3001", b"localhost.evil.example", b"127.0.0.1.nip.io", b"127.0.0.1@evil.example", b"", b"[::2]", b"localhost:3001:1",
        b"localhost\nx", b"0.0.0.0:3001", b"192.168.0.7:3001", b"xlocalhost", b"2130706433", b"localhost.", b"127.0.0.1:", b"notlocalhost:3001",
    ],
)  # fmt: skip
def test_any_other_name_is_refused_so_that_rebinding_opens_nothing(host: bytes) -> None:
    refused = refusal("GET", "127.0.0.1", [(b"host", host)])
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize("headers", [[], [HOST, HOST], [HOST, (b"host", b"evil.example")]])
def test_one_host_is_wanted(headers: list[tuple[bytes, bytes]]) -> None:
    assert refusal("GET", "127.0.0.1", headers) is not None


@pytest.mark.parametrize(
    "peer", ["10.0.0.7", "192.168.1.4", "2001:db8::1", "::ffff:10.0.0.7", "", None, "localhost", "unix"]
)
def test_another_machine_finds_nothing_here(peer: str | None) -> None:
    refused = refusal("GET", peer, [HOST])
    assert refused is not None
    assert refused.status == 404


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_answered(peer: str) -> None:
    assert refusal("GET", peer, [HOST]) is None


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"x-real-ip", b"via"])
def test_behind_a_proxy_there_is_nothing(name: bytes) -> None:
    refused = refusal("GET", "127.0.0.1", [HOST, (name, b"10.0.0.7")])
    assert refused is not None
    assert refused.status == 404


@pytest.mark.parametrize(
    ("headers", "is_answered"),
    [
        ([ORIGIN], True),
        ([ORIGIN, (b"sec-fetch-site", b"same-origin")], True),
        ([], False),
        ([(b"origin", b"null")], False),
        ([(b"origin", b"http://evil.example")], False),
        ([(b"origin", b"http://127.0.0.1:5173")], False),
        ([(b"origin", b"http://localhost:3001")], False),
        ([(b"origin", b"http://127.0.0.1:3001.evil.example")], False),
        ([ORIGIN, ORIGIN], False),
        ([ORIGIN, (b"sec-fetch-site", b"cross-site")], False),
        ([ORIGIN, (b"sec-fetch-site", b"same-site")], False),
    ],
)
def test_a_post_comes_from_its_own_origin(headers: list[tuple[bytes, bytes]], is_answered: bool) -> None:
    assert (refusal("POST", "127.0.0.1", [HOST, *headers]) is None) is is_answered


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_no_other_method_is_answered(method: str) -> None:
    assert refusal(method, "127.0.0.1", [HOST, ORIGIN]) is not None


def test_importing_and_making_an_application_loads_nothing_of_it() -> None:
    code = "import sys, tenantry; from tenantry import Tenantry; Tenantry().procedures(); print([m for m in sys.modules if m.startswith('tenantry.dev')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
