"""The report as JUnit XML, which every CI shows: one test a finding or attempt, in a suite a kind of object."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from tenantry.tenancy.verify.render.tally import looked_at
from tenantry.tenancy.verify.report import Report


def junit(report: Report) -> str:
    """The file's text."""
    suites: dict[str, list[str]] = {"catalogue": []}
    failures = skips = 0
    for one in report.findings:
        failures += 1
        body = escape(f"{one.wrong}\n{one.gain}\n\n{one.remedy}\n")
        suites["catalogue"].append(
            f"    <testcase classname={quoteattr('catalogue.' + one.check)} name={quoteattr(f'{one.kind} {one.object}')}>\n"
            f"      <failure type={quoteattr(one.level)} message={quoteattr(one.wrong)}>{body}</failure>\n    </testcase>"
        )
    if not report.findings:
        suites["catalogue"].append(f'    <testcase classname="catalogue" name={quoteattr(looked_at(report))}/>')
    for tried in report.tried or ():
        head = f"    <testcase classname={quoteattr('probe.' + tried.kind)} name={quoteattr(f'{tried.object}: {tried.attempt}')}"
        if tried.outcome in ("LEAK", "failed"):
            failures += 1
            body = f">\n      <failure type={quoteattr(tried.outcome)} message={quoteattr(tried.detail)}/>\n    </testcase>"
        elif tried.outcome == "skipped":
            skips += 1
            body = f">\n      <skipped message={quoteattr(tried.detail)}/>\n    </testcase>"
        else:
            body = "/>"
        suites.setdefault(tried.kind, []).append(head + body)
    total = sum(len(cases) for cases in suites.values())
    inner = "\n".join(
        f'  <testsuite name={quoteattr(name)} tests="{len(cases)}">\n' + "\n".join(cases) + "\n  </testsuite>"
        for name, cases in suites.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="tenantry verify" tests="{total}" failures="{failures}" skipped="{skips}" time="{report.seconds:.3f}">\n{inner}\n</testsuites>\n'
    )
