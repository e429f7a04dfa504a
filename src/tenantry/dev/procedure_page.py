"""The list of procedures, and the page of one: types, docs, its form, and the answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tenantry.dev.forms import JSON_FIELD, NULL, Field
from tenantry.dev.frame import ROOT, View, badge, code_block, e, link, page, status_badge
from tenantry.dev.people import NOBODY, Person
from tenantry.dev.record import Fault
from tenantry.dev.request_page import fault_block
from tenantry.rpc import Procedure

WHO = ".as"


class Answer(Struct, frozen=True):
    """What came back: the body as text, and the call as it was recorded (0: it was not)."""

    status: int
    ms: float
    body: str
    fault: Fault | None
    number: int


def home(view: View, people: list[Person]) -> str:
    """Every procedure, by router."""
    parts = ["<h1>Procedures</h1>"]
    if not people:
        parts.append(no_people())
    parts.append(
        '<p class="filter"><label for="filter">Filter</label><input id="filter" type="search" autocomplete="off"></p>'
    )
    for name, members in view.groups:
        rows = "".join(
            f'<tr data-name="{e(one.path.lower())}"><th scope="row"><a href="{link(one.path)}">{e(one.path)}</a></th><td>{badge(one.type)}</td>'
            f'<td class="more">{e(who_may(one))}</td><td class="docs">{e(one.docs.partition(chr(10))[0])}</td></tr>'
            for one in members
        )
        parts.append(
            f'<section><h2>{e(name or "at the root")}</h2><div class="wide"><table><thead><tr><th scope="col">procedure</th><th scope="col">type</th>'
            f'<th scope="col" class="more">who</th><th scope="col">what it does</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
        )
    return page(view, "Procedures", "".join(parts), here="Procedures")


def who_may(one: Procedure[..., Any]) -> str:
    """In a word: everybody, members, a role, a permission."""
    if one.scope == "public":
        return "everybody"
    if one.scope == "person":
        return "anybody signed in"
    return f"can {one.need}" if "." in (one.need or "") else f"{one.need} and up" if one.need != "owner" else "owner"


def no_people() -> str:
    """What to do where nobody is there to call as."""
    return (
        '<p class="note">There is nobody to call as yet. <code>tenantry demo</code> makes two tenants with three people each; '
        "<code>tenantry session create --tenant acme --email ann@acme.example</code> signs somebody in. Then load this page again.</p>"
    )


def procedure_page(
    view: View, one: Procedure[..., Any], types: tuple[str, str, str], fields: list[Field], people: list[Person], chosen: str,
    sent: Mapping[str, str], answer: Answer | None, wrong: str,
) -> str:  # fmt: skip
    """A procedure with its form; `sent` is what was sent last, `wrong` why that could not go out."""
    given, result, models = types
    docs = f'<p class="lead">{e(one.docs)}</p>' if one.docs else ""
    body = [
        f"<h1>{e(one.path)}</h1><p>{badge(one.type)} {e(who_may(one))} · <code>{e(one.where)}</code></p>{docs}",
        f'<dl class="types"><dt>Input</dt><dd>{code_block(given, "Type of the input")}</dd>'
        f"<dt>{'Events' if one.type == 'subscription' else 'Output'}</dt><dd>{code_block(result, 'Type of the output')}</dd></dl>",
        f"<details><summary>The types that are named</summary>{code_block(models, 'Models')}</details>"
        if models.strip()
        else "",
        _form(one, fields, people, chosen, sent, wrong),
        "" if answer is None else _answer(view, answer),
    ]
    return page(view, one.path, "".join(body), path=one.path)


def _form(
    one: Procedure[..., Any], fields: list[Field], people: list[Person], chosen: str, sent: Mapping[str, str], wrong: str
) -> str:  # fmt: skip
    has_file = any(field.kind in ("file", "bytes") for field in fields)
    encoding = ' enctype="multipart/form-data"' if has_file else ""
    whole = sent.get(JSON_FIELD, "")
    as_json = (
        f'<details{" open" if whole else ""}><summary>Input as JSON instead</summary><p class="field"><label for="json">JSON</label>'
        f'<textarea id="json" name="{JSON_FIELD}" rows="6" spellcheck="false">{e(whole)}</textarea></p></details>'
        if fields and not (len(fields) == 1 and fields[0].name == "")
        else ""
    )
    return (
        f'<form method="post" action="{link(one.path)}#answer"{encoding}><h2>Call it</h2>{_whom(one, people, chosen)}'
        f"{''.join(_field(number, field, sent) for number, field in enumerate(fields))}{as_json}"
        + (f'<p class="wrong" role="alert">{e(wrong)}</p>' if wrong else "")
        + '<p><button type="submit">Send</button></p></form>'
    )


def _whom(one: Procedure[..., Any], people: list[Person], chosen: str) -> str:
    tenants: dict[str, list[Person]] = {}
    for person in people:
        tenants.setdefault(person.tenant, []).append(person)
    groups = "".join(
        f'<optgroup label="{e(tenant)}">'
        + "".join(
            f'<option value="{e(p.key)}"{" selected" if p.key == chosen else ""}>{e(p.email)} ({e(p.role)})</option>'
            for p in members
        )
        + "</optgroup>"
        for tenant, members in tenants.items()
    )
    nobody = f'<option value="{NOBODY}"{" selected" if chosen == NOBODY or not people else ""}>nobody (not signed in)</option>'
    hint = no_people() if not people and one.scope != "public" else ""
    return f'<p class="field"><label for="as">As whom</label><select id="as" name="{WHO}">{groups}{nobody}</select></p>{hint}'


def _field(number: int, field: Field, sent: Mapping[str, str]) -> str:
    name, value = field.name, sent.get(field.name, "")
    own = f'id="f{number}" name="{e(name)}"'
    needed = (
        " required"
        if field.is_required
        and field.kind in ("number", "choice", "date", "moment", "file", "bytes")
        and not field.takes_null
        else ""
    )
    match field.kind:
        case "choice":
            first = (
                "" if needed and value else f'<option value="">{"choose" if field.is_required else "left out"}</option>'
            )
            options = "".join(
                f'<option value="{e(one)}"{" selected" if one == value else ""}>{e(one)}</option>'
                for one in field.choices
            )
            control = f"<select {own}{needed}>{first}{options}</select>"
        case "area":
            control = f'<textarea {own} rows="3">{e(value)}</textarea>'
        case "json":
            shown = value or (field.hint if field.is_required and name else "")
            control = f'<textarea {own} rows="4" spellcheck="false" class="mono">{e(shown)}</textarea>'
        case "file" | "bytes":
            control = f'<input {own} type="file"{needed}>'
        case "date":
            control = f'<input {own} type="date" value="{e(value)}"{needed}>'
        case _:
            mode = ' inputmode="decimal"' if field.kind == "number" else ""
            hint = f' placeholder="{e(field.hint)}"' if field.hint else ""
            control = f'<input {own} type="text" value="{e(value)}"{mode}{hint}{needed} autocomplete="off" spellcheck="false">'
    optional = "" if field.is_required else ' <span class="soft">may be left out</span>'
    null = ""
    if field.takes_null:
        checked = " checked" if sent.get(NULL + name) else ""
        null = f'<label class="null"><input type="checkbox" name="{e(NULL + name)}" value="1"{checked}> null</label>'
    return f'<p class="field"><label for="f{number}">{e(name or "input")}{optional}</label>{control}{null}</p>'


def _answer(view: View, answer: Answer) -> str:
    more = f' · <a href="{ROOT}/requests/{answer.number}">its statements</a>' if answer.number else ""
    fault = "" if answer.fault is None else fault_block(answer.fault)
    return (
        f'<section id="answer" aria-live="polite"><h2>Answer</h2><p>{status_badge(answer.status)} in {answer.ms:.1f} ms{more}</p>{fault}'
        f"{code_block(answer.body, 'Body of the answer')}</section>"
    )
