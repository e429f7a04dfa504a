"""Whose statement it is: the text of pg_stat_statements against the texts that the workers know. Pure.

The server keeps the first text that it saw, with every constant replaced by `$n` (from 18 on a list of constants by `$n /*, ... */`).
So both are brought to one form: no comments, no case outside of quoted names, one mark for a constant, a parameter, or a list of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tenantry.db.scan import tokens
from tenantry.ops.statements.known import Known

_CONSTANTS = frozenset({"true", "false", "null"})
_OWN = (
    (re.compile(r"tenantry\.enter\b", re.I), "(entering the tenant)"),
    (re.compile(r"tenantry\.(put_events|publish|moved_events|keep_events)\b", re.I), "(events)"),
    (
        re.compile(
            r"tenantry\.(read_session|sign_in|sign_out|session_of|tenants_of|live_sessions|begin_email|finish_email|take_limits)\b",
            re.I,
        ),
        "(sign-in)",
    ),
    (re.compile(r"tenantry\.defects\b|get_current_tenant_id|pg_stat_|pg_catalog\.pg_|\bpg_class\b", re.I), "(health)"),
    (re.compile(r"\btenantry\.", re.I), "(tenantry)"),
)


def fingerprint(text: str) -> str:
    """The same for a statement as it is sent, and as the server keeps it."""
    parts: list[str] = []
    number_until = -1
    for kind, piece, at in tokens(text):
        if kind == "other" and piece.isdigit():
            # `12.5e3`, `0x1f` and `1_000` come in pieces: what touches the last one belongs to it.
            if at != number_until:
                _constant(parts)
            number_until = at + 1
        elif at == number_until and (piece == "." or kind == "word"):
            number_until = at + len(piece)
        elif _is_constant(kind, piece):
            _constant(parts)
        elif kind == "word":
            parts.append(piece.lower())
        elif piece != ";":
            parts.append(piece)
    return " ".join(parts)


def _is_constant(kind: str, piece: str) -> bool:
    if kind == "quoted":
        return not piece.lstrip("uU&").startswith('"')
    return kind == "param" or (kind == "word" and piece.lower() in _CONSTANTS)


def _constant(parts: list[str]) -> None:
    """`?` for one, and for a list of them; a sign before it is part of it."""
    if parts and parts[-1] in ("-", "+"):
        parts.pop()
    if len(parts) > 1 and parts[-1] == "," and parts[-2] == "?":
        parts.pop()
        return
    parts.append("?")


class Belongings:
    """Procedures by fingerprint."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._by_print: dict[str, list[Known]] = {}
        for one in known:
            self._by_print.setdefault(fingerprint(one.text), []).append(one)

    def of(self, text: str) -> list[Known]:
        """The statements that may be meant; several procedures may run the same."""
        return self._by_print.get(fingerprint(text), [])

    def name(self, text: str) -> str:
        """`notes.recent`, `notes.recent, notes.search`, `(entering the tenant)`, or empty."""
        found = sorted({one.procedure for one in self.of(text)})
        if found:
            return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        return next((says for pattern, says in _OWN if pattern.search(text)), "")
