"""What may be said of an SQL text without a parser: its tokens less strings, comments and quoted names.

PostgreSQL parses; this only finds the first keyword, `$1`, and where a text ends. Nothing is decided here by which one
statement could pass for another: the server itself takes one statement a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<space>   \s+ | --[^\n]* )
  | (?P<comment> /\* )
  | (?P<escape>  [eE]'(?:[^'\\]|\\.|'')*' )
  | (?P<quoted>  [bBxXnN]?'(?:[^']|'')*' | (?:[uU]&)?"(?:[^"]|"")*" )
  | (?P<dollar>  \$(?P<tag>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$ )
  | (?P<param>   \$[0-9]+ )
  | (?P<word>    [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
  | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")

ALLOWED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE"})
"""First keywords that a handler's SQL may have. What is left out could outlive the transaction on the back end."""


def tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, token, where it begins) of all but spaces and comments; kinds `word`, `param`, `quoted`, `other`."""
    at, end = 0, len(text)
    while at < end:
        found = _TOKEN.match(text, at)
        assert found is not None  # `other` takes any character
        kind = found.lastgroup if found.lastgroup != "tag" else "dollar"
        begin, at = at, found.end()
        if kind == "space":
            continue
        if kind == "comment":
            at = _after_comment(text, at)
        elif kind == "dollar":
            closing = text.find(found.group("dollar"), at)
            at = end if closing < 0 else closing + len(found.group("dollar"))
            yield "quoted", text[begin:at], begin
        else:
            yield ("quoted" if kind == "escape" else kind or "other"), found.group(), begin


def _after_comment(text: str, at: int) -> int:
    """The end of a block comment, which in PostgreSQL may hold others."""
    depth = 1
    while depth:
        found = _COMMENT.search(text, at)
        if found is None:
            return len(text)
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at


def first_keyword(text: str) -> str:
    """In capitals; empty for a text that begins with no word. A leading `(` of a select is skipped."""
    for kind, token, _ in tokens(text):
        if kind == "other" and token == "(":
            continue
        return token.upper() if kind == "word" else ""
    return ""


def numbers(text: str) -> frozenset[int]:
    """The parameters that a text names: {1, 2} for `$1 … $2`."""
    return frozenset(int(token[1:]) for kind, token, _ in tokens(text) if kind == "param")


def without_end(text: str) -> str:
    """The text less a trailing semicolon and what follows it, so that it may stand in parentheses."""
    end: int | None = None
    for kind, token, at in tokens(text):
        if kind == "other" and token == ";":
            end = at if end is None else end
        else:
            end = None
    return text if end is None else text[:end]
