"""The SQL that makes one catalogue into another: dependents go, things come in the order of their needs, the rest goes. Pure.

It is a draft for a person to read: a rename is a loss and a gain here, a new column without a default wants its rows filled, and an enum
loses no label by a statement. Lines that begin with `-- look:` say so where it happens.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.db.drift.alter import altered
from tenantry.db.drift.catalogue import Catalogue, Key, Thing
from tenantry.db.drift.compare import is_inside
from tenantry.db.drift.grants import granted, revoked

_ORDER = (
    "schema", "extension", "enum", "domain", "composite type", "early function", "sequence", "table", "column", "owned sequence",
    "constraint", "foreign key", "index", "statistics", "function", "view", "materialized view", "trigger", "rule", "allowed definer",
    "protection", "row security", "policy", "default privileges", "grant", "comment",
)  # fmt: skip
_DEPENDENT = frozenset(
    {"constraint", "foreign key", "index", "statistics", "view", "materialized view", "trigger", "rule", "policy", "comment"}
)  # fmt: skip
_BY_PROTECT = ("tenantry_select", "tenantry_insert", "tenantry_update", "tenantry_delete", "tenantry_fill")


def script(source: Catalogue, target: Catalogue, *, with_owners: bool = True) -> str:
    """Statements, each with its semicolon, that take a database from `source` to `target`; "" where they are one."""
    gone = [one for key, one in source.items() if key not in target and not is_inside(one, target)]
    come = [one for key, one in target.items() if key not in source]
    same = [(source[key], one) for key, one in target.items() if key in source and source[key].body != one.body]
    again = _made_anew(same)
    come = [one for one in come if not _comes_with(one, target, source)]
    come += [one for key, one in target.items() if one.parent in again and key in source]
    gone = [one for one in gone if one.parent not in again]
    same = [(old, new) for old, new in same if new.parent not in again]
    if not with_owners:
        come, same = [o for o in come if o.kind != "owner"], [p for p in same if p[1].kind != "owner"]
    lines: list[str] = []
    if any(one.kind == "function" for one in [*come, *(new for _, new in same)]):
        lines.append("set local check_function_bodies = off")
    lines += [line for one in _backwards(gone) if one.kind in _DEPENDENT for line in _drop(one)]
    lines += [line for old, new in _backwards_pairs(same) if new.key in again and old.drops for line in [old.drops]]
    work = [(_rank(one), one, None) for one in come] + [(_rank(new), new, old) for old, new in same]
    for _, new, old in sorted(work, key=lambda w: (w[0], w[1].place, w[1].name)):
        if old is None or new.key in again:
            lines += _make(new, target)
        else:
            lines += altered(old, new)
    lines += [line for one in _backwards(gone) if one.kind not in _DEPENDENT for line in _drop(one)]
    return "".join(line if line.startswith("--") else f"{line.rstrip(';')};\n" for line in lines)


def _rank(one: Thing) -> float:
    if one.kind == "owner" and one.parent is not None:
        return _ORDER.index(one.parent[0]) + 0.5  # protect() wants tables that are tenantry_owner's
    if one.kind == "index" and one.parent is not None and one.parent[0] == "materialized view":
        return _ORDER.index("materialized view") + 0.6
    kind = "early function" if one.kind == "function" and one.detail.get("early") else one.kind
    return _ORDER.index(kind)


def _backwards(things: Iterable[Thing]) -> list[Thing]:
    return sorted(things, key=lambda one: (-_rank(one), -one.place[0], -one.place[1], one.name))


def _backwards_pairs(pairs: Iterable[tuple[Thing, Thing]]) -> list[tuple[Thing, Thing]]:
    return sorted(pairs, key=lambda pair: (-_rank(pair[1]), -pair[0].place[0], pair[0].name))


def _made_anew(same: Iterable[tuple[Thing, Thing]]) -> set[Key]:
    """What no ALTER reaches: it is dropped first and made again, with all that is on it."""
    return {new.key for old, new in same if old.drops is not None and new.makes is not None and not altered(old, new)}


def _comes_with(one: Thing, target: Catalogue, source: Catalogue) -> bool:
    """Whether another statement makes it: a new table its columns; protect() its row security, policies and grants."""
    if one.parent is None or one.parent in source:
        return False
    if one.kind == "column":
        return True
    guard = target.get(("protection", one.parent[1]))
    if guard is None:
        return one.kind == "row security" and one.body == "disable, no force"
    if one.kind == "policy":
        return one.name.rpartition(".")[2] in _BY_PROTECT
    if one.kind == "comment":
        return any(f"policy {name} on" in one.name for name in _BY_PROTECT)
    return one.kind == "row security" or (one.kind == "grant" and one.detail["grantee"] == "platform")


def _make(one: Thing, target: Catalogue) -> list[str]:
    if one.kind == "table":
        return [_table(one, target)]
    if one.kind == "grant":
        return granted(one, one.detail["privileges"])
    made = [] if one.makes is None else [one.makes]
    if one.kind == "function" and ("grant", f"{one.detail['word']} {one.name} to public") not in target:
        made.append(f"revoke all on {one.detail['word']} {one.name} from public")
    if one.kind == "column" and one.detail["not_null"] and one.detail["default"] is None and not one.detail["identity"]:
        made.insert(
            0,
            "-- look: not null without a default; where the table has rows, add it nullable, fill it, then set not null\n",
        )
    return made


def _table(one: Thing, target: Catalogue) -> str:
    named = one.name
    detail = one.detail
    word = "create unlogged table" if detail["unlogged"] else "create table"
    options = f" with ({detail['options']})" if detail["options"] else ""
    if detail["partition_of"]:
        return f"{word} {named} partition of {detail['partition_of']} {detail['bound']}{detail['suffix']}{options}"
    columns = sorted((o for o in target.values() if o.kind == "column" and o.parent == one.key), key=lambda o: o.place)
    inner = ",\n".join(f"    {column.detail['words']}" for column in columns)
    return f"{word} {named} (\n{inner}\n){detail['suffix']}{options}"


def _drop(one: Thing) -> list[str]:
    if one.kind == "grant":
        return revoked(one, one.detail["privileges"])
    if one.drops is None:
        return []
    loses = {"table": "its rows", "column": "what stands in it", "materialized view": "what it holds"}.get(one.kind)
    look = (
        [f"-- look: this loses {loses}, if it was renamed: alter … rename\n"]
        if loses in ("its rows", "what stands in it")
        else []
    )
    return [*look, one.drops]
