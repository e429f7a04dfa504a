"""The last requests, and the page of one: error with file, line and cure; statements with time, rows and plan. Pure."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from uuid import UUID

from tenantry.db import params as pg
from tenantry.dev.frame import ROOT, View, code_block, e, excerpt_block, link, page, status_badge
from tenantry.dev.record import MOST_REQUESTS, Fault, Notice, Ran, Recorded

LONGEST_VALUE = 200


def request_list(view: View, calls: list[Recorded], who: Mapping[bytes, str], noted: Mapping[int, list[Notice]]) -> str:
    """The last calls of this worker, the newest first; `who` are the names of credentials."""
    if not calls:
        empty = '<p class="note">Nothing was called since this worker began. Send something from a procedure\'s page, or from your front end.</p>'
        return page(view, "Requests", f"<h1>Requests</h1>{empty}", here="Requests")
    rows = "".join(_row(one, who, noted.get(one.number, [])) for one in calls)
    body = (
        f'<h1>Requests</h1><p class="soft">The last {MOST_REQUESTS} of this worker, the newest first; a reload of the code begins anew.</p>'
        '<div class="wide"><table><thead><tr><th scope="col">when</th><th scope="col">procedure</th><th scope="col">status</th>'
        '<th scope="col" class="n">ms</th><th scope="col" class="n more">statements</th><th scope="col" class="more">as</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return page(view, "Requests", body, here="Requests")


def _row(one: Recorded, who: Mapping[bytes, str], notices: list[Notice]) -> str:
    wrong = (
        one.fault.code if one.fault is not None else ", ".join(dict.fromkeys(n.text.split(" ", 1)[0] for n in notices))
    )
    below = f'<div class="below">{e(wrong)}</div>' if wrong else ""
    return (
        f'<tr><td>{e(clock(one.at))}</td><th scope="row"><a href="{ROOT}/requests/{one.number}">{e(one.path)}</a>{below}</th><td>{status_badge(one.status)}</td>'
        f'<td class="n">{one.ms:.1f}</td><td class="n more">{len(one.statements) + one.left_out}</td><td class="more">{e(_caller(one, who))}</td></tr>'
    )


def request_page(
    view: View, one: Recorded, who: Mapping[bytes, str], notices: list[Notice], plans: Mapping[int, str]
) -> str:
    """One call; `plans` are the plans that were asked for, by the statement's place."""
    parts = [
        f"<h1>{e(one.path)}</h1><p>{status_badge(one.status)} in {one.ms:.1f} ms · {e(clock(one.at))} · as {e(_caller(one, who))} · "
        f'request <code>{e(one.request_id)}</code> · <a href="{link(one.path)}">call it again</a></p>'
    ]
    if one.fault is not None:
        parts.append(fault_block(one.fault))
    parts += [
        f'<div class="fault warn" role="note"><pre>{e(notice.text)}</pre>{_more(notice.text.split(" ", 1)[0])}</div>'
        for notice in notices
    ]
    parts.append(f"<h2>Statements</h2>{'' if one.statements else '<p>None was sent inside a tenant.</p>'}")
    parts += [_statement(one, number, ran, plans.get(number)) for number, ran in enumerate(one.statements)]
    if one.left_out:
        parts.append(f"<p>And {one.left_out} more.</p>")
    return page(view, one.path, "".join(parts), here="Requests", path=one.path)


def _statement(one: Recorded, number: int, ran: Ran, plan: str | None) -> str:
    failed = f' <span class="badge s5">{e(ran.failed)}</span>' if ran.failed else ""
    values = "".join(f"<li><code>${at} = {e(text)}</code></li>" for at, text in enumerate(values_of(ran), 1))
    asked = "" if plan is None else code_block(plan, f"Plan of statement {number + 1}")
    ask = (
        f'<form method="post" action="{ROOT}/requests/{one.number}#s{number}"><button type="submit" name="plan" value="{number}">Plan</button>'
        ' <span class="soft">runs it again as the same person, and rolls back</span></form>'
        if ran.params is not None and one.entry is not None
        else ""
    )
    return (
        f'<section class="card" id="s{number}"><p><strong>{number + 1}</strong> · {ran.ms:.2f} ms · {ran.rows} {"row" if ran.rows == 1 else "rows"} · '
        f"<code>{e(ran.where)}</code>{failed}</p>{code_block(ran.text, f'Statement {number + 1}')}"
        f"{f'<ul class=values>{values}</ul>' if values else ''}{ask}{asked}</section>"
    )


def fault_block(fault: Fault) -> str:
    """An error: code, words, cure, file and line, the source around it, the trace."""
    cure = f"<p><strong>{e(fault.cure)}</strong></p>" if fault.cure else ""
    where = f"<p>At <code>{e(fault.where)}</code></p>" if fault.where and fault.where not in fault.words else ""
    trace = f"<details><summary>Trace</summary>{code_block(fault.trace, 'Trace')}</details>" if fault.is_mistake else ""
    return (
        f'<div class="fault" role="note"><p><code class="code">{e(fault.code)}</code> <span class="words">{e(fault.words)}</span></p>{cure}{where}'
        f"{excerpt_block(fault.excerpt)}{_more(fault.code) if fault.code.isupper() else ''}{trace}</div>"
    )


def _more(code: str) -> str:
    return f'<p><a href="{ROOT}/errors/{e(code)}">More on {e(code)}</a></p>'


def _caller(one: Recorded, who: Mapping[bytes, str]) -> str:
    if one.entry is None:
        return "nobody"
    return who.get(one.entry.credential, "a session of another origin")


def clock(at: float) -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def values_of(ran: Ran) -> list[str]:
    """The parameters as they were sent, to read."""
    if ran.params is None:
        return []
    formats = ran.formats or (0,) * len(ran.params)
    oids = ran.oids or (0,) * len(ran.params)
    # Of a page also the cursor's values and its limit: they are described with the statement like all others.
    padded = zip(ran.params, formats, (*oids, *(0,) * len(ran.params)), strict=False)
    return [_value(raw, form, oid) for raw, form, oid in padded]


def _value(raw: bytes | None, form: int, oid: int) -> str:
    if raw is None:
        return "null"
    read = _BINARY.get(oid, _hex) if form else _text
    try:
        return read(raw)
    except (ValueError, OverflowError, struct.error):
        return _hex(raw)


def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return repr(text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…")


def _hex(raw: bytes) -> str:
    return repr(f"\\x{raw[: LONGEST_VALUE // 2].hex()}")


def _integer(raw: bytes) -> str:
    return str(int.from_bytes(raw, "big", signed=True))


_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
"""What PostgreSQL counts times from."""
_BINARY: dict[int, Callable[[bytes], str]] = {
    pg.BOOL: lambda raw: "true" if raw == b"\x01" else "false",
    pg.UUID_OID: lambda raw: repr(str(UUID(bytes=raw))),
    pg.DATE: lambda raw: repr((_EPOCH + timedelta(days=int(_integer(raw)))).date().isoformat()),
    pg.TIMESTAMPTZ: lambda raw: repr((_EPOCH + timedelta(microseconds=int(_integer(raw)))).isoformat()),
    pg.FLOAT4: lambda raw: str(struct.unpack(">f", raw)[0]),
    pg.FLOAT8: lambda raw: str(struct.unpack(">d", raw)[0]),
    **dict.fromkeys((pg.INT2, pg.INT4, pg.INT8), _integer),
    **dict.fromkeys((pg.TEXT, pg.VARCHAR, pg.BPCHAR, pg.NAME), _text),
}
"""How a value of a type is read, as it went over the wire in binary."""
