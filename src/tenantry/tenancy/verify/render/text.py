"""The report for a terminal: short, the worst first, and what was tried as a table."""

from __future__ import annotations

import textwrap

from tenantry.tenancy.verify.render.tally import lines, looked_at, verdict
from tenantry.tenancy.verify.report import Finding, Report

MOST_LINES = 40
MOST_REMEDY = 12
_COLOURS = {
    "hole": "31;1",
    "leak": "33",
    "note": "36",
    "LEAK": "31;1",
    "failed": "31;1",
    "blocked": "32",
    "skipped": "33",
}


def text(report: Report, *, is_coloured: bool = False, is_long: bool = False) -> str:
    """Lines for people. `is_long` lists every attempt, and what cannot be proved in full."""

    def paint(word: str, colour: str) -> str:
        return f"\x1b[{_COLOURS.get(colour, '1')}m{word}\x1b[0m" if is_coloured else word

    out = [f"Isolation of role {report.role} in database {report.database}, PostgreSQL {report.server}", ""]
    out += textwrap.wrap(f"looked at  {looked_at(report)}", 110, subsequent_indent=" " * 11)
    for one in report.findings:
        out += ["", *_finding(one, paint(f"{one.level.upper():<5}", one.level), is_long=is_long)]
    if report.tried is not None:
        out += ["", f"{'tried on':<56}{'attempts':>9}{'blocked':>9}{'skipped':>9}  result"]
        shown = lines(report.tried)
        for line in shown[:MOST_LINES] if not is_long else shown:
            title = f"{line.kind:<18}{line.object}"
            counts = f"{len(line.attempts):>9}{line.count('blocked', 'control'):>9}{line.count('skipped'):>9}"
            out.append(
                f"{title if len(title) <= 55 else title[:54] + '…':<56}{counts}  {paint(line.verdict, line.verdict)}"
            )
            out += [
                f"    {one.outcome:<8} {one.attempt}: {one.detail}"
                for one in line.attempts
                if is_long or one.outcome in ("LEAK", "failed")
            ]
        if len(shown) > MOST_LINES and not is_long:
            out.append(
                f"and {len(shown) - MOST_LINES} more objects, blocked as well (--long, --json, --html show each)"
            )
        out += _skipped(report, is_long=is_long)
    out += ["", "Not proved, and how far it goes" + ("" if is_long else " (--long says more)")]
    definers = [entry for entry in report.accepted if entry.what.endswith(" runs with its owner's rights")]
    if len(definers) > 3 and not is_long:
        out.append(f"  - {len(definers)} functions run with their owners' rights, each listed with its reason")
    for entry in report.accepted:
        if len(definers) > 3 and not is_long and entry in definers:
            continue
        out += textwrap.wrap(
            f"- {entry.what}" + (f": {entry.bound}" if is_long else ""),
            110,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    out += ["", paint(verdict(report), "blocked" if report.is_proven else "hole") + f"   ({report.seconds:.2f} s)"]
    return "\n".join(out)


def _finding(one: Finding, level: str, *, is_long: bool) -> list[str]:
    remedy = one.remedy.splitlines()
    if len(remedy) > MOST_REMEDY and not is_long:
        remedy = [*remedy[:3], f"-- … {len(remedy) - 3} lines more (--long)"]
    return [
        f"{level} {one.check} {one.name}: {one.kind} {one.object}",
        *textwrap.wrap(f"{one.wrong}. {one.gain}", 104, initial_indent="      ", subsequent_indent="      "),
        *("        " + line for line in remedy),
    ]


def _skipped(report: Report, *, is_long: bool) -> list[str]:
    skipped = [one for one in report.tried or () if one.outcome == "skipped"]
    if not skipped or is_long:
        return []
    whys: dict[str, list[str]] = {}
    for one in skipped:
        whys.setdefault(one.detail, []).append(one.object)
    out = ["", "Not tried, and why"]
    for why, things in whys.items():
        names = list(dict.fromkeys(things))
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        out += textwrap.wrap(f"- {shown}: {why}", 110, initial_indent="  ", subsequent_indent="    ")
    return out
