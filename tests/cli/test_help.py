"""Every command, found by walking the parser: help, an example that is one, exit codes, --json; and its lines in the reference."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tenantry.cli import main as commands
from tenantry.errors import TenantryError
from tenantry.settings import Settings
from tenantry.signals import FAMILIES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
WITHOUT_JSON = {
    "tenantry serve": "it goes on until it is ended; its log is JSON",
    "tenantry watch": "it goes on until it is ended; its log is JSON",
    "tenantry psql": "what it prints is psql's",
    "tenantry shell": "a conversation",
    "tenantry audit export": "JSON lines are all that it prints",
}
EXITS = re.compile(r"Exit codes: 0 [^,]+(?: \([^)]*\))?[^,]*, 1 .+, 2 .+")


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    nested = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not nested or parser.get_default("run"):
        yield parser
    for action in nested:
        for child in action.choices.values():
            yield from leaves(child)


def groups(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from groups(child)


COMMANDS = list(leaves(commands.make_parser()))


def test_there_are_as_many_as_there_are() -> None:
    assert len(COMMANDS) > 60
    assert len({one.prog for one in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize("parser", COMMANDS, ids=lambda parser: parser.prog)
def test_a_command_has_help_with_an_example_that_is_one_and_its_exit_codes(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.make_parser().parse_args([*parser.prog.split()[1:], "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert len((parser.description or "").strip()) > 10
    (example,) = re.findall(r"^Example: (.+)$", said, re.MULTILINE)
    command = re.search(r"tenantry .*?(?=$|\)\"| > | \| )", example)
    assert command is not None, example
    assert command[0].startswith(parser.prog), example
    parsed, rest = commands.make_parser().parse_known_args(shlex.split(command[0])[1:])
    assert not rest or parsed.takes_rest
    room, _, name = parsed.run.partition(":")
    assert callable(getattr(import_module(f"tenantry.cli.{room}"), name))
    assert EXITS.search(said), said
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert (action.help or "").strip(), f"{parser.prog} {action.dest} has no line"
    has_json = any("--json" in one.option_strings for one in parser._actions)
    assert has_json == (parser.prog not in WITHOUT_JSON)


def test_exit_codes_that_differ_are_of_commands_that_are_there() -> None:
    runs = {one.get_default("run") for one in COMMANDS}
    assert set(commands._EXITS) <= runs
    assert set(WITHOUT_JSON) <= {one.prog for one in COMMANDS}


def test_every_group_of_commands_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    for group in groups(commands.make_parser()):
        for action in group._actions:
            if isinstance(action, argparse._SubParsersAction):
                told = {one.dest for one in action._choices_actions if (one.help or "").strip()}
                assert told == set(action.choices), group.prog


def rows(page: str) -> dict[str, str]:
    """The first cell of each row of a page's table, with what its last cell says."""
    found: dict[str, str] = {}
    for line in (REFERENCE / page).read_text("utf-8").splitlines():
        cells = [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]]
        name = re.search(r"`([^`]+)`", cells[0]) if cells else None
        if name is not None:
            found[name[1]] = cells[-1] if page != "errors.md" else cells[2]
    return found


def test_every_setting_error_metric_and_command_has_its_words_in_the_reference() -> None:
    def kinds(base: type[TenantryError]) -> Iterator[type[TenantryError]]:
        for one in base.__subclasses__():
            yield one
            yield from kinds(one)

    wanted = {
        "settings.md": {one.name for one in Settings.describe()},
        "errors.md": {one.code for one in kinds(TenantryError) if one.__module__ == "tenantry.errors"},
        "metrics.md": {one.name for one in FAMILIES if not one.is_own},
    }
    for page, names in wanted.items():
        words = rows(page)
        assert names <= words.keys(), names - words.keys()
        for name in names:
            assert len(words[name].split()) >= 2, f"{page}: {name} says {words[name]!r}"
    for code in wanted["errors.md"]:
        page = (REFERENCE / "errors" / f"{code}.md").read_text("utf-8")
        assert len(page.split()) > 12, code
    text = (REFERENCE / "commands.md").read_text("utf-8")
    for parser in COMMANDS:
        section = text.partition(f"## {parser.prog}\n")[2].partition("\n## ")[0]
        assert (parser.description or "-") in section, parser.prog
        for action in parser._actions:
            if action.dest != "help" and not isinstance(action, argparse._SubParsersAction):
                name = ", ".join(action.option_strings) or action.dest
                assert re.search(rf"^- `{re.escape(name)}` \S", section, re.MULTILINE), f"{parser.prog} {name}"
