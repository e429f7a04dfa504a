"""What was tried, counted by object: the table that all forms of the report show."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tenantry.tenancy.verify.report import Report, Tried


class Line(Struct):
    """One object, or all of Tenantry's own of a kind."""

    kind: str
    object: str
    attempts: list[Tried]

    def count(self, *outcomes: str) -> int:
        """How many ended so."""
        return sum(one.outcome in outcomes for one in self.attempts)

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.count("LEAK"):
            return "LEAK"
        if self.count("failed"):
            return "failed"
        return "blocked" if self.count("blocked") else "skipped"


_FOLDED = {"role": "other roles", "session": "the session itself"}


def lines(tried: Sequence[Tried]) -> list[Line]:
    """One line an object; roles, the session, and Tenantry's own tables and functions fold into one each. Leaks come first."""
    made: dict[tuple[str, str], Line] = {}
    for one in tried:
        kind, thing = one.kind, one.object
        if kind in _FOLDED:
            thing = _FOLDED[kind]
        elif thing.startswith(("tenantry.", "public.auth_")) or thing == "public.get_current_tenant_id()":
            thing = "Tenantry's own"
        made.setdefault((kind, thing), Line(kind, thing, [])).attempts.append(one)
    worst = {"LEAK": 0, "failed": 1}
    return sorted(made.values(), key=lambda line: worst.get(line.verdict, 2))


def verdict(report: Report) -> str:
    """The last line."""
    if report.is_proven:
        count = len(report.findings)
        notes = f" ({count} note{'s' if count > 1 else ''})" if count else ""
        if report.tried is None:
            return f"PROVEN by the catalogue: nothing speaks against isolation{notes}. (--probe tries it.)"
        return f"PROVEN: nothing speaks against isolation, and nothing that was tried went through{notes}."
    parts: list[str] = []
    for level, word in (("hole", "hole"), ("leak", "leak"), ("note", "note")):
        count = sum(one.level == level for one in report.findings)
        if count:
            parts.append(f"{count} {word}{'s' if count > 1 else ''}")
    if report.leaks:
        parts.append(f"{len(report.leaks)} of the crossings went through")
    return f"NOT PROVEN: {', '.join(parts)}."


def looked_at(report: Report) -> str:
    """How much was judged."""
    plural = {"policy": "policies", "unique key or index": "keys and indexes"}
    return ", ".join(
        f"{count} {kind if count == 1 else plural.get(kind, kind + 's')}"
        for kind, count in report.judged.items()
        if count
    )
