"""The pages of docs/runbook, made of the sections: what is looked at, causes, remedies, and every command of the older runbook."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tenantry.runbook.commands import COMMANDS, Typed
from tenantry.runbook.model import Cause, Section

DATED = "2026-11-25"
"""Of the version; not of the day on which the pages were written."""
CLASSES = {"S": "safe", "A": "approval", "M": "by hand"}


def pages(sections: Sequence[Section], version: str) -> dict[str, str]:
    """File name → text, the index first."""
    return {
        "README.md": _index(sections, version),
        **{f"{section.slug}.md": _page(section, version) for section in sections},
    }


def _index(sections: Sequence[Section], version: str) -> str:
    lines = [
        "# Runbook",
        "",
        f"Version {version}, {DATED}. Written from the sections of `src/tenantry/runbook` by `scripts/reference.py`; `tenantry doctor` runs the same.",
        "",
        "    tenantry doctor                        what is the matter, by which evidence, what to do",
        "    tenantry doctor --fix                  does what is safe, and checks that it helped",
        "    tenantry doctor --approve ID --by YOU  does that one, which needs somebody's approval",
        "",
        "Remedies are *safe* (`--fix` runs them), need *approval*, or are done *by hand*. A remedy whose rights are not to be had here is by hand.",
        "",
        "| section | symptoms | alerts |",
        "| --- | --- | --- |",
    ]
    for section in sections:
        symptoms = ", ".join(f"`{_cell(one)}`" for one in section.symptoms)
        lines.append(f"| [{section.title}]({section.slug}.md) | {symptoms} | {', '.join(section.alerts) or '-'} |")
    return "\n".join(lines) + "\n"


def _page(section: Section, version: str) -> str:
    lines = [f"# {section.title}", "", f"Version {version}, {DATED}. `tenantry doctor {section.slug}`", ""]
    lines += ["## Symptoms", "", *(f"- `{one}`" for one in section.symptoms)]
    lines += [f"- alert `{alert}`" for alert in section.alerts]
    lines += ["", "## What is looked at", "", "| probe | by hand |", "| --- | --- |"]
    lines += [f"| {probe.name} | `{_cell(probe.command)}` |" for probe in section.probes]
    lines += ["", "## Causes", ""]
    for cause in section.causes:
        lines += _cause(cause)
    lines += ["## What older runbooks say", "", section.prose, ""]
    typed = [one for one in COMMANDS if one.section == section.slug]
    for one in typed:
        lines += _typed(one)
    return "\n".join(lines).rstrip() + "\n"


def _cause(cause: Cause) -> list[str]:
    lines = [f"### {cause.id}", "", _words(cause.says)]
    if cause.kind:
        lines.append(f"An incident of kind `{cause.kind}` is opened when the doctor is told to act.")
    if cause.explains:
        lines.append("It explains: " + ", ".join(f"`{one}`" for one in sorted(cause.explains)) + ".")
    remedy = cause.remedy
    if remedy is not None:
        kind = CLASSES["M" if remedy.act is None else remedy.kind]
        lines += [
            "",
            f"    {remedy.command.replace('{{', '{').replace('}}', '}')}",
            "",
            f"`{remedy.id}`, {kind}, {remedy.who}",
        ]
        lines[-1] += f"; needs {remedy.needs}." if remedy.needs != "none" else "."
        if remedy.says:
            lines.append(_words(remedy.says))
        if remedy.verification is not None:
            lines.append(
                f"Verified when, within {remedy.verification.within_seconds:g} s: {remedy.verification.expected} (probe {remedy.verification.probe})."
            )
    return [*lines, ""]


def _typed(one: Typed) -> list[str]:
    return ["```bash", one.text, "```", f"**{one.judgement.capitalize()}.** {one.says}", ""]


def _words(text: str) -> str:
    return re.sub(r"\{(\w+)\}", r"`\1`", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
