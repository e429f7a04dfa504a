"""`.env` files, read as people write them; pure: text in, names and values out.

One `NAME=value` a line, `export ` before it is allowed; a `#` that follows white space ends an unquoted value. Single
quotes keep all as it stands; double quotes know `\\n`, `\\t`, `\\"`, `\\\\` and may go over several lines. Nothing is
interpolated: a `$` in a password is a `$`. Of two lines with one name the last wins, because `echo NAME=… >> .env` is
how people change a value.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_BARE_END = re.compile(r"[ \t]+#.*|[ \t]+$")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


class Line(NamedTuple):
    """One value, and the number of the line where it begins (from 1)."""

    value: str
    line: int


def parse(text: str) -> tuple[dict[str, Line], list[tuple[int, str]]]:
    """Read a `.env` text.

    Returns the last value of each name, and the faults as `(line, what is wrong)`; a faulty line is skipped, the rest
    is read.
    """
    found: dict[str, Line] = {}
    faults: list[tuple[int, str]] = []
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        number, line = index + 1, lines[index].lstrip()
        index += 1
        if not line.rstrip() or line.startswith("#"):
            continue
        match = _NAME.match(line)
        if match is None:
            faults.append((number, "is not NAME=value"))
            continue
        rest = line[match.end() :]
        if rest[:1] in {"'", '"'}:
            # A quoted value may hold line ends: give it all the rest, and go on behind its closing quote.
            tail = "\n".join([rest, *lines[index:]])
            value, used, fault = _quoted(tail)
            if fault:
                faults.append((number, fault))
                continue
            index += tail.count("\n", 0, used)
        else:
            value = "" if rest.startswith("#") and match[0][-1] in " \t" else _BARE_END.sub("", rest)
        if "\0" in value:
            faults.append((number, "has a NUL character"))
            continue
        found[match[1]] = Line(value, number)
    return found, faults


def _quoted(text: str) -> tuple[str, int, str]:
    """Read the quoted value at the start of `text`: the value, the characters it took, what is wrong (or '')."""
    quote, out, position = text[0], list[str](), 1
    while position < len(text):
        char = text[position]
        position += 1
        if char == quote:
            behind = text[position:].partition("\n")[0].strip()
            return (
                "".join(out),
                position,
                "has text behind its closing quote" if behind and not behind.startswith("#") else "",
            )
        if char == "\\" and quote == '"' and position < len(text):
            out.append(_ESCAPES.get(text[position], char + text[position]))
            position += 1
        else:
            out.append(char)
    return "", 0, "has a quote that is never closed"
