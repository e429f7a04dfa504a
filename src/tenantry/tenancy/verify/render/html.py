"""The report as one HTML file: nothing is loaded from elsewhere, no script, light and dark as the reader's system is."""

from __future__ import annotations

from html import escape

from tenantry.tenancy.verify.render.tally import Line, lines, looked_at, verdict
from tenantry.tenancy.verify.report import Finding, Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5b6675; --line: #dfe4ea; --page: #f6f7f9; --card: #fff; --good: #14743c; --bad: #b3261e; --warn: #8a5a00; --code: #f1f3f6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --dim: #9aa5b4; --line: #2c3440; --page: #12161c; --card: #1a2029; --good: #5fd08f; --bad: #ff8a80; --warn: #f0bd5b; --code: #11151b } }
* { box-sizing: border-box } body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem } h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem }
.dim { color: var(--dim) } .verdict { margin: 1.2rem 0; padding: .9rem 1.1rem; border-radius: .6rem; background: var(--card); border-left: .35rem solid var(--good); font-weight: 600 }
.verdict.bad { border-color: var(--bad) } .card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1.1rem; margin: .7rem 0 }
.tag { display: inline-block; min-width: 3.4rem; text-align: center; border-radius: .3rem; padding: 0 .45rem; font-size: .8rem; font-weight: 700; color: #fff; background: var(--warn) }
.tag.hole { background: #b3261e } .tag.leak { background: #8a5a00 } .tag.note { background: #4a6785 } code, pre { font: .86rem/1.45 ui-monospace, monospace }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem; overflow-x: auto; margin: .6rem 0 0; user-select: all }
.wide { overflow-x: auto } table { width: 100%; border-collapse: collapse; background: var(--card) } th, td { text-align: left; padding: .38rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--dim); font-weight: 600; font-size: .85rem } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .blocked, .control { color: var(--good) } .LEAK, .failed { color: var(--bad); font-weight: 700 } .skipped { color: var(--warn) }
details > summary { cursor: pointer } details table { margin: .3rem 0 .6rem; font-size: .9rem } ul { padding-left: 1.2rem } li { margin: .25rem 0 }
""".strip()


def html(report: Report) -> str:
    """The file's text."""
    good = "" if report.is_proven else " bad"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Isolation of {escape(report.database)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>Isolation of {escape(report.database)}</h1>",
        f'<div class="dim">role <code>{escape(report.role)}</code>, PostgreSQL {escape(report.server)}, {report.seconds:.2f} s; looked at {escape(looked_at(report))}</div>',
        f'<div class="verdict{good}">{escape(verdict(report))}</div>',
    ]
    if report.findings:
        parts.append("<h2>What was found</h2>")
        parts += [_finding(one) for one in report.findings]
    if report.tried is not None:
        parts.append(
            '<h2>What was tried</h2><div class="wide"><table><tr><th>kind</th><th>object</th><th class="n">attempts</th><th class="n">blocked</th><th class="n">skipped</th><th>result</th></tr>'
        )
        parts += [_line(line) for line in lines(report.tried)]
        parts.append("</table></div>")
    parts.append("<h2>What is not proved, and how far it goes</h2><ul>")
    parts += [f"<li><b>{escape(one.what)}.</b> {escape(one.bound)}</li>" for one in report.accepted]
    parts.append("</ul></main></body></html>\n")
    return "\n".join(parts)


def _finding(one: Finding) -> str:
    return (
        f'<div class="card"><span class="tag {one.level}">{one.level}</span> <b>{escape(one.kind)} <code>{escape(one.object)}</code></b>'
        f' <span class="dim">{one.check} {escape(one.name)}</span><div>{escape(one.wrong)}</div>'
        f'<div class="dim">An attacker: {escape(one.gain)}</div><pre>{escape(one.remedy)}</pre></div>'
    )


def _line(line: Line) -> str:
    rows = "".join(
        f'<tr><td>{escape(one.object) + ": " if one.object != line.object else ""}{escape(one.attempt)}</td><td class="{one.outcome}">{one.outcome}</td><td class="dim">{escape(one.detail)}</td></tr>'
        for one in line.attempts
    )
    is_open = " open" if line.verdict in ("LEAK", "failed") else ""
    return (
        f"<tr><td>{escape(line.kind)}</td><td><details{is_open}><summary><code>{escape(line.object)}</code></summary><table>{rows}</table></details></td>"
        f'<td class="n">{len(line.attempts)}</td><td class="n">{line.count("blocked", "control")}</td><td class="n">{line.count("skipped")}</td>'
        f'<td class="{line.verdict}">{line.verdict}</td></tr>'
    )
