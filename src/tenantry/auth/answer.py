"""An answer of sign-in before it is bytes: status, headers, cookies. Pure.

Whatever sets a cookie is `private, no-store`; a page has no script, and its one style is named by a nonce.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tenantry.auth.credential import Headers

NEVER_KEPT: Headers = [
    (b"cache-control", b"private, no-cache, no-store"), (b"expires", b"0"), (b"pragma", b"no-cache"),
]  # fmt: skip
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~-._|"


class Answer:
    """One answer."""

    __slots__ = ("body", "cookies", "headers", "status")

    def __init__(self, status: int, body: bytes, content_type: str | None) -> None:
        self.status = status
        self.body = body
        self.headers: Headers = [] if content_type is None else [(b"content-type", content_type.encode())]
        self.cookies: list[str] = []

    def lines(self) -> Headers:
        """All headers, with the caching that fits."""
        found = [*self.headers, (b"x-content-type-options", b"nosniff")]
        if self.cookies:
            if not any(name == b"cache-control" for name, _ in found):
                found.append((b"cache-control", b"private, no-store"))
            found += [(b"set-cookie", line.encode("latin-1", "replace")) for line in self.cookies]
        return found


def as_json(value: Any, status: int = 200, *, is_kept: bool = True) -> Answer:
    """JSON; `is_kept=False` for what no cache may keep."""
    answer = Answer(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")
    if not is_kept:
        answer.headers += NEVER_KEPT
    return answer


def redirect(url: str) -> Answer:
    """302; the URL becomes ASCII, and holds no line break."""
    answer = Answer(302, b"", None)
    answer.headers.append((b"location", quote(url, safe=_URL_SAFE).encode("ascii")))
    answer.headers.append((b"referrer-policy", b"no-referrer"))
    return answer


def as_page(html: str, status: int, nonce: str, form_to: str) -> Answer:
    """HTML with its policy. `form_to` are the origins that a form may lead to, beside our own."""
    answer = Answer(status, html.encode(), "text/html; charset=utf-8")
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'{' ' if form_to else ''}{form_to}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    answer.headers += [
        (b"content-security-policy", policy.encode("ascii")), (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"), (b"cache-control", b"private, no-store"),
    ]  # fmt: skip
    return answer
