"""What may be said of an exception: where it came from always, its words only where nobody's data can be in them. Pure.

A foreign exception's text may hold a row, a token or a URL, so in production a trace names types, files, lines and functions
and nothing else. The fingerprint is the same for the same bug, whatever the values: type and functions, not lines or words.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterator
from pathlib import Path

from tenantry.errors import TenantryError

_OWN = str(Path(__file__).parent.parent)
_MOST_FRAMES = 30
_FRAMES_OF_PRINT = 4


def fingerprint(error: BaseException) -> str:
    """Twelve hex digits: the same for the same type raised on the same way."""
    root = error
    while (cause := root.__cause__) is not None:
        root = cause
    frames = [(frame.filename, frame.name) for frame in traceback.extract_tb(root.__traceback__)]
    theirs = [frame for frame in frames if not frame[0].startswith(_OWN)] or frames
    parts = [
        type(root).__qualname__,
        *(f"{Path(name).name}:{function}" for name, function in theirs[-_FRAMES_OF_PRINT:]),
    ]
    if isinstance(root, TenantryError):
        # Made by this house of a statement's failure: the place is the builder's, and stands in its fields.
        parts += [root.code, str(root.fields.get("procedure", "")), str(root.fields.get("where", ""))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def trace(error: BaseException, *, shows_text: bool) -> str:
    """The way to the error, innermost last, with what it came from before it."""
    if shows_text:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    return "\n".join(_without_values(error))


def _without_values(error: BaseException) -> Iterator[str]:
    chain: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    current: BaseException | None = error
    joined = ""
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        chain.append((current, joined))
        joined = "which led to:" if current.__cause__ is not None else "during which came:"
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    for one, after in reversed(chain):
        for frame in traceback.extract_tb(one.__traceback__)[-_MOST_FRAMES:]:
            yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        yield words(one)
        if after:
            yield after


def words(error: BaseException) -> str:
    """An error's own words where they are ours; of any other its type alone."""
    return str(error) if isinstance(error, TenantryError) and not error.is_public else type(error).__qualname__
