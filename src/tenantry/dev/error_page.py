"""Every code of Tenantry's, and the page of one: the words, the cure, and an example as it is said. Pure."""

from __future__ import annotations

import inspect

from tenantry import errors
from tenantry.dev.frame import ROOT, View, code_block, e, page
from tenantry.errors import BuilderError, TenantryError, kinds_of


def kinds() -> dict[str, type[TenantryError]]:
    """Code → class, of errors.py."""
    found: dict[str, type[TenantryError]] = {}
    for kind in (TenantryError, *kinds_of(TenantryError)):
        if kind.__module__ == errors.__name__ and kind.code.isupper():
            found.setdefault(kind.code, kind)
    return dict(sorted(found.items()))


def error_list(view: View) -> str:
    """A line a code; a builder's own mistakes first."""
    rows = "".join(
        f'<tr><th scope="row"><a href="{ROOT}/errors/{e(code)}">{e(code)}</a></th><td>{e(" ".join(kind.says.split()))}</td></tr>'
        for code, kind in sorted(kinds().items(), key=lambda one: (not issubclass(one[1], BuilderError), one[0]))
    )
    body = (
        '<h1>Errors</h1><div class="wide"><table><thead><tr><th scope="col">code</th><th scope="col">says</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return page(view, "Errors", body, here="Errors")


def error_page(view: View, code: str, kind: type[TenantryError]) -> str:
    """One code."""
    own = inspect.getdoc(kind) if "__doc__" in vars(kind) else ""
    said = (
        str(kind(**kind.example))
        if kind.example
        else f"{code} {kind.says}" + (f"\n{kind.remedy}" if kind.remedy else "")
    )
    heard = (
        "Clients see its own words."
        if kind.is_public
        else "In production a client hears “Something went wrong” and the request id, and nothing of this."
    )
    body = f"<h1>{e(code)}</h1>{f'<p class=lead>{e(own)}</p>' if own else ''}{code_block(said, 'As it is said', wraps=True)}<p>{heard} tRPC: <code>{e(kind.trpc)}</code></p>"
    return page(view, code, body, here="Errors")
