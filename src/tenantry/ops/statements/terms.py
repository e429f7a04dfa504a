"""The conditions of a plan's node, read: which column, which operator, and whether row security lets an index serve it. Pure.

PostgreSQL evaluates a policy's condition first. A condition of the statement may use an index only beside it, and so only if its operator
is leakproof (source: PostgreSQL docs, "Row Security Policies"; `rewrite/rowsecurity.c`, security levels). LIKE, ILIKE, regular
expressions, the operators of jsonb and arrays, and any function around the column are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from tenantry.db.scan import tokens

Kind = Literal["equal", "range", "null", "row", "other"]
_COLUMN = r'(?:(?:"[^"]+"|[\w$]+)\.)?(?P<column>"(?:[^"]|"")+"|[\w$]+)'
_SIMPLE = re.compile(
    rf"^\(*{_COLUMN}\)*(?:::[\w .]+?(?:\[\])?)?\)* (?P<op>[-+*/<>=~!@#%^&|`?]+) (?P<rest>.+)$", re.DOTALL
)
_NULL = re.compile(rf"^\(*{_COLUMN}\)* IS NULL$")
_BOOLEAN = re.compile(rf"^(?:NOT )?\(*{_COLUMN}\)*$")
_ROW = re.compile(r"^ROW\((?P<columns>.+?)\) (?P<op>[<>]=?) ROW\(", re.DOTALL)
_RANGES = frozenset({"<", "<=", ">", ">="})
_NAMES = {"~~": "LIKE", "~~*": "ILIKE", "!~~": "NOT LIKE", "!~~*": "NOT ILIKE"}


class Term(Struct, frozen=True):
    """One of the conditions that are joined by AND."""

    kind: Kind
    column: str
    operator: str
    text: str
    columns: tuple[str, ...] = ()
    """Of a comparison of rows: (created_at, id) < ($1, $2)."""

    @property
    def operator_name(self) -> str:
        """As people write it."""
        return _NAMES.get(self.operator, self.operator)


def terms(condition: str) -> Iterator[Term]:
    """Those of `((n.tenant_id = $0) AND (n.body ~~* $1))`."""
    for part in _conjuncts(_peeled(condition)) if condition else ():
        text = _peeled(part)
        row = _ROW.match(text)
        if row is not None:
            columns = tuple(_bare(one.strip().rpartition(".")[2]) for one in row["columns"].split(","))
            yield Term("row", columns[0], row["op"], text, columns)
            continue
        null = _NULL.match(text)
        if null is not None:
            yield Term("null", _bare(null["column"]), "IS NULL", text)
            continue
        simple = _SIMPLE.match(text)
        if simple is not None and not _has_or(text):
            yield _simple(simple, text)
            continue
        boolean = _BOOLEAN.match(text)
        if boolean is not None:
            yield Term("equal", _bare(boolean["column"]), "=", text)
            continue
        yield Term("other", "", "", text)


def _simple(found: re.Match[str], text: str) -> Term:
    operator, column = found["op"], _bare(found["column"])
    if operator == "=":
        return Term("equal", column, "=", text)
    return Term("range" if operator in _RANGES else "other", column, operator, text)


def is_function_of(text: str) -> str | None:
    """The function that stands around a column on the left: `lower` of `lower(n.email) = $1`."""
    found = re.match(r"^\(*(?P<name>[A-Za-z_][\w.]*)\(", text)
    return None if found is None or found["name"].upper() in ("NOT", "ROW") else found["name"]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _peeled(text: str) -> str:
    """Less the parentheses that hold all of it."""
    text = text.strip()
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closes(text: str) -> int:
    depth = 0
    for kind, piece, at in tokens(text):
        if kind == "other" and piece == "(":
            depth += 1
        elif kind == "other" and piece == ")":
            depth -= 1
            if depth == 0:
                return at
    return -1


def _conjuncts(text: str) -> list[str]:
    return _split(text, lambda word: word == "AND")


def _has_or(text: str) -> bool:
    return len(_split(text, lambda word: word == "OR")) > 1


def _split(text: str, is_between: Callable[[str], bool]) -> list[str]:
    parts: list[str] = []
    depth = begin = 0
    for kind, piece, at in tokens(text):
        if kind == "other" and piece in "([":
            depth += 1
        elif kind == "other" and piece in ")]":
            depth -= 1
        elif kind == "word" and depth == 0 and is_between(piece):
            parts.append(text[begin:at])
            begin = at + len(piece)
    return [*parts, text[begin:]]
