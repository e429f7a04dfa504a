"""What every page of `/_dev` stands in: head, navigation, the banner of code that does not start. Server-rendered; every value escaped. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from msgspec import Struct

from tenantry.rpc import Procedure

ROOT = "/_dev"


class View(Struct, frozen=True):
    """What the frame shows beside the page's own: `stale` is why the code on disk does not serve; empty where it does."""

    app: str
    version: str
    pid: int
    stale: str
    groups: list[tuple[str, list[Procedure[..., object]]]]
    serves: bool = True
    """Whether older code answers calls meanwhile; without, the banner is all that there is to see."""


def e(value: object) -> str:
    """Escaped, for text and for attributes in double quotes."""
    return escape(str(value), quote=True)


def page(view: View, title: str, body: str, *, here: str = "", path: str = "") -> str:
    """The whole page. `here` is the navigation's current entry, `path` the current procedure."""
    links = "".join(
        f'<a href="{ROOT}{to}"{_current(name == here)}>{name}</a>'
        for name, to in (("Procedures", ""), ("Requests", "/requests"), ("Errors", "/errors"))
    )
    hidden = "" if view.stale else " hidden"
    words = (
        "The code on disk does not start; the code before it serves."
        if view.serves
        else "The code on disk does not start."
    )
    about = f"development · Tenantry {e(view.version)} · worker {view.pid}" if view.serves else "development"
    nav = f'<nav aria-label="Pages">{links}</nav>' if view.serves else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{e(title)} · {e(view.app)}</title><link rel="stylesheet" href="{ROOT}/desk.css"><link rel="icon" href="data:,">'
        f'<script src="{ROOT}/desk.js" defer></script></head><body data-worker="{view.pid}">'
        '<a class="skip" href="#main">To the content</a>'
        f'<header><strong><a href="{ROOT}">{e(view.app)}</a></strong>{nav}'
        f'<span class="soft">{about}</span></header>'
        f'<div id="stale" class="banner" role="alert"{hidden}><strong>{words}</strong>'
        f"<pre>{e(view.stale)}</pre></div>"
        f'<p id="fresh" class="banner good" role="status" hidden>New code serves. <a href="">Load this page again</a></p>'
        f'<div class="sides">{_side(view, path) if view.serves else ""}<main id="main">{body}</main></div></body></html>\n'
    )


def _side(view: View, path: str) -> str:
    groups = "".join(
        f"<h2>{e(name or 'at the root')}</h2><ul>{''.join(_entry(one, path) for one in members)}</ul>"
        for name, members in view.groups
    )
    return f'<details class="side"><summary>Procedures</summary><nav aria-label="Procedures">{groups}</nav></details>'


def _entry(one: Procedure[..., object], path: str) -> str:
    return f'<li><a href="{link(one.path)}"{_current(one.path == path)}>{badge(one.type)} {e(one.path.rpartition(".")[2])}</a></li>'


def _current(is_it: bool) -> str:
    return ' aria-current="page"' if is_it else ""


def link(path: str) -> str:
    """Where a procedure's page is. Its path is of names and dots."""
    return f"{ROOT}/p/{e(path)}"


def badge(kind: str) -> str:
    """`query`, `mutation`, `subscription` in their colour."""
    short = {"query": "query", "mutation": "mutation", "subscription": "sub"}.get(kind, kind)
    return f'<span class="badge {e(kind)}">{e(short)}</span>'


def status_badge(status: int) -> str:
    """An HTTP status in the colour of its kind."""
    return f'<span class="badge s{status // 100}">{status}</span>'


def code_block(text: str, label: str, *, wraps: bool = False) -> str:
    """Text in a box that can be reached and scrolled by keyboard; words, unlike code, are `wraps`."""
    kind = ' class="words"' if wraps else ""
    return f'<pre tabindex="0"{kind} aria-label="{e(label)}"><code>{e(text)}</code></pre>'


def nothing(view: View, why: str) -> str:
    """The page of an address that has none."""
    return page(view, "No such page", f'<h1>No such page</h1><p>{e(why)}</p><p><a href="{ROOT}">All procedures</a></p>')


def excerpt_block(lines: Iterable[tuple[int, str, bool]]) -> str:
    """Lines of source with their numbers, the one at fault marked."""
    shown = "".join(
        f'<span class="line{" at" if is_it else ""}"><span class="no">{number}</span> {e(text)}</span>'
        for number, text, is_it in lines
    )
    return f'<pre tabindex="0" class="source" aria-label="Source"><code>{shown}</code></pre>' if shown else ""
