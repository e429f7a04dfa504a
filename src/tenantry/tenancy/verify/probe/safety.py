"""What must not be tried, because a rollback would not undo it. Pure.

A trigger that reaches out of the database (dblink, http, files, another language) has done so when the transaction is rolled
back. NOTIFY is sent at commit only, and so never. When in doubt a table is not written to, and the report says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tenantry.tenancy.verify.facts import Facts

_OUT = re.compile(
    r"\b(dblink\w*|http_\w+|http|net\.http\w*|supabase_functions\.\w+|pg_background\w*|lo_export|lo_import|pg_write_file|pg_file_\w+|"
    r"cron\.\w+|aws_\w+\.\w+|pg_logical_emit_message|nextval|setval|pg_advisory_lock|pg_terminate_backend|pg_cancel_backend)\s*\(|\bprogram\s+'",
    re.IGNORECASE,
)
_SAFE_LANGUAGES = frozenset({"sql", "plpgsql", "internal"})


def reaches_out(source: str, language: str, *, is_system: bool = False) -> str | None:
    """Why running this cannot be undone; None if it can."""
    if is_system:
        return None
    if language not in _SAFE_LANGUAGES:
        return f"it is written in {language}, which nobody can look into"
    found = _OUT.search(source)
    return f"it calls {found.group(0).rstrip(' (')}" if found else None


def unsafe_tables(facts: Facts) -> dict[int, str]:
    """Tables that must not be written to, with the reason. A trigger that writes to such a table makes its own one too."""
    sources = {one.name.partition("(")[0].rpartition(".")[2]: (one.source, one.language) for one in facts.functions}
    unsafe: dict[int, str] = {}
    for _ in range(4):
        before = len(unsafe)
        names = {facts.by_oid[oid].name.rpartition(".")[2] for oid in unsafe if oid in facts.by_oid}
        for trigger in facts.triggers:
            if trigger.is_enabled and trigger.relation not in unsafe:
                why = reaches_out(trigger.source, trigger.language, is_system=trigger.is_system) or _deeper(
                    trigger.source, sources, names
                )
                if why:
                    unsafe[trigger.relation] = f"trigger {trigger.name}: {why}"
        if len(unsafe) == before:
            break
    for one in facts.relations:
        if one.is_table and one.parent is None:
            for child in facts.relations:
                if child.kind == "f" and child.parent == one.name:
                    unsafe.setdefault(one.oid, f"partition {child.name} is a foreign table")
    return unsafe


def _deeper(source: str, sources: dict[str, tuple[str, str]], unsafe_names: Iterable[str]) -> str | None:
    words = set(re.findall(r"\w+", source))
    for name in words & set(unsafe_names):
        return f"it may write to {name}"
    for name in words & sources.keys():
        why = reaches_out(*sources[name])
        if why:
            return f"{name}(): {why}"
    return None
