"""Sign-in's pages: small HTML without a script, light and dark, readable at any width, every value escaped. Pure.

Themed by two settings, name and colour. Inputs have `name` before `value`.
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from tenantry.auth.configuration import Configuration, Provider

ERRORS = {
    "OAuthAccountNotLinked": "This address belongs to an account with another way to sign in. Use the one you used first.",
    "AccountNotLinked": "This log-in could not be added. Sign in again, then add it within ten minutes.",
    "OAuthCallbackError": "Signing in was not finished. Please start again.",
    "MissingCSRF": "This page was open for too long. Please try again.",
    "CredentialsSignin": "That did not fit. Please try again.",
    "EmailSignin": "This is no e-mail address that mail can be sent to.",
    "SessionRequired": "Please sign in to see this page.",
    "RateLimited": "Too many tries from your network. Please wait a little, then try again.",
    "InvalidCode": "This code does not fit. Look again, or ask for a new mail.",
}
TITLES = {
    "Configuration": (
        "Something is wrong on our side",
        "Signing in does not work at the moment. Please try again later.",
        500,
    ),
    "AccessDenied": (
        "You have no access",
        "This account may not sign in here. Ask whoever runs it for an invitation.",
        403,
    ),
    "Verification": (
        "This link does not work any more",
        "It was used already, or it is too old. Ask for a new one.",
        403,
    ),
    "Default": ("That did not work", "Please start again.", 200),
}


class Field(NamedTuple):
    """A hidden field of a form."""

    name: str
    value: str


def style(color: str) -> str:
    """The one style sheet. The button's text is black or white, whichever reads better on the colour."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    luminance = sum(
        w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for w, c in ((0.2126, red), (0.7152, green), (0.0722, blue))
    )
    on_color = "#000" if luminance > 0.179 else "#fff"
    return (
        ":root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--text:#1c1e21;--soft:#5b6069;--line:#c9cdd4;--bad:#a3161a;"
        f"--bad-on:#fdecec;--brand:{color};--on:{on_color}}}"
        "@media(prefers-color-scheme:dark){:root{--page:#14161a;--card:#1e2127;--text:#eceef1;--soft:#a8afba;--line:#444a55;"
        "--bad:#ffb4b0;--bad-on:#3b1a1c}}"
        "*{box-sizing:border-box}body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:1rem;"
        "background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif}"
        "main{width:100%;max-width:24rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:2rem 1.5rem}"
        "h1{font-size:1.375rem;line-height:1.25;margin:.25rem 0 1rem}p{margin:0 0 1rem}.of{color:var(--soft);margin:0;font-weight:600}"
        ".bad{background:var(--bad-on);color:var(--bad);border-radius:.5rem;padding:.75rem 1rem}"
        "form{margin:0 0 .75rem}button,input,a.button{font:inherit;width:100%;min-height:2.75rem;border-radius:.5rem;padding:.5rem 1rem}"
        "button,a.button{display:block;text-align:center;text-decoration:none;border:1px solid var(--line);background:transparent;"
        "color:inherit;cursor:pointer;font-weight:600}"
        "button.first,a.button{background:var(--brand);border-color:var(--brand);color:var(--on)}"
        "button:hover{filter:brightness(.95)}:focus-visible{outline:3px solid var(--brand);outline-offset:2px}"
        "label{display:block;font-weight:600;margin-bottom:.25rem}input{border:1px solid var(--line);background:var(--card);color:inherit;"
        "margin-bottom:.75rem}.code input{letter-spacing:.2em;text-transform:uppercase;font-family:ui-monospace,monospace}"
        ".or{display:flex;align-items:center;gap:.75rem;color:var(--soft);margin:1rem 0}.or::before,.or::after{content:'';flex:1;"
        "border-top:1px solid var(--line)}small{color:var(--soft);overflow-wrap:anywhere}strong{overflow-wrap:anywhere}"
    )


def document(configuration: Configuration, nonce: str, title: str, body: str) -> str:
    """A whole page. `body` is HTML of ours, its values escaped already."""
    name = escape(configuration.theme_name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - {name}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f'<style nonce="{nonce}">{style(configuration.theme_color)}</style></head>'
        f'<body><main><p class="of">{name}</p><h1>{escape(title)}</h1>{body}</main></body></html>'
    )


def form(action: str, fields: list[Field], inside: str, kind: str = "") -> str:
    """A form that posts; `inside` is HTML of ours."""
    hidden = "".join(f'<input type="hidden" name="{escape(f.name)}" value="{escape(f.value)}">' for f in fields)
    return f'<form action="{escape(action)}" method="post"{kind}>{hidden}{inside}</form>'


def _warning(text: str) -> str:
    return f'<p class="bad" role="alert">{escape(text)}</p>'


def sign_in(
    configuration: Configuration, nonce: str, base: str, csrf: str, callback: str, error: str | None, request_id: str
) -> str:
    """One form a provider; the e-mail link asks for an address."""
    fields = [Field("csrfToken", csrf), Field("callbackUrl", callback)]
    parts: list[str] = []
    if error:
        parts.append(_warning(ERRORS.get(error, "That did not work. Please try again.")))
        parts.append(f"<p><small>{escape(_code(error))}, request {escape(request_id)}</small></p>")
    links = [p for p in configuration.providers.values() if p.type == "oidc"]
    parts += [
        form(f"{base}/signin/{p.id}", fields, f'<button class="first">Sign in with {escape(p.name)}</button>')
        for p in links
    ]
    if any(p.type == "email" for p in configuration.providers.values()):
        if links:
            parts.append('<div class="or">or</div>')
        inside = (
            '<label for="email">E-mail address</label>'
            '<input id="email" type="email" name="email" autocomplete="email" required maxlength="254">'
            '<button class="first">Send me a link</button>'
        )
        parts.append(form(f"{base}/signin/email", fields, inside))
    if not configuration.providers:
        parts.append("<p>No way to sign in is set up here.</p>")
    return document(configuration, nonce, "Sign in", "".join(parts))


def _code(error: str) -> str:
    return error if re.fullmatch(r"[A-Za-z]{1,40}", error) else "Error"


def sign_out(configuration: Configuration, nonce: str, base: str, csrf: str, callback: str) -> str:
    """Asks; the button does it."""
    fields = [Field("csrfToken", csrf), Field("callbackUrl", callback)]
    body = "<p>Do you want to sign out on this device?</p>" + form(
        f"{base}/signout", fields, '<button class="first">Sign out</button>'
    )
    return document(configuration, nonce, "Sign out", body)


def error(configuration: Configuration, nonce: str, base: str, code: str, request_id: str) -> tuple[str, int]:
    """What went wrong, and the status that says it."""
    title, text, status = TITLES.get(code, TITLES["Default"])
    body = (
        f'<p>{escape(text)}</p><p><a class="button" href="{escape(base)}/signin">Sign in</a></p>'
        f"<p><small>{escape(_code(code))}, request {escape(request_id)}</small></p>"
    )
    return document(configuration, nonce, title, body), status


def verify_request(
    configuration: Configuration, nonce: str, base: str, csrf: str, flow: str | None, wrong: str | None
) -> str:
    """Look into your mail; where the mail was asked for from this browser, its code can be typed in."""
    body = "<p>A mail is on its way with a link to sign in. If it does not come, look among the spam.</p>"
    if wrong:
        body += _warning(ERRORS.get(wrong, ERRORS["InvalidCode"]))
    if flow is not None:
        inside = (
            '<label for="code">Or type the code from the mail</label>'
            '<input id="code" name="code" value="" autocomplete="one-time-code" required maxlength="12" spellcheck="false">'
            '<button class="first">Sign in</button>'
        )
        fields = [Field("csrfToken", csrf), Field("flow", flow)]
        body += form(f"{base}/callback/email", fields, inside, ' class="code"')
    return document(configuration, nonce, "Look into your mail", body)


def confirm_email(
    configuration: Configuration, nonce: str, base: str, csrf: str, address: str, token: str, callback: str
) -> str:
    """The link's page: opening it changes nothing, the button signs in."""
    fields = [Field("csrfToken", csrf), Field("email", address), Field("token", token), Field("callbackUrl", callback)]
    body = f"<p>Sign in as <strong>{escape(address)}</strong>?</p>" + form(
        f"{base}/callback/email", fields, '<button class="first">Sign in</button>'
    )
    return document(configuration, nonce, "Sign in", body)


def origin_of(provider: Provider) -> str:
    """The origin that a provider's form leads to."""
    from urllib.parse import urlsplit

    parts = urlsplit(provider.issuer)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
