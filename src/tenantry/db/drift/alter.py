"""The statements that alter one thing where it stands; none where it must be dropped and made again. Pure."""

from __future__ import annotations

from typing import Any

from tenantry.db.drift.catalogue import Thing, quoted
from tenantry.db.drift.grants import regranted


def altered(old: Thing, new: Thing) -> list[str]:
    """From `old` to `new`, of one key."""
    match new.kind:
        case "column":
            return _column(old.detail, new.detail)
        case "enum":
            return _enum(new.name, old.detail["labels"], new.detail["labels"])
        case "function":
            is_one = all(old.detail[part] == new.detail[part] for part in ("result", "arguments", "word"))
            return [new.makes] if is_one and new.makes else []
        case "view":
            before, after = old.detail["columns"], new.detail["columns"]
            is_grown = after[: len(before)] == before and new.makes
            return [new.makes.replace("create view", "create or replace view", 1)] if is_grown and new.makes else []
        case "sequence":
            return [f"alter sequence {new.name} {new.detail['how']}"]
        case "grant":
            return regranted(old, new)
        case "table":
            return _table(new.name, old.detail, new.detail)
        case "domain":
            return ["-- look: domain " + new.name + f" is to be: {new.body}; write its alter domain by hand\n"]
        case "composite type":
            return ["-- look: type " + new.name + f" is to be: ({new.body}); write its alter type by hand\n"]
        case "comment" | "owner" | "row security" | "protection" | "owned sequence":
            return [new.makes] if new.makes else []
        case _:
            return []


def _column(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    head = f"alter table {new['table']} alter column {new['column']}"
    if old["generated"] != new["generated"] or (new["generated"] and old["words"] != new["words"]):
        return []
    made: list[str] = []
    if old["type"] != new["type"]:
        if old["default"] is not None:
            made.append(f"{head} drop default")
        bare = new["type"].partition(" collate ")[0]
        made.append(f"{head} type {new['type']} using {new['column']}::{bare}")
    if new["not_null"] and not old["not_null"]:
        made.append(f"{head} set not null")
    if old["identity"] and old["identity"] != new["identity"]:
        made.append(f"{head} drop identity")
    if old["default"] != new["default"] or (old["type"] != new["type"] and new["default"] is not None):
        made.append(f"{head} drop default" if new["default"] is None else f"{head} set default {new['default']}")
    if new["identity"] and old["identity"] != new["identity"]:
        made.append(f"{head} add generated {'always' if new['identity'] == 'a' else 'by default'} as identity")
    if old["not_null"] and not new["not_null"]:
        made.append(f"{head} drop not null")
    return made


def _enum(name: str, old: list[str], new: list[str]) -> list[str]:
    kept = [label for label in new if label in old]
    if kept != old:
        return [
            f"-- look: enum {name} is to have only {', '.join(map(quoted, new))}; no statement takes a label away\n"
        ]
    made: list[str] = []
    for place, label in enumerate(new):
        if label not in old:
            where = f"after {quoted(new[place - 1])}" if place else f"before {quoted(old[0])}" if old else ""
            made.append(f"alter type {name} add value {quoted(label)} {where}".rstrip())
    return made


def _table(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    made: list[str] = []
    if old["unlogged"] != new["unlogged"]:
        made.append(f"alter table {name} set {'unlogged' if new['unlogged'] else 'logged'}")
    if old["options"] != new["options"]:
        gone = [one.partition("=")[0] for one in old["options"].split(", ") if one]
        made += [f"alter table {name} reset ({', '.join(gone)})"] if gone else []
        made += [f"alter table {name} set ({new['options']})"] if new["options"] else []
    if old["suffix"] != new["suffix"] or old["partition_of"] != new["partition_of"] or old["bound"] != new["bound"]:
        made.append(f"-- look: table {name} is partitioned or inherits otherwise; no statement makes it so\n")
    return made
