"""`.env` files are read as people write them, and nothing that they may hold breaks the reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.settings.dotenv import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("A = 1 ", "1"),
        ("export A=1", "1"),
        ("A=1 # why", "1"),
        ("A=a#b", "a#b"),
        ("A=#b", "#b"),
        ("A= # nothing", ""),
        ("A=", ""),
        ("A='a # b $X \\n'", "a # b $X \\n"),
        ('A="a\\nb \\"c\\" \\\\ \\q"', 'a\nb "c" \\ \\q'),
        ('A="one\n  two "  # why', "one\n  two "),
        ("A=p$ss${word}`x`", "p$ss${word}`x`"),
        ("\ufeffA=1\r\n", "1"),
        ("A=first\nB=2\nA=last", "last"),
        ("A=a=b==", "a=b=="),
        ("A=it's", "it's"),
    ],
)
def test_value_is_what_the_line_says(text: str, value: str) -> None:
    found, faults = parse(text)
    assert (found["A"].value, faults) == (value, [])


@pytest.mark.parametrize("line", ["A", "1A=1", "A B=1", "=1", 'A="open', "A='a' b", "A=a\0b"])
def test_faulty_line_is_named_and_the_rest_is_read(line: str) -> None:
    found, faults = parse(f"# first\n{line}\nB=2")
    assert [number for number, _ in faults] == [2]
    assert found["B"].value == "2"
    assert "A" not in found


def test_line_number_counts_quoted_lines() -> None:
    found, faults = parse('A="1\n2\n3"\nB=2\nbad')
    assert (found["A"].line, found["B"].line, faults[0][0]) == (1, 4, 5)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    parse(text)


@given(st.text(st.characters(blacklist_characters="\0\r", blacklist_categories=["Cs"])))
def test_double_quoted_value_comes_back_whole(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    found, faults = parse(f'A="{escaped}"\nB=2')
    assert (found["A"].value, found["B"].value, faults) == (value, "2", [])
