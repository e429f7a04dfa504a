"""SQL as text with parameters, and the only ways in which pieces of it are joined.

`sql("… where id = {}", id)` makes a fragment: `{}` is a parameter, or another fragment spliced in; `+` joins. Nothing else
composes, so input never becomes SQL. Type checkers hold the texts to be `LiteralString`; since not all of them do, a text
that is new to this process must also be a constant of the code that is running (SQL_BUILT_AT_RUN_TIME). A text that was
seen before pays nothing for it. `sql.file` and `sql.trusted` are the named ways round.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, LiteralString, cast

from msgspec import UNSET

from tenantry.db.scan import numbers
from tenantry.errors import BadRequest, SqlBuiltAtRunTime
from tenantry.source import place

MOST_TEXTS = 20_000
"""Texts remembered as constants; an application has hundreds. Beyond it each is looked for anew: slower, never wrong."""


class Sql:
    """A piece of SQL: texts, and the values that stand between them. Made by `sql(…)`; immutable."""

    __slots__ = ("parts", "values", "where")

    def __init__(self, parts: tuple[str, ...], values: tuple[Any, ...], where: str) -> None:
        """`parts` is one longer than `values`; `where` is the file and line that made it."""
        self.parts = parts
        self.values = values
        self.where = where

    def __add__(self, other: Sql) -> Sql:
        if not isinstance(other, Sql):  # pyright: ignore[reportUnnecessaryIsInstance] - builders without a checker
            message = f"sql joins sql only: write + sql(…), not + {type(other).__name__}"
            raise TypeError(message)
        mine, theirs = self.parts, other.parts
        return Sql((*mine[:-1], mine[-1] + theirs[0], *theirs[1:]), self.values + other.values, self.where)

    @property
    def text(self) -> str:
        """The text with `$1`, `$2`, … where the values stand."""
        return text_of(self.parts)

    def __repr__(self) -> str:
        return f"<sql {self.text!r}, {len(self.values)} values>"


def text_of(parts: tuple[str, ...]) -> str:
    """The parts with `$1`, `$2`, … between them."""
    pieces = [parts[0]]
    for number, part in enumerate(parts[1:], 1):
        pieces.append(f"${number}{part}")
    return "".join(pieces)


class _Maker:
    """`sql`, with its named ways round the guard."""

    def __call__(self, template: LiteralString, *values: object) -> Sql:
        """`{}` takes the next value: a parameter, or a fragment spliced in. Braces themselves are written `{{` and `}}`.

        Raises TypeError when values and places differ in number, SqlBuiltAtRunTime when the template is no constant.
        """
        known = _templates.get(template)
        if known is None:
            known = _learn(template, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        parts, where = known
        if len(values) != len(parts) - 1:
            message = (
                f"{where}: {len(parts) - 1} places {{}} and {len(values)} values (braces are written {{{{ and }}}})"
            )
            raise TypeError(message)
        for value in values:
            if type(value) is Sql:
                return _spliced(parts, values, where)
        return Sql(parts, values, where)

    def file(self, path: str | Path) -> Sql:
        """The text of a file, with `$1`, … for the parameters of `one`, `all`, …; relative to the calling module's folder.

        Read once a process.
        """
        caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        whole = Path(caller.f_code.co_filename).parent / path
        found = _files.get(whole)
        if found is None:
            found = _files[whole] = Sql((whole.read_text("utf-8"),), (), f"{whole.name}:1")
        return found

    def trusted(self, text: str) -> Sql:
        """A text that was built at run time, on the builder's own responsibility: no input may stand in it."""
        return Sql((text,), (), place_of(sys._getframe(1)))  # pyright: ignore[reportPrivateUsage]


sql = _Maker()

_templates: dict[str, tuple[tuple[str, ...], str]] = {}
_constants: dict[str, str] = {}
_files: dict[Path, Sql] = {}


def _learn(template: str, frame: FrameType) -> tuple[tuple[str, ...], str]:
    known = (_parsed(template), constant(template, frame))
    if len(_templates) < MOST_TEXTS:
        _templates[template] = known
    return known


def _parsed(template: str) -> tuple[str, ...]:
    parts: list[str] = []
    pieces: list[str] = []
    at = 0
    while at < len(template):
        char, pair = template[at], template[at : at + 2]
        if char not in "{}":
            stop = min((i for i in (template.find("{", at), template.find("}", at)) if i >= 0), default=len(template))
            pieces.append(template[at:stop])
            at = stop
            continue
        if pair in ("{{", "}}"):
            pieces.append(char)
        elif pair == "{}":
            parts.append("".join(pieces))
            pieces = []
        else:
            message = f"a brace stands alone at {at} in {template!r}: write {{{{ or }}}}, or {{}} for a value"
            raise ValueError(message)
        at += 2
    parts.append("".join(pieces))
    return tuple(parts)


def _spliced(parts: tuple[str, ...], given: tuple[object, ...], where: str) -> Sql:
    texts = [parts[0]]
    values: list[object] = []
    for value, part in zip(given, parts[1:], strict=True):
        if isinstance(value, Sql):
            texts[-1] += value.parts[0]
            texts.extend(value.parts[1:])
            values.extend(value.values)
            texts[-1] += part
        else:
            values.append(value)
            texts.append(part)
    return Sql(tuple(texts), tuple(values), where)


def changes(patch: object) -> Sql:
    """`"body" = $1, "due_at" = $2`: the fields of a Record, dataclass or Pydantic model that were given.

    For `update … set {}`. Columns are the fields' Python names. Raises BadRequest("Nothing to change").
    """
    given = [(name, value) for name, value in _fields(patch) if value is not UNSET]
    if not given:
        message = "Nothing to change"
        raise BadRequest(message)
    names = [quoted(name) for name, _ in given]
    parts = (f"{names[0]} = ", *(f", {name} = " for name in names[1:]), "")
    return Sql(parts, tuple(value for _, value in given), "changes()")


def _fields(patch: object) -> Iterable[tuple[str, Any]]:
    """Names come from the class, never from a mapping: a mapping's keys may be input."""
    kind = type(patch)
    declared: Iterable[str] | None = getattr(kind, "__struct_fields__", None)
    if declared is None and dataclasses.is_dataclass(patch):
        declared = [field.name for field in dataclasses.fields(patch)]
    if declared is None and hasattr(kind, "model_fields"):
        given = cast("set[str]", getattr(patch, "model_fields_set"))  # noqa: B009 - Pydantic's, not known to the checker
        declared = [name for name in cast("dict[str, Any]", getattr(kind, "model_fields")) if name in given]  # noqa: B009
    if declared is None:
        message = f"changes() takes a Record, a dataclass or a Pydantic model, not {kind.__name__}"
        raise TypeError(message)
    return [(name, getattr(patch, name)) for name in declared]


def quoted(name: str) -> str:
    """A name as PostgreSQL takes it literally."""
    return '"' + name.replace('"', '""') + '"'


# ------------------------------------------------------------------ the guard


def constant(text: str, frame: FrameType | None, procedure: str = "A handler") -> str:
    """Where this constant stands (`desk/notes.py:41`). Raises SqlBuiltAtRunTime if no code from `frame` outwards has it.

    It must be in the constants of a running function or module body, or a global that one of them names (also in a module,
    class, list or dict so named). An f-string and a `+` of variables are neither.
    """
    known = _constants.get(text)
    first = frame
    while frame is not None:
        if _has(frame, text):
            where = place_of(frame)
            if len(_constants) < MOST_TEXTS:
                _constants[text] = where
            return where
        frame = frame.f_back
    if known is not None:
        return known
    raise SqlBuiltAtRunTime(procedure=procedure, where="?" if first is None else place_of(first))


def place_of(frame: FrameType) -> str:
    """Where it is: `desk/notes.py:41`."""
    return place(frame.f_code.co_filename, frame.f_lineno)


def _has(frame: FrameType, text: str) -> bool:
    code = frame.f_code
    if _among(code.co_consts, text):
        return True
    names = frame.f_globals
    return any(name in names and _holds(names[name], text) for name in _names(code))


def _among(constants: Iterable[object], text: str) -> bool:
    """Folded tuples count; constants of inner functions do not, since those are not what runs."""
    return any(
        c == text if isinstance(c, str) else isinstance(c, tuple) and _among(cast("Any", c), text) for c in constants
    )


def _names(code: CodeType) -> Iterable[str]:
    yield from code.co_names
    yield from code.co_freevars


def _holds(value: object, text: str) -> bool:
    if isinstance(value, str):
        return value == text
    if isinstance(value, dict):
        return text in cast("dict[Any, Any]", value).values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(isinstance(one, str) and one == text for one in cast("Iterable[object]", value))
    if isinstance(value, (ModuleType, type)):
        return any(isinstance(one, str) and one == text for one in vars(value).values())
    return False


def check_numbers(parts: tuple[str, ...], values: int) -> str | None:
    """What is wrong with the parameters of a text, or None: `$1` by hand and `{}` do not mix."""
    if len(parts) == 1:
        return None
    named = frozenset[int]().union(*(numbers(part) for part in parts))
    return f"it mixes {{}} with ${min(named)}" if named and values else None
