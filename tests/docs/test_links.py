"""What the documentation points to is there: files, headings, commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tenantry.cli.main import make_parser

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    page
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*/*.md"),
        ROOT / "benchmarks/README.md",
    ]
    if page.is_file()
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """GitHub's: lower case, no punctuation, hyphens for spaces."""
    heads = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link, image in LINK.findall(prose(page)):
        target = link or image
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if not other.exists() or (anchor and other.suffix == ".md" and anchor not in anchors(other)):
            broken.append(target)
    assert broken == []


CODE = re.compile(r"^(?: {4,}|\t)(.*)$|^```(?:sh|bash|console|shell)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_TYPED = re.compile(r"[\[\]|…<(]|\.\.\.|\b(?:FILE|URL)\b|^\w+ \w+:")


def commands(page: Path) -> list[str]:
    """The `tenantry …` lines of a page's code, as typed: without prompts and comments. What follows `psql` is psql's."""
    found: list[str] = []
    for indented, fenced in CODE.findall(page.read_text("utf-8")):
        for line in (indented or fenced).splitlines():
            for part in re.split(r"&&|;| > | \| ", re.sub(r"\s#.*|(?<=\S) {2,}.*", "", line)):
                typed = re.sub(r"^(\$ |\w+=\S* )+", "", part.strip())
                if re.match(r"tenantry (?!psql )", typed) and not NOT_TYPED.search(typed):
                    found.append(typed)
    return found


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_of_the_documentation_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong: list[str] = []
    for typed in commands(page):
        try:
            make_parser().parse_args(shlex.split(typed)[1:])
        except SystemExit as end:
            if end.code:
                wrong.append(f"{typed}: {capsys.readouterr().err.splitlines()[-1:]}")
        except ValueError as error:  # quotes that do not end
            wrong.append(f"{typed}: {error}")
    assert wrong == []
