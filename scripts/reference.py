"""Write docs/reference and docs/runbook from the code: settings, errors, commands, sections. `--check` only compares, and exits 1 when a page is old."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import tenantry
from tenantry import errors
from tenantry.cli.main import make_parser
from tenantry.runbook import sections
from tenantry.runbook.pages import pages
from tenantry.settings import Settings
from tenantry.signals import FAMILIES, REQUEST_SECONDS, STATEMENT_MS
from tenantry.signals.families import OPERATIONS, OUTCOMES, SERVER_CODES

COMMON_EXITS = "0 well, 1 failed, 2 used or set wrongly"
DOCS = Path(__file__).parent.parent / "docs"
FOLDER = DOCS / "reference"


def settings() -> str:
    lines = [
        "# Settings",
        "",
        "From the environment, or a `.env` file (the environment wins).",
        "",
        "| name | default | unit | |",
        "| --- | --- | --- | --- |",
    ]
    for one in Settings.describe():
        lines.append(f"| `{one.name}` | {one.default} | {one.unit} | {one.says} |")
    return "\n".join(lines) + "\n"


def error_codes() -> str:
    lines = [
        "# Errors",
        "",
        "`code` is stable; clients see tRPC's code in `error.data.code`.",
        "",
        "| code | tRPC | says | what to do |",
        "| --- | --- | --- | --- |",
    ]
    seen = {kind.code: kind for kind in errors.kinds_of(errors.TenantryError) if kind.__module__ == "tenantry.errors"}
    for code, kind in sorted(seen.items()):
        says, remedy = (" ".join(text.replace("|", "\\|").split()) for text in (kind.says, kind.remedy))
        lines.append(f"| [`{code}`](errors/{code}.md) | {kind.trpc} | {says} | {remedy} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    lines = [
        "# Metrics",
        "",
        "Served at `/metrics` of the ops listener and at `health.metrics`; summed over all workers, gauges by the rule given.",
        "",
        "| metric | type | labels | |",
        "| --- | --- | --- | --- |",
    ]
    for family in FAMILIES:
        if family.is_own:
            continue
        labels = ", ".join(f"`{label}`" for label in family.labels)
        kind = family.kind if family.kind != "gauge" or family.labels else f"gauge ({family.rule})"
        lines.append(f"| `{family.name}` | {kind} | {labels} | {family.says} |")
    seconds, ms = (", ".join(f"{bound:g}" for bound in bounds) for bounds in (REQUEST_SECONDS, STATEMENT_MS))
    lines += ["", f"Buckets in seconds: {seconds}, +Inf. In milliseconds: {ms}, +Inf.", ""]
    lines += ["`operation` is one of " + ", ".join(f"`{one}`" for one in OPERATIONS) + "; `outcome` one of "]
    lines[-1] += ", ".join(f"`{one}`" for one in OUTCOMES) + "; `kind` is `server` for "
    lines[-1] += ", ".join(f"`{one}`" for one in sorted(SERVER_CODES)) + ", else `client`."
    return "\n".join(lines) + "\n"


def commands() -> str:
    lines = [
        "# Commands",
        "",
        f"Exit codes, where a command says nothing else: {COMMON_EXITS}. `--json` is for machines.",
        "",
    ]

    def walk(parser: argparse.ArgumentParser) -> None:
        nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not nested or parser.get_default("run"):
            lines.extend([f"## {parser.prog}", "", parser.description or "", ""])
            for action in parser._actions:
                name = ", ".join(action.option_strings) or action.dest
                if action.dest != "help" and action not in nested:
                    lines.append(f"- `{name}` {action.help or ''}".rstrip())
            example, _, exits = (parser.epilog or "").removeprefix("Example: ").partition("\nExit codes: ")
            lines.extend(["", f"    {example}", ""])
            if exits != COMMON_EXITS:
                lines.extend([f"Exit codes: {exits}.", ""])
        for action in nested:
            for child in action.choices.values():
                walk(child)

    walk(make_parser())
    return "\n".join(lines)


def error_pages() -> dict[str, Callable[[], str]]:
    """One page a code: where the words of the terminal lead to."""
    seen = {kind.code: kind for kind in errors.kinds_of(errors.TenantryError) if kind.__module__ == "tenantry.errors"}

    def page(kind: type) -> str:
        heard = "It stops a start or a command, and is said in the terminal."
        if kind.is_public:
            heard = "It shows its own words to clients."
        elif issubclass(kind, errors.BuilderError):
            heard = "Clients in production hear `Something went wrong` and the request id; in development `error.data.help` has these words."
        own = inspect.cleandoc(kind.__dict__["__doc__"]) + "\n\n" if kind.__dict__.get("__doc__") else ""
        cure = (
            f"What to do:\n\n    {kind.remedy.replace(chr(10), chr(10) + '    ')}\n\n"
            if kind.remedy not in ("", "{cure}")
            else ""
        )
        section = f"Runbook: `tenantry doctor {kind.section}`.\n\n" if kind.section else ""
        says = kind.says.replace("\n", "\n    ")
        if kind.example:
            said = str(kind(**kind.example)).replace("\n", "\n    ")
            cure += f"For example:\n\n    {said}\n\n"
        return f"# {kind.code}\n\n    {kind.code} {says}\n\n{own}{cure}{section}tRPC: `{kind.trpc}`. {heard}\n"

    return {f"errors/{code}.md": partial(page, kind) for code, kind in seen.items()}


PAGES = {
    "settings.md": settings,
    "errors.md": error_codes,
    "metrics.md": metrics,
    "commands.md": commands,
    **error_pages(),
}


def main() -> int:
    is_checking = "--check" in sys.argv
    wanted = {FOLDER / name: make() for name, make in PAGES.items()}
    wanted |= {DOCS / "runbook" / name: text for name, text in pages(sections(), tenantry.__version__).items()}
    gone = [page for page in (DOCS / "runbook").glob("*.md") if page not in wanted]
    old = [page for page, text in wanted.items() if not page.exists() or page.read_text("utf-8") != text]
    if not is_checking:
        (DOCS / "runbook").mkdir(exist_ok=True)
        for page in gone:
            page.unlink()
        for page in old:
            page.parent.mkdir(exist_ok=True)
            page.write_text(wanted[page], "utf-8")
        return 0
    for page in (*old, *gone):
        sys.stderr.write(f"{page.relative_to(DOCS.parent)} is old: run .venv/bin/python scripts/reference.py\n")
    return 1 if old or gone else 0


if __name__ == "__main__":
    sys.exit(main())
